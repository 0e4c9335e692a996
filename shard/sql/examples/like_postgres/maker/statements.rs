//! Random statements on the tables.

use sql::Type;

use super::{Maker, Pair};
use crate::tables::{values, Column, Table, WRITTEN};

impl Maker {
    /// A statement.
    pub fn statement(&mut self) -> Pair {
        let place = self.below(self.tables.len() as u64) as usize;
        let table = self.tables[place].clone();
        self.safe = false;
        match self.below(100) {
            0..=2 => self.change_schema(place),
            3..=32 => self.insert(&table),
            33..=42 => self.update(&table),
            43..=45 => self.delete(&table),
            46..=55 => self.aggregate(&table),
            56..=60 => self.scan(&table),
            _ => self.select(&table),
        }
    }

    /// A value of a column of the key, of which there are few, so that statements meet.
    fn key_value(&mut self, column: &Column, partition: bool) -> String {
        let all = values(column.kind);
        let few = if partition { &all[..all.len().min(3)] } else { all };
        let text = *self.pick(few);
        match column.kind {
            Type::Int | Type::BigInt if !self.one_in(3) => text.to_owned(),
            _ => self.quoted(text),
        }
    }

    /// `p = 1`, which says which partition it is about.
    fn of_partition(&mut self, table: &Table) -> Vec<String> {
        let columns = table.columns[..table.partition].to_vec();
        let one = |maker: &mut Maker, column: &Column| {
            let value = maker.key_value(column, true);
            match maker.below(12) {
                0 => format!("{value} = {}", column.name),
                1 => format!("{} IN ({value})", column.name),
                _ => format!("{} = {value}", column.name),
            }
        };
        columns.iter().map(|column| one(self, column)).collect()
    }

    /// Conditions on the clustering key: all of it, a beginning, a range, or nothing.
    fn of_key(&mut self, table: &Table, whole: bool) -> Vec<String> {
        let mut out = Vec::new();
        for column in &table.columns[table.partition..table.partition + table.clustering.len()] {
            let (value, other) = (self.key_value(column, false), self.key_value(column, false));
            let name = &column.name;
            let what = if whole { 0 } else { self.below(8) };
            out.push(match what {
                0..=2 => format!("{name} = {value}"),
                3 => format!("{name} IN ({value}, {other})"),
                4 => format!("{name} BETWEEN {value} AND {other}"),
                5 => {
                    let operator = *self.pick(&["<", "<=", ">", ">="]);
                    format!("{name} {operator} {value}")
                }
                _ => continue,
            });
        }
        out
    }

    fn filter(&mut self, table: &Table) -> String {
        let mut conditions = self.of_partition(table);
        conditions.extend(self.of_key(table, false));
        let before = std::mem::replace(&mut self.safe, true);
        for _ in 0..self.below(3) {
            let depth = self.below(3);
            conditions.push(self.condition(table, depth));
        }
        self.safe = before;
        conditions.join(" AND ")
    }

    fn order(&self, table: &Table, first: Option<&str>, backwards: bool) -> String {
        let columns = table.columns[table.partition..].iter().zip(&table.clustering);
        let direction = |down: bool| if down != backwards { " DESC" } else { "" };
        let key = columns.map(|(column, down)| format!("{}.{}{}", table.name, column.name, direction(*down)));
        let first = first.map(|name| format!("{}.{name}{}", table.name, direction(false)));
        let all: Vec<String> = first.into_iter().chain(key).collect();
        if all.is_empty() {
            String::new()
        } else {
            format!(" ORDER BY {}", all.join(", "))
        }
    }

    fn projection(&mut self, table: &Table) -> String {
        if self.one_in(5) {
            return "*".to_owned();
        }
        let count = 1 + self.below(4);
        let items = (0..count).map(|_| {
            let kind = self.any_type();
            let depth = self.below(4);
            self.expression(table, kind, depth)
        });
        items.collect::<Vec<_>>().join(", ")
    }

    fn select(&mut self, table: &Table) -> Pair {
        let ordered = self.one_in(2);
        let limited = ordered && self.one_in(2);
        // With LIMIT PostgreSQL evaluates rows, too, that it does not give.
        self.safe = limited || self.one_in(2);
        let (items, filter) = (self.projection(table), self.filter(table));
        let backwards = self.one_in(2);
        let index = table
            .indexes
            .first()
            .filter(|_| self.one_in(3))
            .map(|index| table.columns[*index as usize].name.clone());
        let order = if ordered { self.order(table, index.as_deref(), backwards) } else { String::new() };
        let paged = self.one_in(6);
        let limit = if limited { format!(" LIMIT {}", self.below(5)) } else { String::new() };
        let theirs = format!("SELECT {items} FROM {} WHERE {filter}{order}", table.name);
        let page = if paged { format!(" LIMIT {}", 1 + self.below(4)) } else { limit.clone() };
        let mut pair =
            self.finish(&format!("{theirs}{page}"), &format!("{theirs}{}", if paged { "" } else { &limit }));
        pair.ordered = ordered && !order.is_empty();
        pair.paged = paged;
        pair
    }

    fn aggregate(&mut self, table: &Table) -> Pair {
        let mut items = Vec::new();
        for _ in 0..1 + self.below(3) {
            let depth = self.below(2);
            let name = *self.pick(&["count", "min", "max", "sum", "avg"]);
            let kinds: &[Type] = match name {
                "count" => &[Type::Int, Type::Text, Type::Bool, Type::Uuid, Type::Double],
                "min" | "max" => &[Type::Int, Type::BigInt, Type::Double, Type::Text, Type::Timestamp],
                // Sums of doubles depend on the order of rows.
                _ => &[Type::Int, Type::BigInt, Type::Numeric],
            };
            let kind = *self.pick(kinds);
            // Of doubles, which come of expressions of other numbers too, the order of rows would decide.
            let argument = match name {
                "sum" | "avg" => self.leaf(table, kind),
                // Of 0 and -0, which are equal, the first one is the least, and the order of rows would decide, too.
                "min" | "max" if kind == Type::Double => format!("abs({})", self.leaf(table, kind)),
                _ => self.expression(table, kind, depth),
            };
            items.push(match self.below(5) {
                0 => "count(*)".to_owned(),
                1 => format!("{name}({argument}) IS NULL"),
                _ => format!("{name}({argument})"),
            });
        }
        let scan = self.one_in(8);
        let filter = if scan {
            self.safe = true;
            self.condition(table, 1)
        } else {
            self.filter(table)
        };
        let theirs = format!("SELECT {} FROM {} WHERE {filter}", items.join(", "), table.name);
        let ours = if scan { format!("{theirs} ALLOW SCAN") } else { theirs.clone() };
        self.finish(&ours, &theirs)
    }

    fn scan(&mut self, table: &Table) -> Pair {
        let items = self.projection(table);
        self.safe = true;
        let depth = self.below(3);
        let mut filter = vec![self.condition(table, depth)];
        filter.extend(self.of_key(table, false));
        let theirs = format!("SELECT {items} FROM {} WHERE {}", table.name, filter.join(" AND "));
        let paged = self.one_in(2);
        let page = if paged { format!(" LIMIT {}", 1 + self.below(6)) } else { String::new() };
        let mut pair = self.finish(&format!("{theirs}{page} ALLOW SCAN"), &theirs);
        pair.paged = paged;
        pair
    }

    /// What is stored in a column: mostly of its type, now and then of one that is cast, or is not.
    fn stored(&mut self, table: &Table, column: &Column) -> String {
        match self.below(500) {
            0..=30 => "DEFAULT".to_owned(),
            31 => {
                let kind = self.any_type();
                self.expression(&Table { columns: Vec::new(), ..table.clone() }, kind, 1)
            }
            _ => {
                let depth = self.below(2);
                self.expression(&Table { columns: Vec::new(), ..table.clone() }, column.kind, depth)
            }
        }
    }

    fn insert(&mut self, table: &Table) -> Pair {
        let key = table.partition + table.clustering.len();
        let mut columns = table.columns[..key].to_vec();
        for column in &table.columns[key..] {
            if !self.one_in(3) {
                columns.push(column.clone());
            }
        }
        let partition: Vec<String> =
            table.columns[..table.partition].iter().map(|column| self.key_value(column, true)).collect();
        let mut rows = Vec::new();
        for _ in 0..1 + self.below(3) {
            let mut row = Vec::new();
            for (place, column) in columns.iter().enumerate() {
                row.push(match place {
                    place if place < table.partition => partition[place].clone(),
                    place if place < key && !self.one_in(60) => self.key_value(column, false),
                    _ => self.stored(table, column),
                });
            }
            rows.push(format!("({})", row.join(", ")));
        }
        let names = |columns: &[Column]| {
            columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>().join(", ")
        };
        let body = format!("INTO {} ({}) VALUES {}", table.name, names(&columns), rows.join(", "));
        let key_names = names(&table.columns[..key]);
        let set: Vec<String> =
            columns[key..].iter().map(|column| format!("{0} = EXCLUDED.{0}", column.name)).collect();
        let mut theirs = format!("INSERT {body}");
        let mut ours = theirs.clone();
        match self.below(6) {
            0 => theirs += " ON CONFLICT DO NOTHING",
            1 if !set.is_empty() => {
                theirs +=
                    &format!(" ON CONFLICT ({key_names}) DO UPDATE SET {}", self.conflict_set(table, key))
            }
            2 | 3 if !set.is_empty() => {
                theirs += &format!(" ON CONFLICT ({key_names}) DO UPDATE SET {}", set.join(", "));
                ours = format!("UPSERT {body}");
            }
            _ => {}
        }
        if !ours.starts_with("UPSERT") {
            ours = theirs.clone();
        }
        let returning =
            if self.one_in(4) { format!(" RETURNING {}", self.projection(table)) } else { String::new() };
        let mut pair = self.finish(&(ours + &returning), &(theirs + &returning));
        pair.writes = true;
        pair
    }

    fn conflict_set(&mut self, table: &Table, key: usize) -> String {
        let column = self.pick(&table.columns[key..]).clone();
        let value = match self.below(3) {
            0 => format!("EXCLUDED.{}", column.name),
            1 => format!("coalesce({0}.{1}, EXCLUDED.{1})", table.name, column.name),
            _ => self.literal(column.kind),
        };
        let mut out = format!("{} = {value}", column.name);
        if self.one_in(3) {
            out += &format!(" WHERE {0}.i > EXCLUDED.i OR {0}.o", table.name);
        }
        out
    }

    fn update(&mut self, table: &Table) -> Pair {
        let key = table.partition + table.clustering.len();
        // A key that changes is checked row by row there, in an order of its own: one row at a time can be compared.
        let moves = !table.clustering.is_empty() && self.one_in(4);
        let mut set = Vec::new();
        let mut columns = table.columns[if moves { table.partition } else { key }..].to_vec();
        for _ in 0..1 + self.below(2) {
            let place = self.below(columns.len() as u64) as usize;
            let column = columns.remove(place);
            let value = match self.below(10) {
                0 => "DEFAULT".to_owned(),
                1..=5 => {
                    let depth = self.below(3);
                    self.expression(table, column.kind, depth)
                }
                _ => self.literal(column.kind),
            };
            set.push(format!("{} = {value}", column.name));
        }
        let filter = if moves {
            let mut conditions = self.of_partition(table);
            conditions.extend(self.of_key(table, true));
            conditions.join(" AND ")
        } else {
            self.filter(table)
        };
        let returning =
            if self.one_in(4) { format!(" RETURNING {}", self.projection(table)) } else { String::new() };
        let begin = format!("UPDATE {} SET {} WHERE {filter}", table.name, set.join(", "));
        let (ours, theirs) = self.only_if(table, &filter);
        let mut pair =
            self.finish(&format!("{begin}{ours}{returning}"), &format!("{begin}{theirs}{returning}"));
        pair.writes = true;
        pair
    }

    /// IF, and what says the same there: that it holds for all rows of the filter, and that there is one.
    fn only_if(&mut self, table: &Table, filter: &str) -> (String, String) {
        match self.below(12) {
            0 => (" IF EXISTS".to_owned(), String::new()),
            1 | 2 => {
                self.safe = true;
                let condition = self.condition(table, 1);
                let all = format!(
                    "SELECT bool_and(coalesce({condition}, false)) FROM {} WHERE {filter}",
                    table.name
                );
                (format!(" IF {condition}"), format!(" AND ({all})"))
            }
            _ => (String::new(), String::new()),
        }
    }

    fn delete(&mut self, table: &Table) -> Pair {
        let filter = self.filter(table);
        let returning =
            if self.one_in(4) { format!(" RETURNING {}", self.projection(table)) } else { String::new() };
        let begin = format!("DELETE FROM {} WHERE {filter}", table.name);
        let (ours, theirs) = self.only_if(table, &filter);
        let mut pair =
            self.finish(&format!("{begin}{ours}{returning}"), &format!("{begin}{theirs}{returning}"));
        pair.writes = true;
        pair
    }

    /// A column or an index more, or an index less; indexes are this crate's affair alone.
    fn change_schema(&mut self, place: usize) -> Pair {
        let table = self.tables[place].clone();
        let key = table.partition + table.clustering.len();
        self.named += 1;
        if self.one_in(3) && table.columns.len() < 24 {
            let (kind, written) = *self.pick(&WRITTEN);
            let name = format!("x{}", self.named);
            let default = *self.pick(values(kind));
            let default = if self.one_in(2) {
                format!(" DEFAULT '{}'", default.replace('\'', "''"))
            } else {
                String::new()
            };
            self.tables[place].columns.push(Column { name: name.clone(), kind, written });
            return self
                .plain(format!("ALTER TABLE {} ADD COLUMN {name} {written}{default}", table.name), None);
        }
        if let Some(index) = table.indexes.first().filter(|_| table.indexes.len() > 2) {
            self.tables[place].indexes.remove(0);
            return Pair {
                theirs: String::new(),
                ..self.plain(format!("DROP INDEX {}_{index}", table.name), None)
            };
        }
        let column = key as u64 + self.below((table.columns.len() - key) as u64);
        if table.indexes.contains(&column) || table.columns[column as usize].kind == Type::Jsonb {
            return self.select(&table);
        }
        self.tables[place].indexes.push(column);
        let name = &table.columns[column as usize].name;
        Pair {
            theirs: String::new(),
            ..self.plain(format!("CREATE INDEX {0}_{column} ON {0} ({name})", table.name), None)
        }
    }
}
