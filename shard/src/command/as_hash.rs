//! Rows of tables read as hashes (docs/design/tables.md): what a command that reads a hash does where its key may be the name of a row.
//!
//! A value under the name itself wins: it is read as ever. Where there is none, the catalog of the core that has read says whether the name is a
//! row's; if so the answer is to go on at the row's partition, which is another key of the same slot. The core has heard of every change of the
//! catalog that was answered before the read began, because the majority that it asked had: so no key of the catalog is read for it.
//!
//! A row whose key is its partition's alone has the partition's name: that is one read.

use sql::{hash_fields, hash_key_parts, parse_hash_key, HashKey};

use super::bytes::DecodeError;
use super::codec::{self, Arguments};
use super::hash::{self, HashOp};
use super::{errors, sql as rows, Command, Context, KeyCommand, Op};
use crate::object::Hash;
use crate::reply::Reply;
use crate::state::{State, Value};

/// What reads a hash, or a row as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsHash {
    /// The name of the row, where the key is that of its partition. None: the key is the name, and is looked at first; the answer is in an array,
    /// or nil if it is that of the row.
    pub row: Option<Box<[u8]>>,
    /// What is read.
    pub op: HashOp,
}

impl KeyCommand {
    /// If this reads a hash under a name that a row may have: the name of the table, and that of the partition, which the key begins with.
    pub fn row_name(&self) -> Option<(&str, &[u8])> {
        match &self.op {
            Op::OnHash(op) if op.is_read() => hash_key_parts(&self.key),
            _ => None,
        }
    }

    /// The same, at a hash that may be there under this name.
    ///
    /// # Panics
    /// If it reads no hash.
    pub fn at_name(&self) -> KeyCommand {
        KeyCommand {
            key: self.key.clone(),
            op: Op::AsHash(Box::new(AsHash { row: None, op: self.hash_op() })),
        }
    }

    /// The same, at the row with this name.
    ///
    /// # Panics
    /// If it reads no hash, or no row can have the name.
    pub fn at_row(&self) -> KeyCommand {
        let (_, partition) = self.row_name().expect("a name of a row");
        let read = AsHash { row: Some(self.key.clone()), op: self.hash_op() };
        KeyCommand { key: partition.into(), op: Op::AsHash(Box::new(read)) }
    }

    fn hash_op(&self) -> HashOp {
        match &self.op {
            Op::OnHash(op) if op.is_read() => op.clone(),
            other => panic!("it reads no hash: {other:?}"),
        }
    }
}

impl AsHash {
    pub(super) fn bytes(&self) -> usize {
        size_of::<AsHash>() + self.row.as_ref().map_or(0, |name| name.len()) + self.op.bytes()
    }

    /// The argument list on its way: no client can send it.
    pub(super) fn spell<'a, 'b>(&self, key: &[u8], to: &'a mut Arguments<'b>) -> &'a mut Arguments<'b> {
        to.text(NAME).bytes(self.row.as_deref().unwrap_or_default());
        self.op.spell(key, to)
    }
}

/// The first argument on the way.
const NAME: &str = "ASHASH";

/// Reads the arguments that [`AsHash::spell`] wrote; None: they are another command's.
pub(super) fn read(arguments: &[&[u8]]) -> Option<Result<Command, DecodeError>> {
    let (name, rest) = arguments.split_first()?;
    let [row, inner @ ..] = rest else { return None };
    (*name == NAME.as_bytes()).then(|| match codec::plain(inner)? {
        Command::Key(KeyCommand { key, op: Op::OnHash(op) }) if op.is_read() => {
            let row = (!row.is_empty()).then(|| (*row).into());
            Ok(Command::Key(KeyCommand { key, op: Op::AsHash(Box::new(AsHash { row, op })) }))
        }
        _ => Err(DecodeError::Malformed),
    })
}

/// Reads what the key is, or the row that lies in it.
pub(super) fn run(key: &[u8], read: &AsHash, state: &State, context: &mut Context<'_>) -> Reply {
    let Some(name) = &read.row else { return at_name(key, &read.op, state, context) };
    match parse_hash_key(context.catalog, name) {
        Some(row) if row.partition.routing.as_bytes() == key => look(&row, &read.op, state, context),
        // Meanwhile there is another table of this name, or none.
        _ => hash::look(&read.op, None, context),
    }
    .unwrap_or_else(|error| error)
}

fn at_name(key: &[u8], op: &HashOp, state: &State, context: &mut Context<'_>) -> Reply {
    let found = match &state.value {
        Some(Value::Hash(hash)) => hash::look(op, Some(hash), context),
        None | Some(Value::Rows(_) | Value::Group(_)) => match parse_hash_key(context.catalog, key) {
            Some(row) if row.partition.routing.as_bytes() == key => look(&row, op, state, context),
            Some(_) => return Reply::Nil,
            None if state.value.is_none() => hash::look(op, None, context),
            None => Err(errors::ROWS),
        },
        Some(_) => Err(errors::WRONG_TYPE),
    };
    found.map_or_else(|error| error, |reply| Reply::Array(vec![reply]))
}

/// What a row that was read from the tree comes to: these bytes, if it is there.
pub(super) fn answer(key: &[u8], read: &AsHash, bytes: Option<&[u8]>, context: &mut Context<'_>) -> Reply {
    let found = match (parse_hash_key(context.catalog, read.row.as_deref().unwrap_or(key)), bytes) {
        (Some(row), Some(bytes)) => answer_row(&row, &read.op, bytes, context),
        _ => hash::look(&read.op, None, context),
    };
    match read.row {
        Some(_) => found.unwrap_or_else(|error| error),
        None => found.map_or_else(|error| error, |reply| Reply::Array(vec![reply])),
    }
}

/// Reads a row of the partition that the state is. What is no partition of its table has no such row.
fn look(row: &HashKey, op: &HashOp, state: &State, context: &mut Context<'_>) -> Result<Reply, Reply> {
    let Some(bytes) = rows::row_of(&row.table, &row.row, state)? else {
        return hash::look(op, None, context);
    };
    answer_row(row, op, bytes, context)
}

fn answer_row(row: &HashKey, op: &HashOp, bytes: &[u8], context: &mut Context<'_>) -> Result<Reply, Reply> {
    let fields = hash_fields(row, bytes).map_err(|error| rows::sql_error(&error))?;
    let mut found = Hash::default();
    for (field, value) in &fields {
        found.set(field.as_bytes(), value.as_bytes());
    }
    hash::look(op, Some(&found), context)
}
