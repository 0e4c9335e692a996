//! Where rows of a file go: which field is which column, and the statement that writes some rows.

use super::answer::{Answer, Cell, Rows};
use super::client::Client;
use super::command::{quoted, CopyIn};
use super::csv::Record;
use super::error::{printable, Trouble};

/// What a copy has to know of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    /// All names, in the table's order.
    names: Vec<String>,
    partition: Vec<usize>,
    /// The primary key, partition key included.
    key: Vec<usize>,
}

impl Columns {
    /// Asks for them.
    pub(super) fn ask(client: &mut Client, table: &str) -> Result<Columns, Trouble> {
        let text = format!("DESCRIBE {table}");
        match Answer::read(client.call(&[b"SQL", text.as_bytes()], true)?)? {
            Answer::Rows(rows) => Ok(Columns::of_description(&rows)),
            _ => Err(Trouble::Local("the answer to DESCRIBE is no rows".to_owned())),
        }
    }

    /// The rows of DESCRIBE: columns, then indexes, then the table itself.
    fn of_description(rows: &Rows) -> Columns {
        let mut columns = Columns { names: Vec::new(), partition: Vec::new(), key: Vec::new() };
        for row in &rows.rows {
            let text = |place: usize| match row.get(place) {
                Some(Cell::Text(text)) => text.as_str(),
                _ => "",
            };
            if matches!(text(1), "index" | "table") {
                break;
            }
            let place = columns.names.len();
            if text(4) == "partition key" {
                columns.partition.push(place);
            }
            if !text(4).is_empty() {
                columns.key.push(place);
            }
            columns.names.push(text(0).to_owned());
        }
        columns
    }

    /// The column of a name: as it is spelled, or else in small letters.
    fn find(&self, name: &str) -> Result<usize, Trouble> {
        let place = |name: &str| self.names.iter().position(|other| other == name);
        place(name).or_else(|| place(&name.to_ascii_lowercase())).ok_or_else(|| {
            let names = self.names.join(", ");
            Trouble::Local(format!(
                "the table has no column {}; it has {}",
                printable(name),
                printable(&names)
            ))
        })
    }
}

/// Where the fields of each row go.
#[derive(Debug)]
pub(super) struct Target {
    /// The statement up to its rows.
    head: String,
    /// Fields of a row.
    width: usize,
    /// Places of the partition key in a row; empty if it is not all there.
    partition: Vec<usize>,
    /// Places of the primary key in a row; empty if it is not all there.
    key: Vec<usize>,
    /// Rows may be written again: they come to the same.
    pub(super) repeatable: bool,
}

impl Target {
    /// `header`: the names in the file, if it has them. Names that the command gives go before them.
    pub(super) fn new(columns: &Columns, copy: &CopyIn, header: Option<&Record>) -> Result<Target, Trouble> {
        let in_file: Option<Vec<String>> = header.map(|header| {
            let name = |field: &Option<Vec<u8>>| field.as_deref().unwrap_or_default().to_vec();
            header
                .fields
                .iter()
                .map(|field| String::from_utf8_lossy(&name(field)).trim().to_owned())
                .collect()
        });
        let named = match (&copy.columns, in_file) {
            (Some(names), Some(header)) if names.len() != header.len() => {
                let what = format!("{} columns are named, and the header has {}", names.len(), header.len());
                return Err(Trouble::Local(what));
            }
            (Some(names), _) => names.clone(),
            (None, Some(header)) => header,
            (None, None) => columns.names.clone(),
        };
        let places = named.iter().map(|name| columns.find(name)).collect::<Result<Vec<usize>, _>>()?;
        if let Some(twice) = places.iter().enumerate().find(|(at, place)| places[..*at].contains(place)) {
            return Err(Trouble::Local(format!("column {} is there twice", columns.names[*twice.1])));
        }
        let all = |wanted: &[usize]| {
            let found = wanted.iter().map(|column| places.iter().position(|place| place == column));
            found.collect::<Option<Vec<usize>>>().unwrap_or_default()
        };
        let (partition, key) = (all(&columns.partition), all(&columns.key));
        let names: Vec<String> = places.iter().map(|place| quoted(&columns.names[*place])).collect();
        let verb = if copy.insert { "INSERT" } else { "UPSERT" };
        Ok(Target {
            head: format!("{verb} INTO {} ({}) VALUES ", copy.table, names.join(", ")),
            width: places.len(),
            // Where a part of the key is a default each row may get a key of its own.
            repeatable: !copy.insert && !key.is_empty(),
            partition,
            key,
        })
    }

    /// Refuses a row with more or fewer fields than there are columns.
    pub(super) fn check(&self, row: &Record) -> Result<(), Trouble> {
        match row.fields.len() == self.width {
            true => Ok(()),
            false => Err(Trouble::Local(format!(
                "line {}: the row has {} fields, and there are {} columns",
                row.line,
                row.fields.len(),
                self.width
            ))),
        }
    }

    /// Whether a row may share the statement of these rows: of the same partition, and another row.
    pub(super) fn shares(&self, rows: &[Record], row: &Record) -> bool {
        let same = |places: &[usize], other: &Record| {
            places.iter().all(|place| other.fields.get(*place) == row.fields.get(*place))
        };
        let partition =
            rows.first().is_none_or(|first| !self.partition.is_empty() && same(&self.partition, first));
        partition && !rows.iter().any(|other| !self.key.is_empty() && same(&self.key, other))
    }

    /// The words of the statement that writes rows. A parameter cannot be NULL, so that NULL stands in the statement.
    pub(super) fn statement(&self, rows: &[Record]) -> Vec<Vec<u8>> {
        let mut words = vec![b"SQL".to_vec(), Vec::new()];
        let mut text = self.head.clone();
        for (place, row) in rows.iter().enumerate() {
            text.push_str(if place == 0 { "(" } else { ", (" });
            for (place, field) in row.fields.iter().enumerate() {
                text.push_str(if place == 0 { "" } else { ", " });
                match field {
                    None => text.push_str("NULL"),
                    Some(bytes) => {
                        words.push(bytes.clone());
                        text.push_str(&format!("${}", words.len() - 2));
                    }
                }
            }
            text.push(')');
        }
        words[1] = text.into_bytes();
        words
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::Place;
    use super::*;

    fn columns() -> Columns {
        let row = |row: [&str; 5]| row.map(|text| Cell::Text(text.to_owned())).to_vec();
        let rows = vec![
            row(["k", "TEXT", "NOT NULL", "", "partition key"]),
            row(["n", "INT", "NOT NULL", "", "clustering key, descending"]),
            row(["Note", "TEXT", "", "", ""]),
            row(["by_note", "index", "", "", "Note"]),
            row(["t", "table", "version 1", "", "layout 'small'"]),
        ];
        Columns::of_description(&Rows { names: Vec::new(), rows, cursor: None })
    }

    fn record(fields: &[Option<&str>]) -> Record {
        Record {
            line: 7,
            fields: fields.iter().map(|field| field.map(|text| text.as_bytes().to_vec())).collect(),
        }
    }

    fn copy(names: Option<&[&str]>, insert: bool) -> CopyIn {
        let columns = names.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        CopyIn { table: "\"t\"".to_owned(), columns, from: Place::Standard, insert, header: true }
    }

    #[test]
    fn fields_go_to_the_columns_that_the_header_or_the_command_names() {
        let header = record(&[Some("N"), Some(" Note "), Some("k")]);
        let target = Target::new(&columns(), &copy(None, false), Some(&header)).expect("columns");
        assert_eq!(target.head, "UPSERT INTO \"t\" (\"n\", \"Note\", \"k\") VALUES ");
        assert_eq!((target.partition.as_slice(), target.key.as_slice()), ([2].as_slice(), [2, 0].as_slice()));
        assert!(target.repeatable);
        let rows = [record(&[Some("1"), None, Some("a")]), record(&[Some("2"), Some(""), Some("a")])];
        let words: Vec<String> =
            target.statement(&rows).iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        assert_eq!(words[1], format!("{}($1, NULL, $2), ($3, $4, $5)", target.head));
        assert_eq!(words[2..], ["1", "a", "2", "", "a"]);
        target.check(&rows[0]).expect("three fields");
        let told = target.check(&record(&[None])).expect_err("one field").to_string();
        assert_eq!(told, "line 7: the row has 1 fields, and there are 3 columns");

        let named = Target::new(&columns(), &copy(Some(&["k", "note", "n"]), true), None);
        assert!(named.expect_err("it is Note").to_string().contains("no column note; it has k, n, Note"));
        let insert = Target::new(&columns(), &copy(Some(&["k", "n"]), true), None).expect("columns");
        assert!(insert.head.starts_with("INSERT INTO") && !insert.repeatable);
        let all = Target::new(&columns(), &copy(None, false), None).expect("columns");
        assert_eq!(all.width, 3);
        let twice = Target::new(&columns(), &copy(Some(&["k", "k"]), false), None).expect_err("twice");
        assert!(twice.to_string().contains("k is there twice"));
        Target::new(&columns(), &copy(Some(&["k", "n"]), false), Some(&header)).expect_err("three names");
    }

    #[test]
    fn rows_share_a_statement_that_are_of_one_partition_and_differ() {
        let target = Target::new(&columns(), &copy(Some(&["k", "n"]), false), None).expect("columns");
        let row = |k: &str, n: &str| record(&[Some(k), Some(n)]);
        assert!(target.shares(&[], &row("a", "1")));
        assert!(target.shares(&[row("a", "1")], &row("a", "2")));
        assert!(!target.shares(&[row("a", "1")], &row("b", "2")), "another partition");
        assert!(!target.shares(&[row("a", "1"), row("a", "2")], &row("a", "1")), "the same row");
        // The key is not all there: nobody knows which rows are the same.
        let partial = Target::new(&columns(), &copy(Some(&["k"]), false), None).expect("columns");
        assert!(partial.shares(&[record(&[Some("a")])], &record(&[Some("a")])) && !partial.repeatable);
        let none = Target::new(&columns(), &copy(Some(&["n"]), false), None).expect("columns");
        assert!(!none.shares(&[record(&[Some("1")])], &record(&[Some("2")])), "nor which partition it is");
    }
}
