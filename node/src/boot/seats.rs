//! How many clients the host has, over all its cores: the bound is the host's, wherever its clients come in.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

/// The seats of a host. Taken when a client connects and given back when it is gone, so on no request's way.
#[derive(Clone, Debug, Default)]
pub struct Seats(Arc<AtomicUsize>);

/// One client's seat, until dropped.
#[derive(Debug)]
pub struct Seat(Arc<AtomicUsize>);

impl Seats {
    /// A seat, if fewer than `max` are taken.
    pub fn take(&self, max: usize) -> Option<Seat> {
        let seat = |taken: usize| (taken < max).then_some(taken + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, seat).ok()?;
        Some(Seat(self.0.clone()))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let before = self.0.fetch_sub(1, Ordering::Relaxed);
        assert!(before > 0, "a seat is given back by who took it");
    }
}

#[cfg(test)]
mod tests {
    use super::Seats;

    #[test]
    fn all_cores_share_the_seats() {
        let here = Seats::default();
        let there = here.clone();
        let mut taken: Vec<_> = (0..3).map(|_| here.take(3).expect("there is room")).collect();
        assert!(there.take(3).is_none());
        taken.pop();
        assert!(there.take(3).is_some(), "one was given back, and so is this one at once");
        assert!(here.take(1).is_none(), "a bound that was lowered sends nobody away, and lets nobody in");
        assert_eq!(taken.len(), 2);
    }
}
