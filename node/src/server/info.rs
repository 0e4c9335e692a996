//! INFO: text in sections, `name:value` per line, as tools read it (redis-cli --stat, exporters, dashboards).
//!
//! The numbers come in an [`InfoSource`]; what cannot be known is left out or, where tools insist on a name,
//! is its truthful constant (`loading:0`, `aof_rewrite_in_progress:0`).

use std::fmt::Write as _;

use shard::reply::Reply;

use super::stats::Stats;
use super::{Now, Server, REDIS_VERSION};

/// The numbers of INFO, summed over the cores that the asked port speaks for.
#[derive(Clone, Debug, Default)]
pub struct InfoSource {
    /// The moment of asking.
    pub now: Now,
    /// When the process started.
    pub started: Now,
    /// Port the client came in by.
    pub tcp_port: u16,
    /// Clients connected.
    pub clients: u64,
    /// Those of them that wait for a key to hold something.
    pub clients_blocked: u64,
    /// Clients accepted since the start.
    pub clients_accepted: u64,
    /// Clients refused (too many, protected mode).
    pub clients_refused: u64,
    /// Clients closed because they did not read their replies.
    pub clients_slow_closed: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
    /// Commands executed.
    pub commands: u64,
    /// Commands per second, over the last second or so.
    pub commands_per_second: u64,
    /// Error replies.
    pub errors: u64,
    /// Reads that found their key.
    pub hits: u64,
    /// Reads that did not.
    pub misses: u64,
    /// Keys dropped because their time was over.
    pub expired: u64,
    /// Bytes of memory in use by the process (resident).
    pub memory_resident: u64,
    /// The most that was.
    pub memory_peak: u64,
    /// Bytes of memory of the machine.
    pub memory_total: u64,
    /// Bytes that the directories of keys take.
    pub directory_bytes: u64,
    /// Bytes of values that are kept in memory.
    pub cache_bytes: u64,
    /// Bytes of large objects that are kept decoded.
    pub objects_bytes: u64,
    /// Bytes of rows and of the trees' blocks that are kept in memory.
    pub tree_memory_bytes: u64,
    /// Trees that did not open or failed.
    pub trees_closed: u64,
    /// Bytes of their tables on disk.
    pub tree_bytes: u64,
    /// How many tables that are.
    pub tree_tables: u64,
    /// Levels that have tables.
    pub tree_levels: u64,
    /// Tables that cannot be believed.
    pub tree_damaged_tables: u64,
    /// Bytes that compaction has yet to move.
    pub tree_debt_bytes: u64,
    /// Whether rows are applied faster than they are written: 0 no, 1 writes are slowed down, 2 they wait.
    pub tree_pressure: u64,
    /// Keys.
    pub keys: u64,
    /// Keys that expire.
    pub keys_expiring: u64,
    /// Seconds of CPU time in the kernel.
    pub cpu_sys: f64,
    /// Seconds of CPU time outside it.
    pub cpu_user: f64,
    /// Other hosts that are reachable.
    pub peers_up: u64,
    /// Those of them that are learners, and so count toward no majority.
    pub learners_up: u64,
    /// Whether this host is a learner: 0 or 1.
    pub learner: u64,
    /// Slots that still have to be gone through to be level with the other hosts.
    pub repair_slots: u64,
    /// Records that still have to be taken over, as far as they are known.
    pub repair_records: u64,
    /// Bytes of them.
    pub repair_bytes: u64,
    /// Records taken over from other hosts.
    pub repair_copied: u64,
    /// Tombstones dropped here because every host agreed to it.
    pub tombstones_dropped: u64,
    /// Damaged logs that were put aside and still lie in the data directory.
    pub logs_aside: u64,
    /// Proposals chosen by the fast path.
    pub proposals_fast: u64,
    /// Proposals at a ballot that was promised for whole ranges of slots.
    pub proposals_granted: u64,
    /// Proposals chosen by the classic path.
    pub proposals_classic: u64,
    /// Reads answered after asking a majority.
    pub reads_agreed: u64,
    /// Reads answered after one question for all reads of a turn.
    pub reads_confirmed: u64,
    /// Undecided entries that were finished for another.
    pub finishes: u64,
    /// Requests that ended in their deadline.
    pub deadlines: u64,
    /// Writes whose outcome was reported as unknown.
    pub uncertain: u64,
    /// Frames written to the logs.
    pub log_frames: u64,
    /// Records in them.
    pub log_records: u64,
    /// Bytes of them.
    pub log_bytes: u64,
    /// Log syncs.
    pub log_syncs: u64,
    /// Segment files.
    pub segments: u64,
    /// Bytes of live records.
    pub live_bytes: u64,
    /// Merges done.
    pub merges: u64,
    /// Messages sent to peers.
    pub peer_messages_out: u64,
    /// Frames sent to peers.
    pub peer_frames_out: u64,
    /// Messages received from peers.
    pub peer_messages_in: u64,
    /// Bytes sent to peers.
    pub peer_bytes_out: u64,
    /// Messages that were dropped because an outbox was full or a link was down.
    pub peer_messages_dropped: u64,
    /// Round trips to peers that commands waited for.
    pub peer_round_trips: u64,
    /// Questions to peers that were repeated because too few had answered in time.
    pub resends: u64,
    /// Commands forwarded to the preferred host of their slot.
    pub forwards: u64,
    /// Those of them that were proposed here after all, because that host did not answer in time.
    pub forward_fallbacks: u64,
    /// Counts per command and error.
    pub stats: Stats,
}

/// Sections of a plain INFO, in order.
const DEFAULT: &[&str] = &[
    "server",
    "clients",
    "memory",
    "persistence",
    "stats",
    "replication",
    "cpu",
    "modules",
    "errorstats",
    "cluster",
    "synod",
    "keyspace",
];

/// Sections that only `all` and `everything` add.
const MORE: &[&str] = &["commandstats", "latencystats"];

/// The reply of INFO with these sections, in lower case; none means `default`.
pub fn render(sections: &[String], source: &InfoSource, server: &Server) -> Reply {
    let asked = |name: &str| sections.iter().any(|section| section == name);
    let all = asked("all") || asked("everything");
    let default = sections.is_empty() || asked("default") || all;
    let mut text = String::with_capacity(4096);
    for name in DEFAULT.iter().chain(MORE) {
        let wanted = asked(name) || (default && DEFAULT.contains(name)) || all;
        if wanted {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            section(name, source, server, &mut text);
        }
    }
    Reply::Verbatim(text)
}

fn section(name: &str, source: &InfoSource, server: &Server, text: &mut String) {
    let title = match name {
        "cpu" => "CPU".to_owned(),
        other => other.get(..1).unwrap_or_default().to_uppercase() + other.get(1..).unwrap_or_default(),
    };
    let _ = write!(text, "# {title}\r\n");
    let mut out = Lines(text);
    match name {
        "server" => server_section(source, server, &mut out),
        "clients" => clients_section(source, server, &mut out),
        "memory" => memory_section(source, server, &mut out),
        "persistence" => persistence_section(source, &mut out),
        "stats" => stats_section(source, &mut out),
        "replication" => replication_section(source, server, &mut out),
        "cpu" => {
            out.add("used_cpu_sys", format_args!("{:.6}", source.cpu_sys));
            out.add("used_cpu_user", format_args!("{:.6}", source.cpu_user));
        }
        "commandstats" => command_stats(&source.stats, &mut out),
        "errorstats" => {
            for (code, count) in source.stats.errors() {
                out.add(&format!("errorstat_{code}"), format_args!("count={count}"));
            }
        }
        "latencystats" => latency_stats(&source.stats, &mut out),
        "cluster" => out.add("cluster_enabled", 1),
        "synod" => synod_section(source, &mut out),
        "keyspace" if source.keys > 0 => {
            let (keys, expires) = (source.keys, source.keys_expiring);
            out.add("db0", format_args!("keys={keys},expires={expires},avg_ttl=0"));
        }
        _ => {}
    }
}

struct Lines<'a>(&'a mut String);

impl Lines<'_> {
    fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        let _ = write!(self.0, "{name}:{value}\r\n");
    }
}

fn server_section(source: &InfoSource, server: &Server, out: &mut Lines<'_>) {
    let uptime = source.now.seconds_since(source.started);
    out.add("redis_version", REDIS_VERSION);
    out.add("synod_version", server.identity.version);
    out.add("redis_mode", "cluster");
    out.add("os", std::env::consts::OS);
    out.add("arch_bits", usize::BITS);
    out.add("multiplexing_api", "io_uring");
    out.add("process_id", std::process::id());
    out.add("run_id", &server.identity.run_id);
    out.add("tcp_port", source.tcp_port);
    out.add("server_time_usec", source.now.wall_us);
    out.add("uptime_in_seconds", uptime);
    out.add("uptime_in_days", uptime / 86_400);
    out.add("core", server.identity.core);
    out.add("cores", server.identity.cores);
    out.add("config_file", &server.identity.config_file);
}

fn clients_section(source: &InfoSource, server: &Server, out: &mut Lines<'_>) {
    out.add("connected_clients", source.clients);
    out.add("maxclients", server.settings.clients_max());
    out.add("blocked_clients", source.clients_blocked);
    out.add("tracking_clients", 0);
}

fn memory_section(source: &InfoSource, server: &Server, out: &mut Lines<'_>) {
    for (name, bytes) in [
        ("used_memory", source.memory_resident),
        ("used_memory_rss", source.memory_resident),
        ("used_memory_peak", source.memory_peak.max(source.memory_resident)),
        ("total_system_memory", source.memory_total),
    ] {
        out.add(name, bytes);
        out.add(&format!("{name}_human"), human(bytes));
    }
    out.add("memory_directories_bytes", source.directory_bytes);
    out.add("memory_values_bytes", source.cache_bytes);
    out.add("memory_objects_bytes", source.objects_bytes);
    out.add("memory_rows_bytes", source.tree_memory_bytes);
    out.add("maxmemory", server.settings.memory_max());
    out.add("maxmemory_policy", "noeviction");
}

fn persistence_section(source: &InfoSource, out: &mut Lines<'_>) {
    out.add("loading", 0);
    out.add("rdb_changes_since_last_save", 0);
    out.add("rdb_bgsave_in_progress", 0);
    out.add("rdb_last_save_time", source.now.unix_seconds());
    out.add("rdb_last_bgsave_status", "ok");
    out.add("aof_enabled", 1);
    out.add("aof_rewrite_in_progress", 0);
    out.add("aof_last_write_status", "ok");
}

fn stats_section(source: &InfoSource, out: &mut Lines<'_>) {
    out.add("total_connections_received", source.clients_accepted);
    out.add("total_commands_processed", source.commands);
    out.add("instantaneous_ops_per_sec", source.commands_per_second);
    out.add("total_net_input_bytes", source.bytes_in);
    out.add("total_net_output_bytes", source.bytes_out);
    out.add("rejected_connections", source.clients_refused);
    out.add("client_output_buffer_limit_disconnections", source.clients_slow_closed);
    out.add("expired_keys", source.expired);
    out.add("evicted_keys", 0);
    out.add("keyspace_hits", source.hits);
    out.add("keyspace_misses", source.misses);
    out.add("pubsub_channels", 0);
    out.add("pubsub_patterns", 0);
    out.add("latest_fork_usec", 0);
    out.add("total_error_replies", source.errors);
}

fn replication_section(source: &InfoSource, server: &Server, out: &mut Lines<'_>) {
    out.add("role", "master");
    out.add("connected_slaves", 0);
    out.add("master_failover_state", "no-failover");
    out.add("master_replid", &server.identity.run_id);
    out.add("master_repl_offset", source.log_records);
}

fn synod_section(source: &InfoSource, out: &mut Lines<'_>) {
    for (name, value) in [
        ("learner", source.learner),
        ("repair_behind_slots", source.repair_slots),
        ("repair_behind_records", source.repair_records),
        ("repair_behind_bytes", source.repair_bytes),
        ("repair_copied_records", source.repair_copied),
        ("tombstones_dropped", source.tombstones_dropped),
        ("logs_aside", source.logs_aside),
        ("peers_up", source.peers_up),
        ("peers_up_learners", source.learners_up),
        ("proposals_fast", source.proposals_fast),
        ("proposals_granted", source.proposals_granted),
        ("proposals_classic", source.proposals_classic),
        ("reads_agreed", source.reads_agreed),
        ("reads_confirmed", source.reads_confirmed),
        ("finishes", source.finishes),
        ("forwards", source.forwards),
        ("forward_fallbacks", source.forward_fallbacks),
        ("request_deadlines", source.deadlines),
        ("writes_uncertain", source.uncertain),
        ("log_frames", source.log_frames),
        ("log_records", source.log_records),
        ("log_bytes", source.log_bytes),
        ("log_syncs", source.log_syncs),
        ("log_segments", source.segments),
        ("log_live_bytes", source.live_bytes),
        ("log_merges", source.merges),
        ("tree_disk_bytes", source.tree_bytes),
        ("tree_tables", source.tree_tables),
        ("tree_levels", source.tree_levels),
        ("tree_debt_bytes", source.tree_debt_bytes),
        ("tree_pressure", source.tree_pressure),
        ("tree_damaged_tables", source.tree_damaged_tables),
        ("trees_closed", source.trees_closed),
        ("peer_round_trips", source.peer_round_trips),
        ("peer_resends", source.resends),
        ("peer_messages_out", source.peer_messages_out),
        ("peer_messages_in", source.peer_messages_in),
        ("peer_messages_dropped", source.peer_messages_dropped),
        ("peer_frames_out", source.peer_frames_out),
        ("peer_bytes_out", source.peer_bytes_out),
    ] {
        out.add(name, value);
    }
}

fn command_stats(stats: &Stats, out: &mut Lines<'_>) {
    for (name, stat) in stats.commands() {
        let per_call = stat.usec as f64 / stat.calls.max(1) as f64;
        let (calls, usec, rejected, failed) = (stat.calls, stat.usec, stat.rejected, stat.failed);
        out.add(
            &format!("cmdstat_{name}"),
            format_args!(
                "calls={calls},usec={usec},usec_per_call={per_call:.2},rejected_calls={rejected},\
                 failed_calls={failed}"
            ),
        );
    }
}

fn latency_stats(stats: &Stats, out: &mut Lines<'_>) {
    for (name, stat) in stats.commands() {
        let at = |share| stat.percentile_us(share).unwrap_or(0);
        if stat.percentile_us(0.5).is_some() {
            out.add(
                &format!("latency_percentiles_usec_{name}"),
                format_args!("p50={}.000,p99={}.000,p99.9={}.000", at(0.5), at(0.99), at(0.999)),
            );
        }
    }
}

/// `1.66M`, as Redis prints bytes for people.
fn human(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["K", "M", "G", "T", "P"];
    let mut size = bytes as f64;
    let mut unit = "B";
    for next in UNITS {
        if size < 1024.0 {
            break;
        }
        size /= 1024.0;
        unit = next;
    }
    if unit == "B" {
        format!("{bytes}B")
    } else {
        format!("{size:.2}{unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_for_people() {
        for (bytes, want) in
            [(0, "0B"), (1023, "1023B"), (1024, "1.00K"), (1_740_472, "1.66M"), (5 << 30, "5.00G")]
        {
            assert_eq!(human(bytes), want);
        }
    }
}
