//! What the kernel knows of this process: CPU, memory, file descriptors, under the names that every exporter uses.

use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::exposition::{head, line};
use super::metrics::{Descriptor, Type};

/// Read once per scrape.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessFacts {
    /// User and system time.
    pub cpu: Duration,
    /// Memory in use, in bytes.
    pub resident_bytes: u64,
    /// Open file descriptors.
    pub open_fds: u64,
    /// How many there may be.
    pub max_fds: u64,
    /// When the process began, since the epoch.
    pub started: Duration,
}

impl ProcessFacts {
    /// Reads the facts from /proc; what cannot be read is 0.
    pub fn read() -> ProcessFacts {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The second field is the name in parentheses and may hold blanks; the third is the first after it.
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let field = |number: usize| -> u64 {
            after_name.split_whitespace().nth(number - 3).and_then(|text| text.parse().ok()).unwrap_or(0)
        };
        let hertz = rustix::param::clock_ticks_per_second().max(1);
        let ticks = |count: u64| Duration::from_millis(count.saturating_mul(1000) / hertz);
        let since_boot = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
        let uptime: f64 =
            since_boot.split_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or(0.0);
        let boot = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .saturating_sub(Duration::try_from_secs_f64(uptime).unwrap_or_default());
        let fds = std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64);
        ProcessFacts {
            cpu: ticks(field(14).saturating_add(field(15))),
            resident_bytes: field(24).saturating_mul(rustix::param::page_size() as u64),
            open_fds: fds,
            max_fds: rustix::process::getrlimit(rustix::process::Resource::Nofile)
                .current
                .unwrap_or(u64::MAX),
            started: boot.saturating_add(ticks(field(22))),
        }
    }

    /// Bytes of memory of the machine; 0 if the system does not say.
    pub fn machine_bytes() -> u64 {
        let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        kib.map_or(0, |kib| kib.saturating_mul(1024))
    }

    /// Writes the facts as metrics.
    pub(super) fn render(&self, out: &mut String) {
        let cpu = Descriptor {
            name: "process_cpu_seconds_total",
            kind: Type::Counter,
            help: "User and system time of this process.",
        };
        head(out, &cpu);
        let _ = writeln!(out, "{} {}.{:03}", cpu.name, self.cpu.as_secs(), self.cpu.subsec_millis());
        let gauges = [
            ("process_resident_memory_bytes", "Memory in use.", self.resident_bytes),
            ("process_open_fds", "Open file descriptors.", self.open_fds),
            ("process_max_fds", "File descriptors that may be open.", self.max_fds),
            (
                "process_start_time_seconds",
                "When the process began, since the epoch.",
                self.started.as_secs(),
            ),
        ];
        for (name, help, value) in gauges {
            head(out, &Descriptor { name, kind: Type::Gauge, help });
            line(out, name, "", value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_facts_are_those_of_this_process() {
        let facts = ProcessFacts::read();
        assert!(facts.resident_bytes > 1 << 20 && facts.resident_bytes < 1 << 40, "{facts:?}");
        assert!(ProcessFacts::machine_bytes() > facts.resident_bytes);
        assert!(facts.open_fds >= 3 && facts.open_fds <= facts.max_fds, "{facts:?}");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after the epoch");
        let age = now.saturating_sub(facts.started);
        assert!(
            facts.started > Duration::from_secs(1_000_000_000) && age < Duration::from_secs(86_400),
            "{facts:?}"
        );
    }
}
