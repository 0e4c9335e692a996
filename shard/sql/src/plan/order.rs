//! ORDER BY: what is asked for, and whether a key gives it.

use sqlparser::ast::{Expr, OrderByExpr, SelectItem};

use crate::error::Error;
use crate::parse::{descending, name_of};
use crate::schema::{KeyColumn, Table};

/// A column to order by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OrderItem {
    pub(super) column: usize,
    pub(super) descending: bool,
}

/// The columns that are ordered by. A name that the SELECT gives to a column stands for it.
pub(super) fn items(
    table: &Table,
    alias: Option<&str>,
    list: &[OrderByExpr],
    selected: &[SelectItem],
) -> Result<Vec<OrderItem>, Error> {
    let named = |wanted: &str| {
        selected.iter().find_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } if name_of(alias) == wanted => Some(expr),
            _ => None,
        })
    };
    let mut items = Vec::new();
    for item in list {
        let refused = || {
            Error::unsupported(format!("ORDER BY {item} is not supported: order by columns, ASC or DESC, along a key or an index; NULLs are greatest"))
        };
        let expr = match &item.expr {
            Expr::Identifier(name) => named(&name_of(name)).unwrap_or(&item.expr),
            other => other,
        };
        let name = match expr {
            Expr::Identifier(name) => name_of(name),
            Expr::CompoundIdentifier(names) => match names.as_slice() {
                [of, name] if name_of(of) == alias.unwrap_or(&table.name) => name_of(name),
                _ => return Err(refused()),
            },
            _ => return Err(refused()),
        };
        let column = table.column(&name)?;
        let descending = descending(&item.options, table.columns[column].not_null).ok_or_else(refused)?;
        if item.with_fill.is_some() {
            return Err(refused());
        }
        items.push(OrderItem { column, descending });
    }
    Ok(items)
}

/// Whether a key with these columns, of which some are fixed, is in this order, and if so whether backwards.
pub(super) fn backwards_for(order: &[OrderItem], key: &[KeyColumn], fixed: &[usize]) -> Option<bool> {
    let mut backwards = None;
    let mut rest = key.iter().filter(|column| !fixed.contains(&column.column));
    let mut seen = fixed.to_vec();
    for item in order {
        if seen.contains(&item.column) {
            continue;
        }
        // Behind the last column of a key there is one row, and nothing to order.
        let Some(next) = rest.find(|column| !seen.contains(&column.column)) else { break };
        let turned = item.descending != next.descending;
        if next.column != item.column || backwards.is_some_and(|backwards| backwards != turned) {
            return None;
        }
        backwards = Some(turned);
        seen.push(item.column);
    }
    Some(backwards.unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::{backwards_for, OrderItem};
    use crate::schema::KeyColumn;

    #[test]
    fn keys_give_their_order_and_its_reverse() {
        let key: Vec<KeyColumn> =
            [(1, false), (2, true)].map(|(column, descending)| KeyColumn { column, descending }).to_vec();
        type Case = (&'static [(usize, bool)], &'static [usize], Option<bool>);
        let rows: [Case; 9] = [
            (&[], &[], Some(false)),
            (&[(1, false)], &[], Some(false)),
            (&[(1, true)], &[], Some(true)),
            (&[(1, false), (2, true)], &[], Some(false)),
            (&[(1, true), (2, false)], &[], Some(true)),
            (&[(1, false), (2, false)], &[], None),
            (&[(2, false)], &[1], Some(true)),
            (&[(3, false)], &[], None),
            (&[(1, false), (2, true), (3, true)], &[], Some(false)),
        ];
        for (order, fixed, expected) in rows {
            let items: Vec<OrderItem> = order
                .iter()
                .map(|(column, descending)| OrderItem { column: *column, descending: *descending })
                .collect();
            assert_eq!(backwards_for(&items, &key, fixed), expected, "{order:?} with {fixed:?} fixed");
        }
    }
}
