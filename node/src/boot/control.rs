//! What the process tells its cores while they run: to stop, and which settings are in force now.
//!
//! A core looks at [`Control::phase`] and [`Control::version`] when it publishes its page, some ten times a second: both
//! are loads of a word that hardly ever changes. A core that may sleep longer registers a waker.

use std::sync::atomic::{AtomicU64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::table::{find, Change, TABLE};
use crate::config::Settings;

/// How far the process is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Serve.
    Serving = 0,
    /// Take no new connections, finish what is in flight, then stop.
    Draining = 1,
    /// Stop now; what has been acknowledged is durable anyway.
    Stopping = 2,
}

type Waker = Box<dyn Fn() + Send>;

/// Shared by the cores, the signal thread and the admin thread.
pub struct Control {
    phase: AtomicU8,
    version: AtomicU64,
    settings: Mutex<Arc<Settings>>,
    failure: Mutex<Option<String>>,
    wakers: Mutex<Vec<Waker>>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Control").field("phase", &self.phase()).finish_non_exhaustive()
    }
}

impl Control {
    /// Serving, with these settings.
    pub fn new(settings: Settings) -> Control {
        Control {
            phase: AtomicU8::new(Phase::Serving as u8),
            version: AtomicU64::new(0),
            settings: Mutex::new(Arc::new(settings)),
            failure: Mutex::new(None),
            wakers: Mutex::new(Vec::new()),
        }
    }

    /// How far the process is on its way out.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Serving,
            1 => Phase::Draining,
            _ => Phase::Stopping,
        }
    }

    /// Asks the cores to go on to `phase`; never back. Signals and the SHUTDOWN command end here.
    pub fn advance(&self, phase: Phase) {
        let before = self.phase.fetch_max(phase as u8, Ordering::Relaxed);
        if before < phase as u8 {
            self.wake();
        }
    }

    /// Stops the process because a core cannot go on; the first reason is the one that is told.
    pub fn fail(&self, reason: String) {
        locked(&self.failure).get_or_insert(reason);
        self.advance(Phase::Stopping);
    }

    /// Why the process has to stop, if a core said so.
    pub fn failure(&self) -> Option<String> {
        locked(&self.failure).clone()
    }

    /// Has `wake` called, from another thread, whenever the phase or the settings change.
    pub fn on_change(&self, wake: impl Fn() + Send + 'static) {
        locked(&self.wakers).push(Box::new(wake));
    }

    /// Counts changes of settings: a core that sees a new number calls [`Control::settings`].
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        locked(&self.settings).clone()
    }

    /// Changes settings while serving: all of them, or none with the reason. For `CONFIG SET`.
    pub fn change(&self, changes: &[(&str, &str)]) -> Result<(), String> {
        let mut settings = locked(&self.settings);
        let mut next = Settings::clone(&settings);
        for (name, text) in changes {
            match find(name) {
                None => return Err(unknown(name)),
                Some(spec) if spec.change != Change::Online => {
                    return Err(format!(
                        "{name} cannot be changed while serving; set it in the configuration and restart"
                    ))
                }
                Some(_) => next.set(name, text).map_err(|reason| format!("{name}: {reason}"))?,
            }
        }
        if let Some(problem) = crate::config::check::bounds(&next).into_iter().next() {
            return Err(problem);
        }
        *settings = Arc::new(next);
        drop(settings);
        self.version.fetch_add(1, Ordering::Relaxed);
        self.wake();
        Ok(())
    }

    fn wake(&self) {
        locked(&self.wakers).iter().for_each(|wake| wake());
    }
}

fn unknown(name: &str) -> String {
    match crate::config::suggest(name, TABLE.iter().map(|spec| spec.name)) {
        Some(near) => format!("there is no setting {name:?}; did you mean {near:?}?"),
        None => format!("there is no setting {name:?}"),
    }
}

/// A panic ends the process, so a poisoned lock is never seen by anyone who could act on it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn control() -> (Control, Arc<AtomicU64>) {
        let control = Control::new(Settings::from_texts(&BTreeMap::new()).expect("the defaults are valid"));
        let wakes = Arc::new(AtomicU64::new(0));
        let counted = wakes.clone();
        control.on_change(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        (control, wakes)
    }

    #[test]
    fn the_phase_only_goes_forward_and_wakes_once() {
        let (control, wakes) = control();
        control.advance(Phase::Stopping);
        control.advance(Phase::Draining);
        control.advance(Phase::Stopping);
        assert_eq!((control.phase(), wakes.load(Ordering::Relaxed)), (Phase::Stopping, 1));
    }

    #[test]
    fn settings_change_together_or_not_at_all() {
        let (control, wakes) = control();
        let table = [
            (vec![("clients_max", "5"), ("plain_port", "1")], "plain_port cannot be changed while serving"),
            (vec![("clients_max", "5"), ("clientsmax", "1")], "did you mean \"clients_max\"?"),
            (vec![("clients_max", "5"), ("key_bytes_max", "1 GB")], "key_bytes_max: 1 GB is out of bounds"),
            (vec![("output_bytes_max", "1 MB")], "one reply must fit"),
            (
                vec![("value_bytes_max", "20 MB"), ("segment_bytes", "16 MiB")],
                "cannot be changed while serving",
            ),
        ];
        for (changes, expected) in table {
            let error = control.change(&changes).expect_err("refused");
            assert!(error.contains(expected), "{error}");
        }
        assert_eq!((control.version(), control.settings().clients_max.0), (0, 10_000));
        control.change(&[("clients_max", "5"), ("requirepass", "p")]).expect("changed");
        assert_eq!(
            (control.version(), control.settings().clients_max.0, wakes.load(Ordering::Relaxed)),
            (1, 5, 1)
        );
    }
}
