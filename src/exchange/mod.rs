//! The life of one request and its response between a front and a back, protocol-blind.
//!
//! An [`Exchange`] holds what both legs share: the two [`Pipe`]s, the heads on their way, the
//! [`Stage`], and the times from which every deadline is computed. It knows no socket, no codec
//! and no connection: legs are opaque words. The worker moves bytes and calls the verbs here; this
//! room decides what a fault means, whether another attempt is safe, and what is due when.
//!
//! Invariants: stages change by the table in [`stage`] only; once an answer was begun no other one
//! can be; a request is attempted again only when no backend can have acted on it twice.

pub mod fault;
pub mod pipe;
pub mod stage;

use crate::base::buf::BufPool;
use crate::base::clock::Time;
use crate::base::planted::{Bug, is_planted};
use crate::msg::{Head, Method};
use crate::policy::Terms;
use fault::{Fault, Retry};
use pipe::Pipe;
use stage::{Stage, Turn};
use std::sync::Arc;
use std::time::Duration;

/// Attempts at most, the first included.
pub const ATTEMPTS_MAX: u8 = 4;

/// Interim responses that a backend may send for one request.
pub const INTERIM_MAX: u8 = 32;

/// One end of an exchange. The word means something to its owner only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leg {
    /// Not there, or no longer.
    None,
    /// A connection.
    Conn(u64),
    /// Made here: an answer from memory.
    Local,
}

/// When things happened to an exchange.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// The request's head was complete.
    pub started: Time,
    /// The present attempt at a connection began.
    pub picked: Time,
    /// A connection was ours.
    pub attached: Time,
    /// The last byte of the request was handed on.
    pub sent: Time,
    /// The final response head arrived.
    pub replied: Time,
    /// The client last gave or took a byte.
    pub front: Time,
    /// The backend last gave or took a byte.
    pub back: Time,
}

/// One request and its response.
pub struct Exchange {
    /// The client's side.
    pub front: Leg,
    /// The backend's side.
    pub back: Leg,
    /// The request's body.
    pub up: Pipe,
    /// The response's body.
    pub down: Pipe,
    /// The request's head, until a response began.
    pub request: Option<Box<Head>>,
    /// The final response head, until it was sent.
    pub response: Option<Box<Head>>,
    /// An interim response head, until it was sent.
    pub interim: Option<Box<Head>>,
    /// Trailers of the request, behind its body.
    pub up_trailers: Option<Box<Head>>,
    /// Trailers of the response, behind its body.
    pub down_trailers: Option<Box<Head>>,
    /// What it began under; an apply in between changes nothing.
    pub terms: Arc<Terms>,
    /// When things happened.
    pub times: Times,
    /// The request's method.
    pub method: Method,
    /// Status of the response, 0 until it is known.
    pub status: u16,
    /// Whether the connection to the backend was kept alive from an earlier exchange.
    pub reused: bool,
    /// Whether the client waits for a `100` before it sends its body.
    pub expects: bool,
    /// Interim responses so far.
    pub interims: u8,
    stage: Stage,
    attempts: u8,
    fault: Option<Fault>,
}

impl Exchange {
    /// An exchange that begins with a complete request head.
    pub fn new(
        front: Leg,
        request: Box<Head>,
        method: Method,
        terms: Arc<Terms>,
        now: Time,
    ) -> Self {
        Exchange {
            front,
            back: Leg::None,
            up: Pipe::new(),
            down: Pipe::new(),
            request: Some(request),
            response: None,
            interim: None,
            up_trailers: None,
            down_trailers: None,
            terms,
            times: Times { started: now, picked: now, front: now, back: now, ..Times::default() },
            method,
            status: 0,
            reused: false,
            expects: false,
            interims: 0,
            stage: Stage::Route,
            attempts: 0,
            fault: None,
        }
    }

    /// Where it stands.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// The first thing that went wrong and was not made good by another attempt.
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Attempts at a connection so far.
    pub fn attempts(&self) -> u8 {
        self.attempts
    }

    /// Moves on. `false`, and nothing changed, when `turn` can't happen here.
    pub fn turn(&mut self, turn: Turn) -> bool {
        match self.stage.next(turn) {
            Some(next) => {
                self.stage = next;
                true
            }
            None => false,
        }
    }

    /// A connection is wanted for the `attempts`th time.
    pub fn attempt(&mut self, now: Time) {
        self.attempts = self.attempts.saturating_add(1);
        self.times.picked = now;
    }

    /// A connection is being made. What is handed to it is kept until a response begins, so that
    /// another attempt can send it again.
    pub fn dial(&mut self, back: Leg, now: Time) -> bool {
        if self.stage != Stage::Dial && !self.turn(Turn::Dialling) {
            return false;
        }
        self.back = back;
        self.reused = false;
        self.times.back = now;
        self.up.keep();
        true
    }

    /// The connection that was being made stands.
    pub fn connected(&mut self, now: Time) -> bool {
        self.times.attached = now;
        self.times.back = now;
        self.turn(Turn::Attached)
    }

    /// A kept-alive connection is ours. What is handed to it is kept until a response begins.
    pub fn attach(&mut self, back: Leg, now: Time) -> bool {
        if !self.turn(Turn::Attached) {
            return false;
        }
        self.back = back;
        self.reused = true;
        self.times.attached = now;
        self.times.back = now;
        self.up.keep();
        true
    }

    /// The final response head arrived: no other attempt from here on.
    pub fn reply(
        &mut self,
        response: Box<Head>,
        status: u16,
        now: Time,
        pool: &mut BufPool,
    ) -> bool {
        let turn = if status == 101 { Turn::Switched } else { Turn::Replied };
        if !self.turn(turn) {
            return false;
        }
        self.response = Some(response);
        self.status = status;
        self.times.replied = now;
        self.times.back = now;
        self.up.forget(pool);
        if turn == Turn::Switched {
            // The request was complete; what the client sends from here on is the tunnel's.
            self.up = Pipe::new();
        }
        true
    }

    /// The answer is made here instead.
    pub fn answer(
        &mut self,
        response: Box<Head>,
        status: u16,
        now: Time,
        pool: &mut BufPool,
    ) -> bool {
        if !self.turn(Turn::Answered) {
            return false;
        }
        self.back = Leg::Local;
        self.response = Some(response);
        self.status = status;
        self.times.replied = now;
        self.up.forget(pool);
        true
    }

    /// The backend's answer broke off before the client saw any of it: takes it back, so that another
    /// may stand in for it. Gives the head of what is not said.
    pub fn unsay(&mut self, pool: &mut BufPool) -> Option<Box<Head>> {
        if !self.turn(Turn::Unsaid) {
            return None;
        }
        self.down.discard(pool);
        self.status = 0;
        self.response.take()
    }

    /// Something went wrong at the back. `true`: the exchange went back to picking and another
    /// attempt is safe. `false`: it is not, and `fault` stands as what happened.
    pub fn retry_after(&mut self, fault: Fault) -> bool {
        if self.may_retry(fault) && self.up.rewind() && self.turn(Turn::Retry) {
            self.back = Leg::None;
            self.reused = false;
            self.times.sent = Time::ZERO;
            return true;
        }
        self.note(fault);
        false
    }

    fn may_retry(&self, fault: Fault) -> bool {
        let kind = match fault.verdict().retry {
            Retry::Safe => true,
            Retry::ReusedOnly => {
                self.reused && (self.method.is_idempotent() || is_planted(Bug::UnsafeRetry))
            }
            Retry::Never => false,
        };
        kind && self.stage.is_unanswered()
            && self.interims == 0
            && self.request.is_some()
            && self.attempts < ATTEMPTS_MAX
            && matches!(self.front, Leg::Conn(_))
    }

    /// Keeps the first fault as the one that is told.
    pub fn note(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }

    /// Whether the request has arrived and been handed on whole.
    pub fn is_request_done(&self) -> bool {
        self.up.is_done() && self.times.sent != Time::ZERO
    }

    /// When the next thing is due, and what it is. `Time::NEVER` when nothing is. Computed from the
    /// state alone, so whoever asks late loses no deadline but only learns of it late.
    pub fn deadline(&self) -> (Time, Fault) {
        let phase = self.phase_deadline();
        if self.stage == Stage::Tunnel {
            return phase;
        }
        let whole = due(self.times.started, self.terms.timeouts.request);
        if whole < phase.0 { (whole, Fault::RequestTimeout) } else { phase }
    }

    fn phase_deadline(&self) -> (Time, Fault) {
        let limit = &self.terms.timeouts;
        let times = &self.times;
        match self.stage {
            Stage::Route | Stage::Done => (Time::NEVER, Fault::Overload),
            Stage::Pick | Stage::Queue => (due(times.picked, limit.connect), Fault::QueueTimeout),
            Stage::Dial => (due(times.picked, limit.connect), Fault::ConnectTimeout),
            Stage::Send => self.send_deadline(),
            Stage::Reply => {
                let response = self.reply_deadline();
                // The request may still be on its way; its silence counts once the response is out.
                let over = self.down.is_done() && self.response.is_none();
                if over { (due(times.front, limit.body_idle), Fault::BodyIdle) } else { response }
            }
            Stage::Tunnel => {
                (due(times.front.max(times.back), limit.tunnel_idle), Fault::TunnelIdle)
            }
            Stage::Drain => (due(times.front, limit.body_idle), Fault::ClientStalled),
        }
    }

    fn send_deadline(&self) -> (Time, Fault) {
        let limit = &self.terms.timeouts;
        let times = &self.times;
        if self.is_request_done() {
            let since = times.sent.max(times.attached).max(times.back);
            return (due(since, limit.response_header), Fault::ResponseTimeout);
        }
        if self.up.is_empty() && !self.up.has_ended() && !self.expects {
            let silence = due(times.front.max(times.attached), limit.body_idle);
            return (silence, Fault::BodyIdle);
        }
        // The backend takes nothing, or both wait for its `100`.
        (due(times.back.max(times.attached), limit.response_header), Fault::ResponseTimeout)
    }

    fn reply_deadline(&self) -> (Time, Fault) {
        let limit = &self.terms.timeouts;
        if self.down.is_empty() && self.response.is_none() && !self.down.has_ended() {
            return (due(self.times.back, limit.response_idle), Fault::ResponseIdle);
        }
        (due(self.times.front.max(self.times.replied), limit.body_idle), Fault::ClientStalled)
    }
}

fn due(since: Time, limit: Option<Duration>) -> Time {
    limit.map_or(Time::NEVER, |limit| since.after(limit))
}

#[cfg(test)]
mod tests;
