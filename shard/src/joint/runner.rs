//! Takes one joint command through its steps (docs/design/several-keys.md, section 2). Pure.

use std::mem;

use reactor::mutants::planted;

use super::ops::JointOp;
use super::ties::{writes_bytes, JointId, Snapshot, Write, Writes};
use crate::command::Numbered;
use crate::error;
use crate::limits::{
    JOINT_READS_MAX, JOINT_READ_BYTES_MAX, JOINT_RELEASES_MAX, JOINT_WRITE_BYTES_MAX, RESULT_BYTES_MAX,
};
use crate::reply::Reply;

/// What is to be done for a runner.
#[derive(Clone, Debug, PartialEq)]
pub enum Todo {
    /// This step at the key at this place. Its answer goes to [`Runner::on_reply`], exactly once.
    Ask(usize, JointOp),
    /// Run the command on [`Runner::states`], and say what came of it: [`Runner::on_ran`].
    Run,
    /// Wait a moment by chance, longer with each attempt, and call [`Runner::resume`] with an id that was never used.
    Pause,
    /// The answer to the client, exactly once. Steps may follow.
    Answer(Reply),
    /// Nothing more is to be done.
    End,
}

/// What running a command on the states of its keys came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Ran {
    /// What the client is told.
    pub reply: Reply,
    /// What each key becomes, in the order of the keys; None: it stays as it is.
    pub writes: Vec<Option<Write>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// All keys are read,
    Reading,
    /// and once more their versions.
    Checking,
    /// The anchor is being claimed,
    ClaimingAnchor,
    /// and then the others.
    ClaimingOthers,
    /// The command is being run.
    Running,
    /// The anchor is being written.
    Deciding,
    /// It happened: the others are being written.
    Releasing,
    /// All of them are, and the decision goes.
    Forgetting,
    /// It did not happen: the anchor's claim goes,
    DroppingAnchor,
    /// and then the others'.
    DroppingOthers,
    /// A moment passes before the next attempt,
    Pausing,
    /// or before what was not answered is asked once more.
    PausingInRelease,
    Ended,
}

/// A joint command on its way.
#[derive(Debug)]
pub struct Runner {
    keys: Vec<Box<[u8]>>,
    /// The place of the anchor. The first one, unless another one takes so much that it must be that.
    anchor: usize,
    request: Option<Numbered>,
    id: JointId,
    stage: Stage,
    /// Nothing is claimed while this many attempts to read are left.
    reads_left: u32,
    releases_left: u32,
    /// Steps that are not answered.
    out: usize,
    states: Vec<Snapshot>,
    /// Other keys whose claim may be there.
    held: Vec<bool>,
    /// A step of this stage failed: with this answer; or met another joint command.
    error: Option<Reply>,
    collided: bool,
    ran: Option<Ran>,
    /// Which key is the anchor of the next attempt, if another one is.
    next_anchor: Option<usize>,
    answered: bool,
    /// The client waits no longer.
    late: bool,
}

fn is_uncertain(error: &Reply) -> bool {
    matches!(error, Reply::Error(text) if text.starts_with("UNCERTAIN"))
}

/// What is written at other keys than the anchor.
fn others_of(keys: &[Box<[u8]>], writes: &[Option<Write>], anchor: usize) -> Writes {
    let others = keys.iter().zip(writes).enumerate().filter(|(place, _)| *place != anchor);
    others.filter_map(|(_, (key, write))| Some((key.clone(), write.clone()?))).collect()
}

impl Runner {
    /// One over different keys, the best anchor first. `is_read`: it writes nothing, so that it is tried without claims.
    pub fn new(keys: Vec<Box<[u8]>>, is_read: bool, request: Option<Numbered>, id: JointId) -> Runner {
        let count = keys.len();
        Runner {
            keys,
            anchor: 0,
            request,
            id,
            stage: Stage::Pausing,
            reads_left: if is_read { JOINT_READS_MAX } else { 0 },
            releases_left: JOINT_RELEASES_MAX,
            out: 0,
            states: vec![Snapshot::default(); count],
            held: vec![false; count],
            error: None,
            collided: false,
            ran: None,
            next_anchor: None,
            answered: false,
            late: false,
        }
    }

    /// Bytes of what was found at its keys.
    pub fn bytes(&self) -> usize {
        self.states.iter().map(|state| state.is.bytes()).sum()
    }

    /// Its client waits no longer. Steps that were begun are ended nevertheless.
    pub fn on_deadline(&mut self) -> Vec<Todo> {
        self.late = true;
        let mut todo = Vec::new();
        match self.stage {
            Stage::DroppingAnchor | Stage::DroppingOthers => self.answer(error::TIMED_OUT, &mut todo),
            Stage::Releasing | Stage::PausingInRelease => self.answer(error::UNCERTAIN, &mut todo),
            // Their steps end by then, and what comes after them tells the client first.
            _ => {}
        }
        todo
    }

    /// Its id at the moment.
    pub fn id(&self) -> JointId {
        self.id
    }

    /// Its keys, as they were given.
    pub fn keys(&self) -> &[Box<[u8]>] {
        &self.keys
    }

    /// What was found at the keys, in their order.
    pub fn states(&self) -> &[Snapshot] {
        &self.states
    }

    /// Whether the client has its answer.
    pub fn is_answered(&self) -> bool {
        self.answered
    }

    /// Whether it waits for [`Runner::resume`], and nothing was decided.
    pub fn is_between_attempts(&self) -> bool {
        self.stage == Stage::Pausing
    }

    /// Whether it may have happened, as far as this runner knows.
    pub fn may_have_happened(&self) -> bool {
        matches!(self.stage, Stage::Deciding | Stage::Releasing | Stage::Forgetting | Stage::PausingInRelease)
    }

    /// Begins, or goes on after a pause. `id` was never used; it stands for the attempt, if it is a new one.
    pub fn resume(&mut self, id: JointId) -> Vec<Todo> {
        match self.stage {
            Stage::PausingInRelease => self.release(),
            Stage::Pausing => {
                self.id = id;
                if self.reads_left > 0 {
                    self.reads_left -= 1;
                    return self.ask_all(Stage::Reading, |_| Some(JointOp::Fetch));
                }
                self.held.fill(false);
                let (request, anchor) = (self.request.clone(), self.anchor);
                let claim = JointOp::Claim { id, anchor: self.keys[anchor].clone(), request };
                if planted(503) && self.keys.len() > 1 {
                    self.stage = Stage::ClaimingOthers;
                    return self.claim_others();
                }
                self.ask_all(Stage::ClaimingAnchor, |place| (place == anchor).then(|| claim.clone()))
            }
            _ => Vec::new(),
        }
    }

    /// Another flush epoch begins. What was found without claims may be of two epochs, and versions do not tell: at a key that was absent what
    /// another command had decided to write is void, and leaves no trace. (A claim tells: it is void.)
    pub fn on_flushed(&mut self) {
        self.collided |= matches!(self.stage, Stage::Reading | Stage::Checking) && !planted(561);
    }

    /// A step was answered.
    pub fn on_reply(&mut self, place: usize, reply: Reply) -> Vec<Todo> {
        self.out -= 1;
        match (self.stage, &reply) {
            (Stage::Reading | Stage::ClaimingAnchor | Stage::ClaimingOthers, Reply::Bulk(bytes)) => {
                match Snapshot::decode(bytes) {
                    Ok(state) => self.states[place] = state,
                    Err(_) => self.error = Some(error::UNREADABLE),
                }
                if self.bytes() > JOINT_READ_BYTES_MAX {
                    self.error = Some(error::JOINT_READS_TOO_MUCH);
                }
            }
            (Stage::ClaimingAnchor, Reply::Array(before)) => {
                return self.end(before.first().cloned().unwrap_or(Reply::Nil));
            }
            (Stage::ClaimingAnchor | Stage::ClaimingOthers, Reply::Nil) => {
                self.collided = true;
                self.held[place] = false;
            }
            (Stage::Checking, Reply::Int(version)) => {
                self.collided |= u64::try_from(*version) != Ok(self.states[place].version);
            }
            (Stage::Deciding, Reply::Int(1)) => {}
            (Stage::Deciding, Reply::Int(_)) => self.collided = true,
            (Stage::Releasing | Stage::DroppingOthers, Reply::Int(_)) => self.held[place] = false,
            (Stage::Forgetting | Stage::DroppingAnchor, Reply::Int(_)) => {}
            _ => {
                self.error.get_or_insert(reply);
            }
        }
        if self.out > 0 {
            Vec::new()
        } else {
            self.go_on()
        }
    }

    /// All steps of the stage are answered.
    fn go_on(&mut self) -> Vec<Todo> {
        let (error, collided) = (self.error.take(), mem::take(&mut self.collided));
        match (self.stage, error) {
            (Stage::Reading | Stage::Checking, Some(error)) => self.end(error),
            (Stage::Reading, None) if collided => self.resume_as_pausing(),
            (Stage::Reading, None) => {
                if self.states.iter().any(|state| state.version == 0) {
                    // What comes to be and goes again leaves no trace here.
                    self.reads_left = 0;
                    return self.resume_as_pausing();
                }
                self.ask_all(Stage::Checking, |_| Some(JointOp::Peek))
            }
            (Stage::Checking, None) if collided => self.resume_as_pausing(),
            (Stage::Checking, None) => self.run(),
            // Nothing was decided: there may be another attempt.
            (Stage::ClaimingAnchor | Stage::ClaimingOthers, Some(error)) => {
                self.go_back((!is_uncertain(&error)).then_some(error))
            }
            (Stage::ClaimingAnchor, None) if collided => self.pause(),
            (Stage::ClaimingAnchor, None) => self.claim_others(),
            (Stage::ClaimingOthers, None) if collided => self.go_back(None),
            (Stage::ClaimingOthers, None) => self.run(),
            (Stage::Deciding, Some(error)) if is_uncertain(&error) => self.end(error::UNCERTAIN),
            (Stage::Deciding, Some(error)) => self.go_back(Some(error)),
            // The anchor's claim is gone: it did not happen, and will not.
            (Stage::Deciding, None) if collided => self.drop_others(),
            (Stage::Deciding, None) if planted(506) => self.forget(),
            (Stage::Deciding, None) => self.release(),
            (Stage::Releasing, _) => self.on_released(),
            (Stage::DroppingAnchor, Some(_)) => {
                // As long as the anchor is claimed the others are not dropped: whoever comes to them finds out.
                let reply = error::TIMED_OUT;
                self.end(reply)
            }
            (Stage::DroppingAnchor, None) => self.drop_others(),
            (Stage::DroppingOthers, _) => self.pause(),
            (Stage::Forgetting, _) if planted(506) && !self.answered => self.release(),
            (Stage::Forgetting, _) => self.end(Reply::Nil),
            (Stage::Running | Stage::Pausing | Stage::PausingInRelease | Stage::Ended, _) => Vec::new(),
        }
    }

    fn resume_as_pausing(&mut self) -> Vec<Todo> {
        self.stage = Stage::Pausing;
        self.resume(self.id)
    }

    fn run(&mut self) -> Vec<Todo> {
        let read = self.stage == Stage::Checking;
        if !read {
            self.stage = Stage::Running;
        }
        vec![Todo::Run]
    }

    /// The command was run.
    pub fn on_ran(&mut self, ran: Ran) -> Vec<Todo> {
        if self.stage == Stage::Checking {
            return self.end(ran.reply);
        }
        // What was found is not needed any more.
        self.states.fill(Snapshot::default());
        let others = others_of(&self.keys, &ran.writes, self.anchor);
        if writes_bytes(&others) > JOINT_WRITE_BYTES_MAX {
            let bytes = |place: &usize| ran.writes[*place].as_ref().map_or(0, Write::bytes);
            let largest = (0..self.keys.len()).max_by_key(bytes).unwrap_or(0);
            let fits = writes_bytes(&others_of(&self.keys, &ran.writes, largest)) <= JOINT_WRITE_BYTES_MAX;
            // A numbered one is known to one key, which is always the same.
            if largest == self.anchor || !fits || self.request.is_some() {
                return self.go_back(Some(error::JOINT_TOO_LARGE));
            }
            self.next_anchor = Some(largest);
            return self.go_back(None);
        }
        let request = self.request.clone().map(|request| {
            let mut bytes = Vec::new();
            ran.reply.encode(&mut bytes);
            // One that is too long is not kept, however long it is.
            bytes.truncate(RESULT_BYTES_MAX + 1);
            (request, bytes.into_boxed_slice())
        });
        let (anchor, write) = (self.anchor, ran.writes[self.anchor].clone());
        let decide = JointOp::Decide { id: self.id, write, others, request };
        self.ran = Some(ran);
        self.ask_all(Stage::Deciding, |place| (place == anchor).then(|| decide.clone()))
    }

    fn claim_others(&mut self) -> Vec<Todo> {
        if self.keys.len() == 1 {
            return self.run();
        }
        self.held.fill(true);
        let (id, own, anchor) = (self.id, self.anchor, self.keys[self.anchor].clone());
        let with_anchor = planted(503);
        self.ask_all(Stage::ClaimingOthers, |place| {
            (place != own || with_anchor).then(|| JointOp::Claim {
                id,
                anchor: anchor.clone(),
                request: None,
            })
        })
    }

    /// Writes the others, or gives them back as they are.
    fn release(&mut self) -> Vec<Todo> {
        let mut todo = self.tell_late(error::UNCERTAIN);
        let id = self.id;
        let writes = self.ran.as_ref().map(|ran| ran.writes.clone()).unwrap_or_default();
        let (held, anchor) = (self.held.clone(), self.anchor);
        todo.extend(self.ask_all(Stage::Releasing, |place| {
            let write = writes.get(place).cloned().flatten();
            (place != anchor && held[place]).then_some(JointOp::Release { id, write })
        }));
        todo
    }

    /// Where all writes are done the client is told, and the decision goes.
    fn on_released(&mut self) -> Vec<Todo> {
        let is_write = |place: &usize| self.is_write(*place);
        let left = (0..self.keys.len()).filter(|place| self.held[*place]).filter(is_write).count();
        if left > 0 {
            let mut todo = Vec::new();
            self.answer(error::UNCERTAIN, &mut todo);
            if self.releases_left == 0 {
                self.stage = Stage::Ended;
                todo.push(Todo::End);
                return todo;
            }
            self.releases_left -= 1;
            self.stage = Stage::PausingInRelease;
            todo.push(Todo::Pause);
            return todo;
        }
        let mut todo = Vec::new();
        let reply = self.ran.as_ref().map_or(Reply::Nil, |ran| ran.reply.clone());
        self.answer(reply, &mut todo);
        if (0..self.keys.len()).any(|place| self.is_write(place)) && !planted(506) {
            todo.extend(self.forget());
        } else {
            self.stage = Stage::Ended;
            todo.push(Todo::End);
        }
        todo
    }

    fn forget(&mut self) -> Vec<Todo> {
        let (forget, anchor) = (JointOp::Forget { id: self.id, key: None }, self.anchor);
        self.ask_all(Stage::Forgetting, |place| (place == anchor).then(|| forget.clone()))
    }

    /// Whether another key than the anchor is written.
    fn is_write(&self, place: usize) -> bool {
        place != self.anchor
            && self.ran.as_ref().and_then(|ran| ran.writes.get(place)).is_some_and(Option::is_some)
    }

    /// Gives it up, and tries again unless there is something to be told. Nothing was decided.
    fn go_back(&mut self, reply: Option<Reply>) -> Vec<Todo> {
        let mut todo = Vec::new();
        if let Some(reply) = reply {
            self.answer(reply, &mut todo);
        }
        todo.extend(self.tell_late(error::TIMED_OUT));
        // The anchor first, so that what might still decide finds its claim gone while the others are not yet.
        let (drop, anchor) = (JointOp::Release { id: self.id, write: None }, self.anchor);
        let more = self.ask_all(Stage::DroppingAnchor, |place| (place == anchor).then(|| drop.clone()));
        todo.extend(more);
        todo
    }

    fn drop_others(&mut self) -> Vec<Todo> {
        let mut todo = self.tell_late(error::TIMED_OUT);
        let (id, held, anchor) = (self.id, self.held.clone(), self.anchor);
        todo.extend(self.ask_all(Stage::DroppingOthers, |place| {
            (place != anchor && held[place]).then_some(JointOp::Release { id, write: None })
        }));
        todo
    }

    /// Before the next attempt, if the client waits.
    fn pause(&mut self) -> Vec<Todo> {
        self.stage = if self.answered { Stage::Ended } else { Stage::Pausing };
        self.anchor = self.next_anchor.take().unwrap_or(self.anchor);
        vec![if self.answered { Todo::End } else { Todo::Pause }]
    }

    /// Answers the client of one that is between two attempts, or before its end.
    pub fn end(&mut self, reply: Reply) -> Vec<Todo> {
        let mut todo = Vec::new();
        self.answer(reply, &mut todo);
        self.stage = Stage::Ended;
        todo.push(Todo::End);
        todo
    }

    fn answer(&mut self, reply: Reply, todo: &mut Vec<Todo>) {
        if !mem::replace(&mut self.answered, true) {
            todo.push(Todo::Answer(reply));
        }
    }

    /// The steps that follow may take their time: a client that waits no longer does not wait for them.
    fn tell_late(&mut self, reply: Reply) -> Vec<Todo> {
        let mut todo = Vec::new();
        if self.late {
            self.answer(reply, &mut todo);
        }
        todo
    }

    /// Asks the steps of a stage; one without any is over.
    fn ask_all(&mut self, stage: Stage, step: impl Fn(usize) -> Option<JointOp>) -> Vec<Todo> {
        self.stage = stage;
        let steps = (0..self.keys.len()).filter_map(|place| Some(Todo::Ask(place, step(place)?)));
        let steps: Vec<Todo> = steps.collect();
        self.out = steps.len();
        if steps.is_empty() {
            self.go_on()
        } else {
            steps
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(late: bool) -> Runner {
        let id = JointId { node: 1, incarnation: 1, seq: 1 };
        let keys = [&b"a"[..], b"b"].map(Box::from).to_vec();
        let mut runner = Runner::new(keys, false, None, id);
        assert!(matches!(&runner.resume(id)[..], [Todo::Ask(0, JointOp::Claim { .. })]));
        if late {
            assert_eq!(runner.on_deadline(), []);
        }
        runner
    }

    /// Both keys are claimed, the command is run, and the anchor is asked to decide.
    fn deciding(late: bool) -> Runner {
        let mut runner = begun(false);
        let found = Reply::Bulk(Snapshot::default().encoded());
        assert!(matches!(&runner.on_reply(0, found.clone())[..], [Todo::Ask(1, JointOp::Claim { .. })]));
        assert_eq!(runner.on_reply(1, found), [Todo::Run]);
        let write = Some(Write::default());
        let ran = Ran { reply: Reply::Int(7), writes: vec![write; 2] };
        assert!(matches!(&runner.on_ran(ran)[..], [Todo::Ask(0, JointOp::Decide { .. })]));
        if late {
            assert_eq!(runner.on_deadline(), []);
        }
        runner
    }

    /// The one key was read before a flush and the other one after it: they are read anew.
    #[test]
    fn what_is_read_without_claims_is_of_one_flush_epoch() {
        let found = || Reply::Bulk(Snapshot { version: 7, ..Snapshot::default() }.encoded());
        for flushed_at in 0..4 {
            let id = JointId { node: 1, incarnation: 1, seq: 1 };
            let mut runner = Runner::new([&b"a"[..], b"b"].map(Box::from).to_vec(), true, None, id);
            assert!(matches!(
                &runner.resume(id)[..],
                [Todo::Ask(0, JointOp::Fetch), Todo::Ask(1, JointOp::Fetch)]
            ));
            let mut last = Vec::new();
            for (step, reply) in [found(), found(), Reply::Int(7), Reply::Int(7)].into_iter().enumerate() {
                if step == flushed_at {
                    runner.on_flushed();
                }
                last = runner.on_reply(step % 2, reply);
                if matches!(&last[..], [Todo::Ask(0, JointOp::Fetch), ..]) {
                    break;
                }
            }
            assert!(
                matches!(&last[..], [Todo::Ask(0, JointOp::Fetch), Todo::Ask(1, JointOp::Fetch)]),
                "{flushed_at}"
            );
        }
    }

    #[test]
    fn who_waits_no_longer_is_told_before_claims_are_dropped() {
        let on_time = begun(false).on_reply(0, error::UNCERTAIN);
        assert!(matches!(&on_time[..], [Todo::Ask(0, JointOp::Release { .. })]), "it may be tried again");
        let late = begun(true).on_reply(0, error::UNCERTAIN);
        assert!(
            matches!(&late[..], [Todo::Answer(told), Todo::Ask(0, JointOp::Release { .. })] if *told == error::TIMED_OUT)
        );
        let lost = deciding(true).on_reply(0, Reply::Int(0));
        assert!(
            matches!(&lost[..], [Todo::Answer(told), Todo::Ask(1, JointOp::Release { .. })] if *told == error::TIMED_OUT)
        );
    }

    #[test]
    fn who_waits_no_longer_is_told_before_the_others_are_written() {
        let mut on_time = deciding(false);
        assert!(matches!(&on_time.on_reply(0, Reply::Int(1))[..], [Todo::Ask(1, JointOp::Release { .. })]));
        let told = on_time.on_reply(1, Reply::Int(1));
        assert!(matches!(&told[..], [Todo::Answer(Reply::Int(7)), Todo::Ask(0, JointOp::Forget { .. })]));
        let mut late = deciding(true);
        let all = late.on_reply(0, Reply::Int(1));
        assert!(
            matches!(&all[..], [Todo::Answer(told), Todo::Ask(1, JointOp::Release { .. })] if *told == error::UNCERTAIN)
        );
        assert!(matches!(&late.on_reply(1, Reply::Int(1))[..], [Todo::Ask(0, JointOp::Forget { .. })]));
    }
}
