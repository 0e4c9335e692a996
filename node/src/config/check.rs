//! What concerns more than one setting.

use std::collections::BTreeMap;

use super::{limits, ConfigError, HostEntry, Loaded, Settings};

/// Checks the settings against each other; every problem is named, with what to do.
pub fn check(loaded: &Loaded) -> Result<(), ConfigError> {
    let settings = &loaded.settings;
    let mut problems = members(settings);
    problems.extend(ports(settings));
    problems.extend(secrets(settings));
    problems.extend(bounds(settings));
    match problems.is_empty() {
        true => Ok(()),
        false => Err(ConfigError { problems }),
    }
}

fn members(settings: &Settings) -> Vec<String> {
    let hosts = &settings.host;
    let mut problems = Vec::new();
    if hosts.is_empty() {
        return problems;
    }
    if hosts.len() > limits::MEMBERS_MAX || hosts.len().is_multiple_of(2) {
        problems.push(format!(
            "host: {} hosts are listed; list 1, 3 or 5 (an even host adds no safety)",
            hosts.len()
        ));
    }
    for (index, entry) in hosts.iter().enumerate() {
        if entry.id == 0 || u64::from(entry.id) > limits::HOST_ID_MAX {
            problems.push(format!(
                "host: id {} is out of bounds: give 1 to {}",
                entry.id,
                limits::HOST_ID_MAX
            ));
        }
        let earlier = hosts.get(..index).unwrap_or_default();
        problems.extend(earlier.iter().filter_map(|other| collision(other, entry)));
        if entry.address.is_unspecified() {
            problems.push(format!(
                "host: {} is no address that a peer can reach; give host {} its own",
                entry.address, entry.id
            ));
        }
    }
    let own = settings.host_id.0;
    if !hosts.iter().any(|entry| u64::from(entry.id) == own) {
        let ids: Vec<String> = hosts.iter().map(|entry| entry.id.to_string()).collect();
        problems.push(format!(
            "host_id: host {own} is not in the member list ({}); set host_id to this host's number",
            ids.join(", ")
        ));
    }
    if settings.announce_host.is_some() {
        problems.push(
            "announce_host: there is a member list; write `announce` into this host's [[host]] entry, on every host, \
             so that all show the same map"
                .to_owned(),
        );
    }
    problems
}

fn collision(one: &HostEntry, other: &HostEntry) -> Option<String> {
    if one.id == other.id {
        return Some(format!("host: id {} is listed twice; give each host its own", one.id));
    }
    let same = one.address == other.address;
    same.then(|| format!("host: hosts {} and {} have the same address {}", one.id, other.id, one.address))
}

/// No two listeners may want one port. Cores that are not counted yet (`cores` is empty) take one port each at least.
fn ports(settings: &Settings) -> Vec<String> {
    let cores = settings.cores.map_or(1, |count| count.0);
    let mut taken: BTreeMap<u64, String> = BTreeMap::new();
    let mut problems = Vec::new();
    let mut take = |name: &str, port: u64| {
        if port > *limits::PORTS.end() {
            return Some(format!(
                "{name}: core ports reach {port}; choose a lower base, so that {cores} cores fit below 65536"
            ));
        }
        let earlier = taken.insert(port, name.to_owned())?;
        Some(format!("{name}: port {port} is also taken by {earlier}; choose ports that do not overlap"))
    };
    problems.extend(take("plain_port", u64::from(settings.plain_port)));
    problems.extend(take("admin_port", u64::from(settings.admin_port)));
    for (name, base) in
        [("client_port_base", settings.client_port_base), ("peer_port_base", settings.peer_port_base)]
    {
        problems.extend((0..cores).find_map(|core| take(name, u64::from(base) + core)));
    }
    problems
}

fn secrets(settings: &Settings) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(secret) = &settings.cluster_secret {
        problems.extend(secret_problem("cluster_secret", secret.reveal()));
        if settings.cluster_secret_file.is_some() {
            problems.push("cluster_secret: cluster_secret_file is set too; keep one of them".to_owned());
        }
    }
    problems
}

/// What is wrong with a cluster secret, if anything is.
pub fn secret_problem(name: &str, secret: &str) -> Option<String> {
    let bounds = limits::SECRET_BYTES_MIN..=limits::SECRET_BYTES_MAX;
    let fits = bounds.contains(&secret.len());
    (!fits).then(|| {
        format!(
            "{name}: the secret has {} characters; give {} to {}, or let `synod init --new-cluster` make one",
            secret.len(),
            bounds.start(),
            bounds.end()
        )
    })
}

/// What settings contradict each other in.
pub fn bounds(settings: &Settings) -> Vec<String> {
    let mut problems = Vec::new();
    if settings.output_bytes_max < settings.value_bytes_max {
        problems.push("output_bytes_max: it is below value_bytes_max; one reply must fit".to_owned());
    }
    // A frame is a record with its key and headers; it must fit a segment with room to spare.
    let record = settings.value_bytes_max.0.saturating_add(settings.key_bytes_max.0).saturating_add(64 << 10);
    if settings.segment_bytes.0 < record {
        problems.push(format!(
            "segment_bytes: the largest value and key need {record} bytes with their headers; raise it, or lower \
             value_bytes_max"
        ));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::super::{load, Sources};

    fn problems(flags: &[(&str, &str)]) -> Vec<String> {
        let flags = flags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        load(&Sources { flags, ..Sources::default() }).map_or_else(|e| e.problems, |_| Vec::new())
    }

    #[test]
    fn settings_that_do_not_fit_each_other_are_refused_with_the_remedy() {
        let three = "1=10.0.0.1,2=10.0.0.2,3=10.0.0.3";
        type Case<'a> = (&'a [(&'a str, &'a str)], &'a str);
        let table: [Case<'_>; 14] = [
            (&[("host", "1=10.0.0.1,2=10.0.0.2")], "list 1, 3 or 5"),
            (&[("host", three), ("host_id", "4")], "host 4 is not in the member list (1, 2, 3)"),
            (&[("host", "1=10.0.0.1,1=10.0.0.2,3=10.0.0.3")], "id 1 is listed twice"),
            (&[("host", "1=10.0.0.1,2=10.0.0.1,3=10.0.0.3")], "hosts 1 and 2 have the same address 10.0.0.1"),
            (&[("host", "1=0.0.0.0")], "0.0.0.0 is no address that a peer can reach"),
            (&[("host", "0=10.0.0.1,1=10.0.0.2,2=10.0.0.3")], "id 0 is out of bounds"),
            (
                &[("host", three), ("announce_host", "1.2.3.4")],
                "write `announce` into this host's [[host]] entry",
            ),
            (&[("plain_port", "7900")], "port 7900 is also taken by plain_port"),
            (&[("cores", "8"), ("peer_port_base", "7004")], "port 7004 is also taken by client_port_base"),
            (&[("cores", "8"), ("client_port_base", "65530")], "core ports reach 65536"),
            (&[("cluster_secret", "short")], "the secret has 5 characters; give 16 to 1024"),
            (
                &[("cluster_secret", "long enough to be one"), ("cluster_secret_file", "f")],
                "cluster_secret_file is set too",
            ),
            (&[("output_bytes_max", "1 MB")], "one reply must fit"),
            (&[("segment_bytes", "16 MiB")], "raise it, or lower value_bytes_max"),
        ];
        for (flags, expected) in table {
            let found = problems(flags);
            assert!(found.len() == 1 && found[0].contains(expected), "{flags:?} gave {found:?}");
        }
        assert_eq!(problems(&[("host", three), ("host_id", "3")]), Vec::<String>::new());
    }
}
