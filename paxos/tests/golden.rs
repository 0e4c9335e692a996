//! Golden scripts: a conversation between members as text, `tests/scripts/*.txt`.
//!
//! Lines that start with `>` are commands, the lines after each are what came of it; comments and empty lines stay. Run with
//! UPDATE_GOLDEN=1 to rewrite the answers, and read the difference before you keep it.
//!
//! ```text
//! members N                       a fresh world of N members
//! floor M ROUND                   sets the floor of member M
//! M prepare ROUND                 starts phase 1 at ROUND.M.incarnation
//! M propose TEXT | fast TEXT | finish | abandon | query ID | settle | resend
//! M take_over BALLOT TEXT         a copy of a record that is known to be chosen
//! M persisted [TOKEN]             the disk is done, up to the token or altogether
//! M crash                         what is not durable is gone; a new incarnation starts
//! M state                         shows promised, accepted and chosen_to
//! deliver mK ...                  delivers messages by number, as often as one likes
//! deliver all                     delivers what was never delivered, and all that follows from it
//! forge FROM TO accept BALLOT TEXT | restamp BALLOT OF | prepare BALLOT HOLDS | promise BALLOT REPORT | state ID REPORT
//! forge FROM TO need_base BALLOT -
//!                                 a message out of the blue; REPORT is ACCEPTED/TEXT/CHOSEN_TO, and `-` is ballot zero
//! ```

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::path::Path;

use paxos::{
    AcceptorState, Ballot, Entry, Instance, Lost, Member, Members, Message, Output, ReadOutcome, Recorded,
    Report, Token,
};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Text(String);

impl Entry for Text {
    fn agrees(&self, other: &Text) -> bool {
        self == other
    }
}

struct Replica {
    inst: Instance<Text>,
    durable: AcceptorState,
    durable_entry: Option<Text>,
    disk: VecDeque<(Token, Recorded<Text>)>,
    floor: Ballot,
    incarnation: u32,
}

#[derive(Default)]
struct World {
    replicas: Vec<Replica>,
    messages: Vec<(Member, Member, Message<Text>, bool)>,
}

fn quoted(entry: &Option<Text>) -> String {
    entry.as_ref().map(|text| format!(" {:?}", text.0)).unwrap_or_default()
}

fn report(r: &Report<Text>) -> String {
    let chosen = if r.chosen_to.is_zero() { String::new() } else { format!(", chosen to {}", r.chosen_to) };
    format!("has {}{}{chosen}", r.accepted, quoted(&r.entry))
}

fn words(message: &Message<Text>) -> String {
    match message {
        Message::Prepare { ballot, holds } => format!("Prepare {ballot} holds {holds}"),
        Message::Promise { ballot, report: r } => format!("Promise {ballot}: {}", report(r)),
        Message::Accept { ballot, base, entry } => format!("Accept {ballot} base {base} {:?}", entry.0),
        Message::Restamp { ballot, of } => format!("Restamp {ballot} of {of}"),
        Message::Accepted { ballot } => format!("Accepted {ballot}"),
        Message::Reject { ballot, promised, accepted, chosen_to, floor } => {
            format!(
                "Reject {ballot}: promised {promised}, has {accepted}, chosen to {chosen_to}, floor {floor}"
            )
        }
        Message::NeedBase { ballot } => format!("NeedBase {ballot}"),
        Message::Query { id, holds } => format!("Query #{id} holds {holds}"),
        Message::State { id, report: r } => format!("State #{id}: {}", report(r)),
    }
}

fn ballot(word: &str) -> Ballot {
    if word == "-" {
        return Ballot::ZERO;
    }
    let parts: Vec<u64> = word.split('.').map(|part| part.parse().expect("a number")).collect();
    match parts[..] {
        [round, node, incarnation] => Ballot::new(
            round,
            u32::try_from(node).expect("a small node"),
            u32::try_from(incarnation).expect("a small incarnation"),
        ),
        _ => panic!("no ballot: {word}"),
    }
}

fn parse_report(word: &str) -> Report<Text> {
    let parts: Vec<&str> = word.split('/').collect();
    let [accepted, text, chosen_to] = parts[..] else { panic!("no report: {word}") };
    Report {
        accepted: ballot(accepted),
        chosen_to: ballot(chosen_to),
        taken_over: false,
        entry: (text != "-").then(|| Text(text.to_string())),
    }
}

impl World {
    fn restart(count: u8) -> World {
        let members = Members::new(count).expect("a member count");
        let replica = |me| Replica {
            inst: Instance::new(me, members, AcceptorState::default(), None),
            durable: AcceptorState::default(),
            durable_entry: None,
            disk: VecDeque::new(),
            floor: Ballot::ZERO,
            incarnation: 1,
        };
        World { replicas: (0..count).map(replica).collect(), messages: Vec::new() }
    }

    fn command(&mut self, line: &str, log: &mut String) {
        let tokens: Vec<&str> = line.split_whitespace().collect();
        match tokens[..] {
            ["members", count] => *self = World::restart(count.parse().expect("a count")),
            ["floor", me, round] => {
                let floor = Ballot::new(round.parse().expect("a round"), u32::MAX, u32::MAX);
                self.replicas[me.parse::<usize>().expect("a member")].floor = floor;
            }
            ["deliver", "all"] => self.deliver_all(log),
            ["deliver", ..] => {
                for token in &tokens[1..] {
                    let index: usize = token.trim_start_matches('m').parse().expect("a message number");
                    self.deliver(index - 1, log);
                }
            }
            ["forge", from, to, kind, at, rest] => self.forge(from, to, kind, at, rest, log),
            [me, verb, ..] => self.member(me.parse().expect("a member"), verb, &tokens[2..], log),
            _ => panic!("no such command: {line}"),
        }
    }

    fn deliver_all(&mut self, log: &mut String) {
        while let Some(index) = self.messages.iter().position(|(.., delivered)| !delivered) {
            self.deliver(index, log);
        }
    }

    fn deliver(&mut self, index: usize, log: &mut String) {
        let (from, to, message, delivered) = &mut self.messages[index];
        *delivered = true;
        let (from, to, message) = (*from, *to, message.clone());
        self.receive(from, to, message, log);
    }

    fn receive(&mut self, from: Member, to: Member, message: Message<Text>, log: &mut String) {
        let mut out = Vec::new();
        let replica = &mut self.replicas[usize::from(to)];
        replica.inst.receive(from, message, replica.floor, &mut out);
        self.show(to, out, log);
    }

    fn forge(&mut self, from: &str, to: &str, kind: &str, at: &str, rest: &str, log: &mut String) {
        let (from, to) = (from.parse().expect("a member"), to.parse().expect("a member"));
        let message = match kind {
            "need_base" => Message::NeedBase { ballot: ballot(at) },
            "state" => Message::State { id: at.parse().expect("an id"), report: parse_report(rest) },
            "promise" => Message::Promise { ballot: ballot(at), report: parse_report(rest) },
            "accept" => {
                Message::Accept { ballot: ballot(at), base: Ballot::ZERO, entry: Text(rest.to_string()) }
            }
            "restamp" => Message::Restamp { ballot: ballot(at), of: ballot(rest) },
            "prepare" => Message::Prepare { ballot: ballot(at), holds: ballot(rest) },
            _ => panic!("no such message: {kind}"),
        };
        self.receive(from, to, message, log);
    }

    fn member(&mut self, me: Member, verb: &str, args: &[&str], log: &mut String) {
        let replica = &mut self.replicas[usize::from(me)];
        let (inst, floor) = (&mut replica.inst, replica.floor);
        let mut out = Vec::new();
        match (verb, args) {
            ("prepare", [round]) => {
                let round = round.parse().expect("a round");
                inst.prepare(Ballot::new(round, u32::from(me), replica.incarnation), floor, &mut out);
            }
            ("propose", [text]) => {
                inst.propose(Text((*text).to_string()), floor, &mut out);
            }
            ("fast", [text]) => {
                if inst.can_fast(u32::from(me), replica.incarnation) {
                    inst.propose(Text((*text).to_string()), floor, &mut out);
                } else {
                    writeln!(log, "{me} has no fast path").expect("memory");
                }
            }
            ("finish", []) => {
                inst.finish(floor, &mut out);
            }
            ("abandon", []) => inst.abandon(),
            ("query", [id]) => inst.query(id.parse().expect("an id"), &mut out),
            ("settle", []) => inst.settle_read(&mut out),
            ("resend", []) => inst.resend(&mut out),
            ("take_over", [at, text]) => {
                inst.take_over(ballot(at), Text((*text).to_string()), floor, &mut out)
            }
            ("persisted", [token]) => replica.persisted(token.parse().expect("a token"), &mut out),
            ("persisted", []) => replica.persisted(Token::MAX, &mut out),
            ("crash", []) => replica.crash(me),
            ("state", []) => {
                let AcceptorState { promised, accepted, chosen_to, .. } = inst.state();
                writeln!(log, "{me} promised {promised}, has {accepted}, chosen to {chosen_to}")
                    .expect("memory");
            }
            _ => panic!("no such command: {me} {verb} {args:?}"),
        }
        self.show(me, out, log);
    }

    fn show(&mut self, me: Member, outputs: Vec<Output<Text>>, log: &mut String) {
        for output in outputs {
            let line = match output {
                Output::Persist { token, record } => {
                    let what = match &record {
                        Recorded::Promised { ballot } => format!("promise {ballot}"),
                        Recorded::Accepted { ballot, entry } => format!("accept {ballot} {:?}", entry.0),
                    };
                    self.replicas[usize::from(me)].disk.push_back((token, record));
                    format!("{me} persists #{token}: {what}")
                }
                Output::Send { to, message } => {
                    let line = format!("m{} {me} -> {to}: {}", self.messages.len() + 1, words(&message));
                    self.messages.push((me, to, message, false));
                    line
                }
                Output::Prepared { found: None } => format!("{me} is prepared: absent"),
                Output::Prepared { found: Some(found) } => {
                    let known = if found.chosen { "chosen" } else { "not known to be chosen" };
                    format!("{me} is prepared: {} {:?}, {known}", found.ballot, found.entry.0)
                }
                Output::Chosen { ballot } => format!("{me} knows: {ballot} is chosen"),
                Output::Lost(Lost { ballot, accept_sent, rival }) => {
                    let fate =
                        if accept_sent { "its entry may yet be chosen" } else { "nothing was proposed" };
                    format!("{me} lost {ballot} to {rival}: {fate}")
                }
                Output::Read { id, outcome } => match outcome {
                    ReadOutcome::Local { ballot } if ballot.is_zero() => format!("{me} read #{id}: absent"),
                    ReadOutcome::Local { ballot } => format!("{me} read #{id}: own record at {ballot}"),
                    ReadOutcome::Remote { ballot, entry } => {
                        format!("{me} read #{id}: {ballot} {:?}", entry.0)
                    }
                    ReadOutcome::Conflict => format!("{me} read #{id}: must be finished first"),
                },
                Output::Corrupt { from, ballot } => format!("{me} refuses {from}: another entry at {ballot}"),
            };
            writeln!(log, "{line}").expect("memory");
        }
    }
}

impl Replica {
    fn persisted(&mut self, token: Token, out: &mut Vec<Output<Text>>) {
        while self.disk.front().is_some_and(|(at, _)| *at <= token) {
            match self.disk.pop_front() {
                Some((_, Recorded::Promised { ballot })) => self.durable.promised = ballot,
                Some((_, Recorded::Accepted { ballot, entry })) => {
                    self.durable.accepted = ballot;
                    self.durable.promised = ballot.succ();
                    self.durable_entry = Some(entry);
                }
                None => {}
            }
        }
        self.inst.persisted(token, out);
    }

    fn crash(&mut self, me: Member) {
        let members = Members::new(self.members()).expect("a member count");
        self.disk.clear();
        self.incarnation += 1;
        self.inst = Instance::new(me, members, self.durable, self.durable_entry.clone());
    }

    fn members(&self) -> u8 {
        self.inst.members().count()
    }
}

fn play(script: &str) -> String {
    let mut world = World::default();
    let mut text = String::new();
    for line in script.lines() {
        if line.is_empty() || line.starts_with('#') {
            writeln!(text, "{line}").expect("memory");
        } else if let Some(command) = line.strip_prefix('>') {
            writeln!(text, "{line}").expect("memory");
            world.command(command, &mut text);
        }
    }
    text
}

#[test]
fn scripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).expect("the scripts").map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    assert!(paths.len() >= 15, "the scripts are here");
    let mut wrong = Vec::new();
    for path in paths {
        let before = std::fs::read_to_string(&path).expect("a script");
        let after = play(&before);
        if before == after {
            continue;
        }
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, after).expect("a script can be rewritten");
        } else {
            wrong.push(format!("{}:\n{after}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "UPDATE_GOLDEN=1 rewrites them:\n{}", wrong.join("\n"));
}
