//! A database in maps: what a node is around the crate, without disks, peers and threads. It checks what it is given.

use std::collections::BTreeMap;

use sql::{
    Backfill, Catalog, Change, Context, Effect, Error, Execution, Input, Kind, Outcome, Partition, Place,
    Plan, Query, Reply, Statement, Step,
};

/// Keys and bytes of one partition.
pub type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

/// Tables and their partitions, by table and partition key.
#[derive(Default)]
pub struct Store {
    pub catalog: Catalog,
    pub partitions: BTreeMap<(u32, Vec<u8>), Contents>,
    /// Entries that a page has at most, whatever was asked for; 0 is as many as were asked for.
    pub page: usize,
    pub now_micros: i64,
    /// What random values are made of: goes up with each statement.
    pub random: u64,
    /// Steps that statements took, which is how often a tree on the disk would be asked.
    pub steps: u64,
}

impl Store {
    pub fn run(&mut self, sql: &[u8], parameters: &[Vec<u8>]) -> Result<Reply, Error> {
        let statement = Statement::parse(sql)?;
        self.random += 1;
        let context = Context { parameters, now_micros: self.now_micros, random: [self.random, 0] };
        if statement.kind() == Kind::Schema {
            return self.change(&statement, &context);
        }
        match Plan::new(&self.catalog, &statement, &context)? {
            Plan::Answer(reply) => Ok(reply),
            Plan::Query(query) => self.query(*query),
        }
    }

    fn change(&mut self, statement: &Statement, context: &Context) -> Result<Reply, Error> {
        let changed = self.catalog.change(statement, context)?;
        if let Some(next) = changed.catalog {
            assert_eq!(next.version(), self.catalog.version() + 1, "each change is a version");
            // What others learn of a change is its bytes.
            self.catalog = Catalog::decode(&next.encode()?)?;
        }
        for effect in changed.effects {
            match effect {
                Effect::DropTable { table, .. } => self.partitions.retain(|(of, _), _| *of != table),
                Effect::FillIndex { table, index } => self.fill(table, index)?,
                Effect::ClearIndex { table, index } => self.clear(table, index)?,
            }
        }
        Ok(Reply::Count(0))
    }

    fn backfill(
        &mut self,
        table: u32,
        make: impl Fn(&Partition) -> Result<Option<Backfill>, Error>,
    ) -> Result<(), Error> {
        let held = self.catalog.table_by_id(table).expect("the table is there").clone();
        for ((of, key), contents) in &mut self.partitions {
            if *of != table {
                continue;
            }
            let Some(mut backfill) = make(&Partition::of_key(&held, key.clone())?)? else { continue };
            while let Some((from, to, limit)) = backfill.wanted() {
                let entries: Vec<_> = contents
                    .range(from.to_vec()..to.to_vec())
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .take(limit)
                    .collect();
                let more = entries.len() == limit;
                let changes = backfill.step(&entries, more)?;
                apply(contents, changes);
            }
        }
        Ok(())
    }

    fn fill(&mut self, table: u32, index: u32) -> Result<(), Error> {
        let held = self.catalog.table_by_id(table).expect("the table is there").clone();
        self.backfill(table, |partition| Backfill::fill(&held, index, partition))?;
        self.catalog = self.catalog.index_filled(table, index).expect("the index was being filled");
        Ok(())
    }

    fn clear(&mut self, table: u32, index: u32) -> Result<(), Error> {
        let held = self.catalog.table_by_id(table).expect("the table is there").clone();
        self.backfill(table, |partition| Backfill::clear(&held, index, partition).map(Some))
    }

    fn query(&mut self, query: Query) -> Result<Reply, Error> {
        let table = query.table().id;
        self.catalog.check_current(table, query.table().version)?;
        let (writes, mut partition) =
            (query.writes(), query.partition().map(|partition| partition.key.clone()));
        let mut execution = Execution::new(query)?;
        let mut input = Input::Start;
        let none = Contents::new();
        loop {
            self.steps += 1;
            let contents = partition
                .as_ref()
                .and_then(|key| self.partitions.get(&(table, key.clone())))
                .unwrap_or(&none);
            input = match execution.step(input)? {
                Step::Partition(place) => {
                    let mut keys = self
                        .partitions
                        .iter()
                        .filter(|((of, _), contents)| *of == table && !contents.is_empty())
                        .map(|((_, key), _)| key);
                    partition = keys
                        .find(|key| match &place {
                            Place::First => true,
                            Place::At(at) => *key >= at,
                            Place::After(after) => *key > after,
                        })
                        .cloned();
                    Input::Partition(partition.clone())
                }
                Step::Get(keys) => Input::Values(keys.iter().map(|key| contents.get(key).cloned()).collect()),
                Step::Scan { from, to, backwards, limit } => {
                    let limit = if self.page == 0 { limit } else { limit.min(self.page) };
                    let range = contents.range(from..to).map(|(key, value)| (key.clone(), value.clone()));
                    let entries: Vec<_> = if backwards {
                        range.rev().take(limit).collect()
                    } else {
                        range.take(limit).collect()
                    };
                    let more = entries.len() == limit;
                    Input::Page { entries, more }
                }
                Step::Done(Outcome { reply, changes }) => {
                    assert!(writes || changes.is_empty(), "what reads changes nothing");
                    if !changes.is_empty() {
                        let key = partition.expect("what changes rows is for one partition");
                        apply(self.partitions.entry((table, key)).or_default(), changes);
                    }
                    return Ok(reply);
                }
            };
        }
    }
}

fn apply(contents: &mut Contents, changes: Vec<Change>) {
    assert!(
        changes.windows(2).all(|pair| pair[0].key < pair[1].key),
        "changes are in the order of their keys, one for each"
    );
    for Change { key, value } in changes {
        match value {
            Some(bytes) => contents.insert(key, bytes),
            None => contents.remove(&key),
        };
    }
}
