//! The two-phase apply as a pure machine: prepare everywhere, then commit everywhere, or drop everywhere.
//!
//! What it is: one apply's books. What it is not: it checks no document, sends nothing and knows no
//! descriptor; `run` carries out its steps.
//!
//! Invariants: COMMIT is sent to nobody before every worker on the books has said PREPARED; once it was
//! sent to one it is sent to all; a worker that then doesn't follow is killed and replaced, so that no
//! two configurations go on serving side by side.

use super::supervisor::Generation;
use crate::base::clock::Time;
use crate::ipc::Finding;
use std::collections::BTreeSet;
use std::time::Duration;

/// Time for every worker to build the new configuration.
const PREPARE_LIMIT: Duration = Duration::from_secs(5);
/// Time for every worker to swap.
const COMMIT_LIMIT: Duration = Duration::from_secs(2);

/// What the caller has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send PREPARE to this worker.
    Prepare(Generation),
    /// All are prepared: make the serial durable, then send COMMIT to all of these.
    Commit(Vec<Generation>),
    /// Send DROP to all of these.
    Drop(Vec<Generation>),
    /// This worker did not commit: kill it.
    Unruly(Generation),
    /// The apply is over: every living worker runs the new configuration.
    Done,
    /// The apply is over: nothing has changed.
    Failed {
        /// One line.
        message: String,
        /// A worker's problems, when one refused.
        findings: Vec<Finding>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Preparing,
    Committing,
    Over,
}

/// One apply under way.
#[derive(Debug)]
pub struct Apply {
    /// The serial that it will have.
    pub serial: u64,
    phase: Phase,
    waiting: BTreeSet<Generation>,
    members: BTreeSet<Generation>,
    deadline: Time,
}

impl Apply {
    /// Begins with these workers: all that have been sent a configuration and are not draining. None at
    /// all is fine: the apply then succeeds at once.
    pub fn begin(serial: u64, workers: &[Generation], now: Time, steps: &mut Vec<Step>) -> Apply {
        let members: BTreeSet<Generation> = workers.iter().copied().collect();
        steps.extend(members.iter().copied().map(Step::Prepare));
        let mut apply = Apply {
            serial,
            phase: Phase::Preparing,
            waiting: members.clone(),
            members,
            deadline: now.after(PREPARE_LIMIT),
        };
        apply.advance(now, steps);
        apply
    }

    /// Whether COMMIT has been sent: a worker that starts now gets the new configuration.
    pub fn is_committing(&self) -> bool {
        self.phase == Phase::Committing
    }

    /// A worker was started with the old configuration while the first phase runs.
    pub fn join(&mut self, worker: Generation, steps: &mut Vec<Step>) {
        if self.phase == Phase::Preparing && self.members.insert(worker) {
            self.waiting.insert(worker);
            steps.push(Step::Prepare(worker));
        }
    }

    /// A worker has said PREPARED.
    pub fn on_prepared(
        &mut self,
        worker: Generation,
        serial: u64,
        now: Time,
        steps: &mut Vec<Step>,
    ) {
        if self.phase == Phase::Preparing && serial == self.serial {
            self.waiting.remove(&worker);
            self.advance(now, steps);
        }
    }

    /// A worker has said REFUSED.
    pub fn on_refused(
        &mut self,
        worker: Generation,
        serial: u64,
        findings: Vec<Finding>,
        steps: &mut Vec<Step>,
    ) {
        if self.phase == Phase::Preparing && serial == self.serial && self.members.contains(&worker)
        {
            let first = findings.first().map(|finding| finding.message.clone());
            let why = first.unwrap_or_else(|| "without a reason".to_owned());
            self.fail(format!("a worker refused it: {why}"), findings, steps);
        }
    }

    /// A worker has said COMMITTED.
    pub fn on_committed(
        &mut self,
        worker: Generation,
        serial: u64,
        now: Time,
        steps: &mut Vec<Step>,
    ) {
        if self.phase == Phase::Committing && serial == self.serial {
            self.waiting.remove(&worker);
            self.advance(now, steps);
        }
    }

    /// A worker has gone, or drains: nobody waits for it.
    pub fn on_gone(&mut self, worker: Generation, now: Time, steps: &mut Vec<Step>) {
        self.members.remove(&worker);
        if self.waiting.remove(&worker) {
            self.advance(now, steps);
        }
    }

    /// Time passes.
    pub fn tick(&mut self, now: Time, steps: &mut Vec<Step>) {
        if now < self.deadline {
            return;
        }
        match self.phase {
            Phase::Preparing => {
                let count = self.waiting.len();
                let message = format!("{count} worker(s) did not prepare it in time");
                self.fail(message, Vec::new(), steps);
            }
            Phase::Committing => {
                steps.extend(self.waiting.iter().copied().map(Step::Unruly));
                self.waiting.clear();
                self.advance(now, steps);
            }
            Phase::Over => {}
        }
    }

    /// The service stops, or the serial can't be made durable: nothing changes.
    pub fn abort(&mut self, message: &str, steps: &mut Vec<Step>) {
        if self.phase == Phase::Preparing {
            self.fail(message.to_owned(), Vec::new(), steps);
        }
    }

    /// When [`Apply::tick`] is needed.
    pub fn deadline(&self) -> Time {
        self.deadline
    }

    fn fail(&mut self, message: String, findings: Vec<Finding>, steps: &mut Vec<Step>) {
        self.phase = Phase::Over;
        self.deadline = Time::NEVER;
        steps.push(Step::Drop(self.members.iter().copied().collect()));
        steps.push(Step::Failed { message, findings });
    }

    fn advance(&mut self, now: Time, steps: &mut Vec<Step>) {
        if self.phase == Phase::Preparing && self.waiting.is_empty() {
            self.phase = Phase::Committing;
            self.waiting = self.members.clone();
            self.deadline = now.after(COMMIT_LIMIT);
            steps.push(Step::Commit(self.members.iter().copied().collect()));
        }
        if self.phase == Phase::Committing && self.waiting.is_empty() {
            self.phase = Phase::Over;
            self.deadline = Time::NEVER;
            steps.push(Step::Done);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::Severity;

    const A: Generation = Generation(1);
    const B: Generation = Generation(2);
    const C: Generation = Generation(3);

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn begin(workers: &[Generation]) -> Apply {
        let mut steps = Vec::new();
        let apply = Apply::begin(5, workers, at(0), &mut steps);
        assert_eq!(steps, workers.iter().copied().map(Step::Prepare).collect::<Vec<_>>());
        apply
    }

    fn with(apply: &mut Apply, call: impl FnOnce(&mut Apply, &mut Vec<Step>)) -> Vec<Step> {
        let mut steps = Vec::new();
        call(apply, &mut steps);
        steps
    }

    #[test]
    fn commit_waits_for_all_and_done_too() {
        let mut apply = begin(&[A, B]);
        assert_eq!(with(&mut apply, |x, s| x.on_prepared(A, 5, at(1), s)), []);
        // A stray message of an earlier apply counts for nothing.
        assert_eq!(with(&mut apply, |x, s| x.on_prepared(B, 4, at(1), s)), []);
        assert!(!apply.is_committing());
        let commit = with(&mut apply, |x, s| x.on_prepared(B, 5, at(2), s));
        assert_eq!(commit, [Step::Commit(vec![A, B])]);
        assert!(apply.is_committing());
        assert_eq!(with(&mut apply, |x, s| x.on_committed(B, 5, at(3), s)), []);
        assert_eq!(with(&mut apply, |x, s| x.on_committed(A, 5, at(3), s)), [Step::Done]);
    }

    #[test]
    fn one_refusal_drops_all() {
        let mut apply = begin(&[A, B]);
        with(&mut apply, |x, s| x.on_prepared(A, 5, at(1), s));
        let finding = Finding {
            severity: Severity::Error,
            id: "limit".to_owned(),
            line: 1,
            column: 2,
            pointer: "/limits".to_owned(),
            message: "too many".to_owned(),
        };
        let steps = with(&mut apply, |x, s| x.on_refused(B, 5, vec![finding.clone()], s));
        let message = "a worker refused it: too many".to_owned();
        let failed = Step::Failed { message, findings: vec![finding] };
        assert_eq!(steps, [Step::Drop(vec![A, B]), failed]);
        assert_eq!(with(&mut apply, |x, s| x.on_prepared(B, 5, at(9), s)), []);
        assert_eq!(with(&mut apply, |x, s| x.tick(at(99_000), s)), []);
    }

    #[test]
    fn a_silent_worker_drops_all() {
        let mut apply = begin(&[A, B]);
        with(&mut apply, |x, s| x.on_prepared(A, 5, at(1), s));
        assert_eq!(with(&mut apply, |x, s| x.tick(at(4_999), s)), []);
        let steps = with(&mut apply, |x, s| x.tick(at(5_000), s));
        assert_eq!(steps[0], Step::Drop(vec![A, B]));
        assert!(matches!(steps[1], Step::Failed { .. }));
    }

    #[test]
    fn a_worker_that_dies_is_not_waited_for_and_its_successor_joins() {
        let mut apply = begin(&[A, B]);
        with(&mut apply, |x, s| x.on_prepared(A, 5, at(1), s));
        assert_eq!(with(&mut apply, |x, s| x.join(C, s)), [Step::Prepare(C)]);
        assert_eq!(with(&mut apply, |x, s| x.on_gone(B, at(2), s)), []);
        let commit = with(&mut apply, |x, s| x.on_prepared(C, 5, at(3), s));
        assert_eq!(commit, [Step::Commit(vec![A, C])]);
        // Too late to join: it starts with the new configuration.
        assert_eq!(with(&mut apply, |x, s| x.join(B, s)), []);
        with(&mut apply, |x, s| x.on_committed(A, 5, at(4), s));
        assert_eq!(with(&mut apply, |x, s| x.on_gone(C, at(5), s)), [Step::Done]);
    }

    #[test]
    fn a_worker_that_does_not_commit_is_unruly_and_the_apply_stands() {
        let mut apply = begin(&[A, B]);
        with(&mut apply, |x, s| x.on_prepared(A, 5, at(0), s));
        with(&mut apply, |x, s| x.on_prepared(B, 5, at(0), s));
        with(&mut apply, |x, s| x.on_committed(A, 5, at(1), s));
        let steps = with(&mut apply, |x, s| x.tick(at(2_000), s));
        assert_eq!(steps, [Step::Unruly(B), Step::Done]);
    }

    #[test]
    fn without_workers_it_succeeds_at_once_and_an_abort_comes_too_late() {
        let mut steps = Vec::new();
        let mut apply = Apply::begin(5, &[], at(0), &mut steps);
        assert_eq!(steps, [Step::Commit(vec![]), Step::Done]);
        assert_eq!(with(&mut apply, |x, s| x.abort("stopping", s)), []);
        let mut open = begin(&[A]);
        assert_eq!(with(&mut open, |x, s| x.abort("stopping", s)).len(), 2);
    }
}
