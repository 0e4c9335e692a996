//! The simulator itself, and the product under it: seeds, repeatability, scenarios, and that the simulator can fail.

mod order;
mod survey;

use sim::{scenarios, Plan, Sums};

/// Seeds that every test run plays. More are played by `cargo run --release -p sim`.
const SEEDS: std::ops::Range<u64> = 0..50;

#[test]
fn scenarios_hold() {
    for scenario in scenarios::ALL {
        let report = sim::play(scenario.plan(), false);
        assert_eq!(report.violation, None, "scenario {}: {}", scenario.name, scenario.story);
    }
}

#[test]
fn seeds_hold_and_reach_what_they_are_for() {
    let mut sums = Sums::default();
    for seed in SEEDS {
        let report = sim::run(seed, false);
        assert_eq!(report.violation, None, "seed {seed}");
        sums.add(&report);
    }
    assert!(sums.replied > 50 * 60, "most operations are answered: {} of {}", sums.replied, sums.seeds);
    let wanted = [
        "a client asked about many keys in one command",
        "a host died",
        "a host died at a turn",
        "all hosts died at once",
        "one direction was cut",
        "a host was paused",
        "an old message was replayed",
        "a survey was answered",
        "a connection was reset",
        "ballots lost",
        "commands forwarded",
        "commands taken back",
        "fast proposals",
        "keys expired",
        "read conflicts",
        "records finished",
        "records taken over",
        "uncertain replies",
    ];
    for label in wanted {
        assert!(sums.labels.get(label).is_some_and(|count| *count > 0), "never met: {label}");
    }
}

#[test]
fn a_seed_is_a_run() {
    for seed in [1, 7, 11, 20] {
        let (one, other) = (sim::run(seed, false), sim::run(seed, false));
        assert_eq!((one.hash, one.steps, one.labels), (other.hash, other.steps, other.labels), "seed {seed}");
    }
    assert_ne!(sim::run(1, false).hash, sim::run(2, false).hash);
}

#[test]
fn every_transport_and_size_is_drawn() {
    let plans: Vec<Plan> = (0..100).map(Plan::draw).collect();
    assert!(plans.iter().any(|plan| plan.hosts == 5 && plan.transport == sim::plan::Transport::Streams));
    assert!(plans.iter().any(|plan| plan.hosts == 3 && plan.transport == sim::plan::Transport::Messages));
    assert!(plans.iter().any(|plan| !plan.has_faults()), "some runs are healthy");
}
