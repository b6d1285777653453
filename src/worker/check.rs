//! What must hold between turns. Run after each turn in debug builds, and by the simulator.

use super::conn::{Codec, Conn, ConnKey, Role, State};
use super::run::Worker;
use crate::exchange::stage::Stage;
use crate::io::ready::Ready;

/// Leaves with what is wrong unless `$holds`.
macro_rules! ensure {
    ($holds:expr, $($wrong:tt)+) => {
        if !$holds {
            return Err(format!($($wrong)+));
        }
    };
}

impl Worker {
    /// Looks at everything.
    ///
    /// # Errors
    /// What is wrong that no peer can cause: a bug here.
    pub fn check_invariants(&self) -> Result<(), String> {
        let fronts = self.conns.iter().filter(|(_, conn)| conn.is_front()).count();
        ensure!(fronts == self.fronts, "{fronts} client connections, counted {}", self.fronts);
        let all = self.conns.len();
        ensure!(all == self.fronts + self.backs, "{all} connections, counted {}", self.backs);
        for (key, conn) in self.conns.iter() {
            self.check_conn(key, conn)?;
        }
        for (key, work) in self.core.work.iter() {
            ensure!(work.x.stage() != Stage::Done, "the finished exchange {key:?} was kept");
            ensure!(work.front().is_some(), "the exchange {key:?} has no client");
            for leg in [work.front(), work.back()].into_iter().flatten() {
                let conn = self.conns.get(leg);
                let known = conn.and_then(|conn| conn.x);
                ensure!(known == Some(key), "a leg of {key:?} belongs to {known:?}");
            }
        }
        for (key, member) in self.core.pools.members() {
            for idle in &member.idle {
                let conn = self.conns.get(*idle);
                let rests = conn.is_some_and(|conn| {
                    conn.role == Role::Back { member: key } && conn.state == State::Idle
                });
                ensure!(rests, "the idle connection {idle:?} of {} does not rest", member.text);
            }
            ensure!(member.open as usize >= member.idle.len(), "{} is miscounted", member.text);
        }
        Ok(())
    }

    fn check_conn(&self, key: ConnKey, conn: &Conn) -> Result<(), String> {
        if let Some(x) = conn.x {
            let work = self.core.work.get(x);
            let leg = work.and_then(|w| if conn.is_front() { w.front() } else { w.back() });
            ensure!(leg == Some(key), "{key:?} belongs to {x:?}, which has {leg:?}");
            ensure!(conn.state == State::Busy, "{key:?} is {:?} with an exchange", conn.state);
        } else {
            ensure!(conn.state != State::Busy, "{key:?} is busy without an exchange");
        }
        let timed = !conn.is_front() || conn.state == State::Closing || conn.timer.is_some();
        ensure!(timed, "the client's connection {key:?} has no timer");
        let sleeps = !self.core.run.is_waiting(key) && self.could_run(conn);
        let (role, state) = (conn.role, conn.state);
        ensure!(!sleeps, "{key:?} sleeps and could run: {role:?} {state:?} {:?}", conn.ready);
        Ok(())
    }

    /// Whether a step would do something now.
    fn could_run(&self, conn: &Conn) -> bool {
        let write = conn.ready.has(Ready::WRITE);
        let read = conn.ready.has(Ready::READ) && !conn.eof;
        let Some(work) = conn.x.and_then(|x| self.core.work.get(x)) else {
            return match conn.state {
                State::Idle | State::Head => read,
                State::Linger => read,
                State::Busy | State::Closing => false,
            };
        };
        let (source, sink) = match conn.is_front() {
            true => (&work.x.up, &work.x.down),
            false => (&work.x.down, &work.x.up),
        };
        let waiting_out = !conn.out.is_empty()
            || (conn.head_sent && !conn.finished && (!sink.is_empty() || sink.is_done()));
        let headless = conn.is_front() && !conn.head_sent && work.x.response.is_some();
        let muted = conn.mute || (work.discard && !conn.is_front());
        if write && !muted && (waiting_out || headless) {
            return true;
        }
        let may_read = match &conn.codec {
            Codec::H1(codec) => !codec.peer_is_done(),
            Codec::Raw(_) => true,
        };
        let dialling = !conn.is_front() && work.x.stage() == Stage::Dial;
        read && may_read
            && !dialling
            && !source.has_ended()
            && source.is_empty()
            && source.room() > 0
            && (conn.is_front() || work.x.interim.is_none())
    }
}
