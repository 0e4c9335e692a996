//! Whether two replies are the same, as far as Redis says what they are.

use super::connection::Told;

/// How replies are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// As they are.
    Same,
    /// In any order of the items.
    Any,
    /// In any order of pairs of items.
    Pairs,
    /// As [`Order::Any`] or [`Order::Pairs`], of the list behind a cursor.
    Page(usize),
    /// By how many they are.
    Chance,
    /// A list, each item in its own way.
    Each(Vec<Order>),
}

/// Arguments are checked before the key is looked at, where some commands of Redis look first, and find nothing or another type.
pub fn checked_first(ours: &Told, theirs: &Told) -> bool {
    let empty = match theirs {
        Told::Nil | Told::NilList | Told::Int(0) => true,
        Told::List(items) => items.is_empty(),
        Told::Error(text) => {
            text.starts_with("WRONGTYPE")
                || matches!(&**text, "ERR no such key" | "ERR The specified keys must contain string values")
        }
        Told::Line(_) | Told::Int(_) | Told::Bulk(_) => false,
    };
    matches!(ours, Told::Error(text) if text.starts_with("ERR ")) && empty
}

pub fn same(ours: &Told, theirs: &Told, order: &Order) -> bool {
    match (ours, theirs, order) {
        (Told::List(ours), Told::List(theirs), Order::Page(step)) => {
            let inner = if *step == 2 { Order::Pairs } else { Order::Any };
            ours.len() == 2 && theirs.len() == 2 && ours[0] == theirs[0] && same(&ours[1], &theirs[1], &inner)
        }
        (Told::List(ours), Told::List(theirs), Order::Chance) => ours.len() == theirs.len(),
        (Told::Bulk(_), Told::Bulk(_), Order::Chance) => true,
        (Told::List(ours), Told::List(theirs), Order::Any) => {
            let (mut ours, mut theirs) = (ours.clone(), theirs.clone());
            ours.sort();
            theirs.sort();
            ours == theirs
        }
        (Told::List(ours), Told::List(theirs), Order::Pairs) => {
            let pairs = |list: &[Told]| {
                let mut pairs: Vec<Vec<Told>> = list.chunks(2).map(<[Told]>::to_vec).collect();
                pairs.sort();
                pairs.concat()
            };
            equal_all(&pairs(ours), &pairs(theirs))
        }
        (Told::List(ours), Told::List(theirs), Order::Each(orders)) => {
            let alike = |((ours, theirs), order): ((&Told, &Told), &Order)| {
                same(ours, theirs, order) || checked_first(ours, theirs)
            };
            ours.len() == theirs.len()
                && ours.len() == orders.len()
                && ours.iter().zip(theirs).zip(orders).all(alike)
        }
        (Told::List(ours), Told::List(theirs), Order::Same) => equal_all(ours, theirs),
        _ => equal(ours, theirs),
    }
}

fn equal_all(ours: &[Told], theirs: &[Told]) -> bool {
    ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| equal(ours, theirs))
}

/// The same, or the same number: Redis 7.0 shows all 17 digits of a score.
fn equal(ours: &Told, theirs: &Told) -> bool {
    let number = |told: &Told| match told {
        Told::Bulk(bytes) => std::str::from_utf8(bytes).ok()?.parse::<f64>().ok(),
        _ => None,
    };
    match (ours, theirs) {
        (Told::List(ours), Told::List(theirs)) => equal_all(ours, theirs),
        _ => ours == theirs || number(ours).is_some() && number(ours) == number(theirs),
    }
}
