//! Makes statements: one text for this crate, and one for PostgreSQL where that has other words.

mod expressions;
mod statements;

use sql::{Error, Reply, Rows};

use crate::store::Store;
use crate::tables::{tables, Table};

/// Stands around the number of a quoted literal until it is written as a literal or as a parameter.
const MARK: char = '\u{1}';

/// A statement in both dialects.
pub struct Pair {
    pub ours: String,
    pub parameters: Vec<Vec<u8>>,
    /// Empty if it is for this crate alone, and must succeed.
    pub theirs: String,
    /// Whether rows come in an order.
    pub ordered: bool,
    pub writes: bool,
    /// Whether it is asked page by page.
    pub paged: bool,
}

impl Pair {
    /// Gives it to the crate.
    pub fn run(&self, store: &mut Store) -> Result<Reply, Error> {
        if !self.paged {
            return store.run(self.ours.as_bytes(), &self.parameters);
        }
        let (mut all, mut cursor) = (Rows::default(), "0".to_owned());
        loop {
            let page = format!("{} CURSOR '{cursor}'", self.ours);
            match store.run(page.as_bytes(), &self.parameters)? {
                Reply::Rows(rows) => {
                    all.columns = rows.columns;
                    all.rows.extend(rows.rows);
                    cursor = rows.cursor.unwrap_or_default();
                }
                other => return Ok(other),
            }
            if cursor == "0" {
                return Ok(Reply::Rows(all));
            }
        }
    }
}

/// What statements are drawn from.
pub struct Maker {
    state: u64,
    tables: Vec<Table>,
    /// The quoted literals of the statement under way.
    literals: Vec<String>,
    /// Whether an expression must not fail for any row: conditions are looked at in another order there.
    safe: bool,
    /// How many things were named.
    named: u64,
}

impl Maker {
    pub fn new(seed: u64) -> Maker {
        Maker {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            tables: Vec::new(),
            literals: Vec::new(),
            safe: false,
            named: 0,
        }
    }

    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        let place = self.below(list.len() as u64) as usize;
        &list[place]
    }

    /// A quoted literal, to be written later.
    fn quoted(&mut self, text: &str) -> String {
        self.literals.push(text.to_owned());
        format!("{MARK}{}{MARK}", self.literals.len() - 1)
    }

    /// The tables, made anew.
    pub fn begin(&mut self) -> Vec<Pair> {
        self.tables = tables();
        let mut made = Vec::new();
        for table in self.tables.clone() {
            let columns: Vec<String> =
                table.columns.iter().map(|column| format!("{} {}", column.name, column.written)).collect();
            let key = |down: bool| {
                let place = |(place, column): (usize, &crate::tables::Column)| {
                    let descending = place >= table.partition && table.clustering[place - table.partition];
                    format!("{}{}", column.name, if down && descending { " DESC" } else { "" })
                };
                let count = table.partition + table.clustering.len();
                table.columns.iter().take(count).enumerate().map(place).collect::<Vec<_>>().join(", ")
            };
            let partition: Vec<&str> =
                table.columns.iter().take(table.partition).map(|column| column.name.as_str()).collect();
            let layout = if self.one_in(2) { "small" } else { "large" };
            let (name, columns, partition) = (table.name, columns.join(", "), partition.join(", "));
            let ours = format!("CREATE TABLE {name} ({columns}, PRIMARY KEY ({})) WITH (layout = '{layout}', partition = '{partition}')", key(true));
            made.push(self.plain(format!("DROP TABLE IF EXISTS {name}"), None));
            made.push(
                self.plain(
                    ours,
                    Some(format!("CREATE TABLE {name} ({columns}, PRIMARY KEY ({}))", key(false))),
                ),
            );
        }
        made
    }

    /// A statement without literals to be written.
    fn plain(&self, ours: String, theirs: Option<String>) -> Pair {
        Pair {
            theirs: theirs.unwrap_or_else(|| ours.clone()),
            ours,
            parameters: Vec::new(),
            ordered: false,
            writes: true,
            paged: false,
        }
    }

    /// Writes the literals: for PostgreSQL as such, for this crate some as parameters.
    fn finish(&mut self, ours: &str, theirs: &str) -> Pair {
        let literals = std::mem::take(&mut self.literals);
        let literal = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let mut parameters: Vec<Vec<u8>> = Vec::new();
        let mut out = String::new();
        for (place, part) in ours.split(MARK).enumerate() {
            match literals.get(part.parse::<usize>().unwrap_or(usize::MAX)) {
                Some(text) if place % 2 == 1 && self.one_in(4) => {
                    parameters.push(text.clone().into_bytes());
                    out += &format!("${}", parameters.len());
                }
                Some(text) if place % 2 == 1 => out += &literal(text),
                _ => out += part,
            }
        }
        let parts = theirs.split(MARK).enumerate().map(|(place, part)| {
            match literals.get(part.parse::<usize>().unwrap_or(usize::MAX)) {
                Some(text) if place % 2 == 1 => literal(text),
                _ => part.to_owned(),
            }
        });
        Pair { theirs: parts.collect(), ours: out, parameters, ordered: false, writes: false, paged: false }
    }
}
