//! A database in maps: what a node is around the crate, without disks, peers and threads. It checks what it is given.

use std::collections::BTreeMap;
use std::sync::Arc;

use sql::{
    Backfill, Catalog, Change, Context, Effect, End, Error, Execution, Input, Kind, Outcome, Part, Partition,
    Plan, Query, Reply, Scan, Statement, Step,
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
    /// Pages of all partitions end early now and then, as if time was short.
    pub is_hurried: bool,
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
                    .map(|(key, value)| (key.as_slice(), value.as_slice()))
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
        let Some(partition) = query.partition() else { return self.scan(query) };
        let (writes, key) = (query.writes(), partition.key.clone());
        let Outcome { reply, changes } = self.execute(&mut Execution::new(query)?, table, &key)?;
        assert!(writes || changes.is_empty(), "what reads changes nothing");
        if !changes.is_empty() {
            apply(self.partitions.entry((table, key)).or_default(), changes);
        }
        Ok(reply)
    }

    /// One partition after the other, in the order of their keys, two of them at each place: as a node does it, which asks some at a time, and
    /// those again that gave too much. Pages end early now and then.
    fn scan(&mut self, query: Query) -> Result<Reply, Error> {
        let mut scan = Scan::new(query.clone())?;
        if scan.is_full() {
            return scan.finish(End::Last);
        }
        let table = Arc::clone(scan.table());
        let held =
            self.partitions.iter().filter(|((of, _), contents)| *of == table.id && !contents.is_empty());
        let name = |((_, key), _): (&(u32, Vec<u8>), _)| {
            Partition::of_key(&table, key.clone()).expect("a key").routing
        };
        let mut names: Vec<(u64, String)> =
            held.map(name).enumerate().map(|(place, name)| (place as u64 / 2, name)).collect();
        names.sort();
        let begins_at = scan.begins_at();
        names.retain(|(place, name)| {
            *place > begins_at || *place == begins_at && !scan.is_read(name.as_bytes())
        });
        for asked in names.chunks(3) {
            let mut parts = Vec::new();
            for (_, name) in asked {
                parts.push(self.part(&query, &scan, name)?);
            }
            for ((place, name), mut part) in asked.iter().zip(parts) {
                if !scan.has_room_for(&part) {
                    part = self.part(&query, &scan, name)?;
                    assert!(scan.has_room_for(&part), "it was asked for what there is room for");
                }
                scan.take(part)?;
                if scan.is_full() || scan.is_page() && self.is_hurried && self.steps.is_multiple_of(5) {
                    return scan.finish(End::In(*place, name.as_bytes()));
                }
            }
            let place = asked.last().expect("a chunk has something").0;
            let is_between =
                names.iter().all(|(other, name)| *other != place || asked.iter().any(|(_, one)| one == name));
            if scan.is_page() && is_between && self.is_hurried && self.steps.is_multiple_of(3) {
                return scan.finish(End::At(place + 1));
            }
        }
        scan.finish(End::Last)
    }

    /// What one partition gives to a statement that reads all of them.
    pub fn part(&mut self, query: &Query, scan: &Scan, name: &str) -> Result<Part, Error> {
        let share = scan.share(name.as_bytes()).expect("a partition of the table");
        let partition = Partition::of_name(scan.table(), name.as_bytes()).expect("a partition of the table");
        let mut execution = Execution::part(query.clone(), &partition, &share)?;
        let Outcome { reply, changes } = self.execute(&mut execution, share.table, &partition.key)?;
        assert!(changes.is_empty(), "what reads changes nothing");
        let bytes = execution.into_part(reply).encode();
        let part = Part::decode(&bytes).expect("what was written");
        assert_eq!(part.encode(), bytes, "it travels as it is");
        Ok(part)
    }

    fn execute(&mut self, execution: &mut Execution, table: u32, key: &[u8]) -> Result<Outcome, Error> {
        let mut input = Input::Start;
        let none = Contents::new();
        loop {
            self.steps += 1;
            let contents = self.partitions.get(&(table, key.to_vec())).unwrap_or(&none);
            input = match execution.step(input)? {
                Step::Get(keys) => {
                    Input::Values(keys.iter().map(|key| contents.get(key).map(Vec::as_slice)).collect())
                }
                Step::Scan { from, to, backwards, limit } => {
                    let limit = if self.page == 0 { limit } else { limit.min(self.page) };
                    let range =
                        contents.range(from..to).map(|(key, value)| (key.as_slice(), value.as_slice()));
                    let entries: Vec<_> = if backwards {
                        range.rev().take(limit).collect()
                    } else {
                        range.take(limit).collect()
                    };
                    let more = entries.len() == limit;
                    Input::Page { entries, more }
                }
                Step::Done(outcome) => return Ok(outcome),
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
