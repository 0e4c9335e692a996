//! Which port is announced as the primary of which slot, given who is reachable.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use shard::reply::Reply;
use shard::slot::SLOTS;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::layout::{slice_slots, Layout};

/// Which slices of which hosts are reachable, as this host sees it. A host is dead when none of its slices is
/// live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Liveness {
    slices: usize,
    live: Vec<bool>,
}

impl Liveness {
    /// All slices of all hosts.
    pub fn all(layout: &Layout) -> Liveness {
        let slices = usize::from(layout.slices());
        Liveness { slices, live: vec![true; slices * layout.hosts().len()] }
    }

    /// Notes one slice of the host with this index in the layout; returns whether that changed anything.
    pub fn set(&mut self, host_index: usize, slice: u16, live: bool) -> bool {
        assert!(usize::from(slice) < self.slices, "slice {slice} of {}", self.slices);
        let place = self.live.get_mut(host_index * self.slices + usize::from(slice));
        let place = place.expect("a host of the layout");
        std::mem::replace(place, live) != live
    }

    /// Notes all slices of a host; returns whether that changed anything.
    pub fn set_host(&mut self, host_index: usize, live: bool) -> bool {
        let changes = (0..self.slices as u16).filter(|&slice| self.set(host_index, slice, live)).count();
        changes > 0
    }

    /// Whether a slice of a host is reachable.
    pub fn is_live(&self, host_index: usize, slice: u16) -> bool {
        self.live.get(host_index * self.slices + usize::from(slice)).copied().unwrap_or(false)
    }
}

/// One announced port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Primary {
    /// 40 hexadecimal characters, the same for the life of the cluster.
    pub id: String,
    /// 40 hexadecimal characters for CLUSTER SHARDS and MYSHARDID.
    pub shard_id: String,
    /// Place of the host in the layout.
    pub host_index: usize,
    /// Number of the port on its host: core port base plus this.
    pub port_index: u16,
    /// The slice it serves.
    pub slice: u16,
    /// Address that clients are told.
    pub addr: SocketAddr,
    /// Peer port, for CLUSTER NODES.
    pub peer_port: u16,
    /// Slots it is the primary of, first and last of each run, in order, with gaps between. Empty when dead.
    pub ranges: Vec<(u16, u16)>,
    /// Whether it is announced.
    pub live: bool,
}

/// The port of this host that a client came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// Takes every key, never answers MOVED.
    Plain,
    /// A core port, by its number on the host: behaves as a node of a Redis Cluster.
    Core(u16),
}

/// Where a key's command is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// On this host, by this slice.
    Here(u16),
    /// At another port, which is believed reachable.
    Moved(&'a Primary),
}

/// The announced primaries and the owner of each slot. Made anew at each change, shared by all sessions of a
/// core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterMap {
    layout: Arc<Layout>,
    /// Place of this host in the layout.
    me: usize,
    /// In order of host and port.
    primaries: Vec<Primary>,
    /// Per slot, the place in `primaries`.
    owners: Vec<u16>,
    /// Counts changes of the map on this host, for CLUSTER INFO.
    epoch: u64,
}

impl ClusterMap {
    /// The map of `layout` under `liveness`, for the host at `me`. `epoch` counts the maps of this host.
    pub fn new(layout: Arc<Layout>, me: usize, liveness: &Liveness, epoch: u64) -> ClusterMap {
        assert!(me < layout.hosts().len(), "host index {me} of {}", layout.hosts().len());
        let mut map =
            ClusterMap { primaries: primaries(&layout, liveness), layout, me, owners: vec![], epoch };
        map.owners = vec![u16::MAX; usize::from(SLOTS)];
        for slice in 0..map.layout.slices() {
            map.assign_slice(slice, liveness);
        }
        map.collect_ranges();
        map
    }

    /// Gives the slots of a slice to its ports; those of dead ports in equal parts to the live ones.
    fn assign_slice(&mut self, slice: u16, liveness: &Liveness) {
        let all = self.ports_of(slice);
        let live: Vec<u16> = all.iter().copied().filter(|&port| self.primary(port).live).collect();
        // If nobody serves the slice, the map stays whole: clients then get errors from those they ask.
        let heirs = if live.is_empty() { &all } else { &live };
        let slots = slice_slots(slice, self.layout.slices());
        for (part, &port) in parts((slots.0, slots.1 + 1), all.len()).zip(&all) {
            let host = self.primary(port).host_index;
            if liveness.is_live(host, slice) || live.is_empty() {
                self.assign(part, port);
            } else {
                for (part, &heir) in parts(part, heirs.len()).zip(heirs) {
                    self.assign(part, heir);
                }
            }
        }
    }

    fn assign(&mut self, (first, end): (u16, u16), port: u16) {
        if let Some(owners) = self.owners.get_mut(usize::from(first)..usize::from(end)) {
            owners.fill(port);
        }
    }

    fn collect_ranges(&mut self) {
        for slot in 0..SLOTS {
            let owner = usize::from(self.owners[usize::from(slot)]);
            let primary = self.primaries.get_mut(owner).expect("every slot was given to a port");
            match primary.ranges.last_mut() {
                Some(last) if last.1 + 1 == slot => last.1 = slot,
                _ => primary.ranges.push((slot, slot)),
            }
        }
    }

    fn ports_of(&self, slice: u16) -> Vec<u16> {
        let of_slice = |place: &usize| self.primaries.get(*place).is_some_and(|port| port.slice == slice);
        (0..self.primaries.len()).filter(of_slice).map(|place| place as u16).collect()
    }

    fn primary(&self, place: u16) -> &Primary {
        self.primaries.get(usize::from(place)).expect("a place in the list of primaries")
    }

    /// What the map was made of.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Place of this host in the layout.
    pub fn me(&self) -> usize {
        self.me
    }

    /// Address that this host announces.
    pub fn my_ip(&self) -> IpAddr {
        self.layout.hosts()[self.me].ip
    }

    /// Counts changes of the map on this host.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// All ports, live or not, in order of host and port.
    pub fn primaries(&self) -> &[Primary] {
        &self.primaries
    }

    /// The announced port of this host with this number.
    pub fn own(&self, port: Port) -> Option<&Primary> {
        let Port::Core(index) = port else { return None };
        self.primaries.iter().find(|primary| primary.host_index == self.me && primary.port_index == index)
    }

    /// The port that is announced as the primary of a slot.
    pub fn owner(&self, slot: u16) -> &Primary {
        self.primary(*self.owners.get(usize::from(slot)).expect("a slot below 16384"))
    }

    /// The slice of a slot.
    pub fn slice(&self, slot: u16) -> u16 {
        super::layout::slice_of(slot, self.layout.slices())
    }

    /// Whether a command on `slot` that came in by `port` is served here. `asking`: the client was told to
    /// ask here.
    ///
    /// A dead owner is never named: whoever is asked serves, as every host holds every slot.
    pub fn route(&self, slot: u16, port: Port, asking: bool) -> Route<'_> {
        let slice = self.slice(slot);
        let Port::Core(index) = port else { return Route::Here(slice) };
        let owner = self.owner(slot);
        let is_me = owner.host_index == self.me && owner.port_index == index;
        if is_me || asking || !owner.live {
            Route::Here(slice)
        } else {
            Route::Moved(owner)
        }
    }

    /// The slots that keyless commands (DBSIZE, SCAN, KEYS) of a port look at, with the slice that holds
    /// them: those it is the primary of, or on the plain port all.
    pub fn scope(&self, port: Port) -> Vec<(u16, Vec<(u16, u16)>)> {
        match self.own(port) {
            Some(own) => vec![(own.slice, own.ranges.clone())],
            None => (0..self.layout.slices())
                .map(|slice| (slice, vec![slice_slots(slice, self.layout.slices())]))
                .collect(),
        }
    }
}

impl Primary {
    /// The redirect that sends a client here.
    pub fn moved(&self, slot: u16) -> Reply {
        Reply::Error(format!("MOVED {slot} {}:{}", self.addr.ip(), self.addr.port()).into())
    }

    /// `ip:port` as Redis writes it: without brackets, also for version 6.
    pub fn addr_text(&self) -> String {
        format!("{}:{}", self.addr.ip(), self.addr.port())
    }
}

fn primaries(layout: &Layout, liveness: &Liveness) -> Vec<Primary> {
    let mut primaries = Vec::new();
    for (host_index, host) in layout.hosts().iter().enumerate() {
        for port_index in 0..layout.ports_per_host() {
            let slice = layout.slice_of_port(port_index);
            let port = host.core_port_base + port_index;
            primaries.push(Primary {
                id: hex_id(&format!("node/{}/{}/{port}", layout.cluster_id(), host.id)),
                shard_id: hex_id(&format!("shard/{}/{}/{port}", layout.cluster_id(), host.id)),
                host_index,
                port_index,
                slice,
                addr: SocketAddr::new(host.ip, port),
                peer_port: host.peer_port_base.saturating_add(slice),
                ranges: Vec::new(),
                live: liveness.is_live(host_index, slice),
            });
        }
    }
    primaries
}

/// Cuts first..end into `count` runs of equal length, give or take one.
fn parts((first, end): (u16, u16), count: usize) -> impl Iterator<Item = (u16, u16)> {
    assert!(first <= end && count > 0, "a run {first}..{end} in {count} parts");
    let at = move |part: usize| (usize::from(first) + usize::from(end - first) * part / count) as u16;
    (0..count).map(move |part| (at(part), at(part + 1)))
}

/// 160 bits of the text's hash, as hexadecimal digits.
pub(super) fn hex_id(text: &str) -> String {
    let high = xxh3_128_with_seed(text.as_bytes(), 0);
    let low = xxh3_128_with_seed(text.as_bytes(), 1) as u32;
    format!("{high:032x}{low:08x}")
}
