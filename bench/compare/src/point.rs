//! A point of measurement: how many clients, how deep each of their pipelines.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Clients and operations in flight per client. Displayed as `c50 P16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// Clients.
    pub connections: usize,
    /// Operations in flight per client.
    pub pipeline: usize,
}

impl Point {
    /// The points of the reference figures, in their order.
    pub const ALL: [Point; 5] =
        [Point::new(50, 1), Point::new(200, 1), Point::new(50, 16), Point::new(50, 64), Point::new(200, 64)];

    /// A point.
    pub const fn new(connections: usize, pipeline: usize) -> Point {
        Point { connections, pipeline }
    }

    /// Whether clients wait for each reply.
    pub fn is_single(&self) -> bool {
        self.pipeline == 1
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("c{} P{}", self.connections, self.pipeline))
    }
}

impl FromStr for Point {
    type Err = String;

    /// Reads `c50P16` or `c50 P16`.
    fn from_str(text: &str) -> Result<Point, String> {
        let parts = text.strip_prefix('c').and_then(|rest| rest.split_once('P'));
        let number = |part: &str| part.trim().parse::<usize>().ok().filter(|number| *number > 0);
        parts
            .and_then(|(clients, depth)| Some(Point::new(number(clients)?, number(depth)?)))
            .ok_or_else(|| format!("{text}: write a point as c50P16"))
    }
}

impl Serialize for Point {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::Point;

    #[test]
    fn points_are_read_as_they_are_shown() {
        for point in Point::ALL {
            assert_eq!(point.to_string().parse(), Ok(point));
        }
        assert_eq!("c50P16".parse(), Ok(Point::new(50, 16)));
        for bad in ["", "50", "c50", "cP1", "c0P1", "c1P-1"] {
            assert!(bad.parse::<Point>().is_err(), "{bad}");
        }
    }
}
