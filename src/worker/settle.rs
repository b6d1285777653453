//! Settling effects: what steps leave to be done while no connection is borrowed.
//!
//! The only place that ties exchanges to backend connections and unties them, so that the rules of
//! picking, failing over and reuse stand together.

use super::conn::{Conn, ConnKey, Peer, Role, State};
use super::core::Effect;
use super::local::{self, Store};
use super::pools::{MemberKey, PoolKey, Reach};
use super::run::{Worker, token_of_conn};
use super::work::{Work, XKey};
use crate::balance::{self, Choice, Transition, health};
use crate::exchange::Leg;
use crate::exchange::fault::{Fault, Retry, Side};
use crate::exchange::stage::{Stage, Turn};
use crate::io::ready::Ready;
use crate::io::stream::Stream;
use crate::io::transport::{Filled, fill};
use crate::observe::{Counter, Gauge};
use crate::shared::Value;
use std::net::SocketAddr;

impl Worker {
    /// Settles everything that was left.
    pub(super) fn settle(&mut self) {
        while let Some(effect) = self.core.effects.pop_front() {
            match effect {
                Effect::Pick(x) => self.pick(x),
                Effect::Fail(x, fault) => self.fail(x, fault),
                Effect::Finish(x) => self.finish(x),
                Effect::Release(conn) => self.release(conn),
                Effect::Close(conn) => self.close(conn),
            }
        }
    }

    /// Finds a connection for an exchange: an idle one, a new one, or a place in the queue.
    fn pick(&mut self, xkey: XKey) {
        let now = self.core.now;
        let Some(work) = self.core.work.get_mut(xkey) else { return };
        if !matches!(work.x.stage(), Stage::Pick | Stage::Queue) {
            return;
        }
        let Some(pool) = work.pool.and_then(|key| self.core.pools.pool(key)) else {
            return self.fail(xkey, Fault::NoBackend);
        };
        let tried = work.tried;
        let pools = &self.core.pools;
        let member_at = |index: usize| pool.members.get(index).and_then(|key| pools.member(*key));
        let choice = balance::pick(
            &pool.rota,
            pool.cursor.word(),
            now,
            |index| member_at(index).map_or(pool.cursor.word(), |member| member.health.word()),
            |index| !tried.has(index) && member_at(index).is_some_and(|m| m.is_reachable()),
        );
        let (index, trial) = match choice {
            Choice::Member(index) => (index, false),
            Choice::Trial(index) => (index, true),
            Choice::AllDown(_) | Choice::AllBusy => return self.no_member(xkey),
        };
        let Some(&member) = pool.members.get(index) else { return self.no_member(xkey) };
        let again = work.x.attempts() > 0;
        work.tried.add(index);
        work.member = Some(member);
        work.member_index = u32::try_from(index).ok();
        work.on_trial = trial;
        work.x.attempt(now);
        if again {
            self.core.count(Counter::Retries);
        }
        self.connect(xkey, member);
    }

    /// No member can be used now: the last fault stands, or the exchange waits for a name.
    fn no_member(&mut self, xkey: XKey) {
        let Some(work) = self.core.work.get_mut(xkey) else { return };
        let unresolved = work.x.attempts() == 0
            && work.pool.is_some_and(|key| {
                let pool = self.core.pools.pool(key);
                pool.is_some_and(|pool| {
                    pool.members
                        .iter()
                        .all(|m| self.core.pools.member(*m).is_some_and(|m| !m.is_reachable()))
                })
            });
        if !unresolved {
            let fault = work.last_fault.unwrap_or(Fault::NoBackend);
            return self.conclude(xkey, fault);
        }
        let limit = work.x.terms.limits.waiting as usize;
        let Some(pool) = work.pool.and_then(|key| self.core.pools.pool_mut(key)) else { return };
        if work.x.stage() == Stage::Queue {
            return;
        }
        if pool.waiting.len() >= limit {
            self.core.count(Counter::WaitingLimit);
            return self.fail(xkey, Fault::QueueFull);
        }
        pool.waiting.push_back(xkey);
        work.x.turn(Turn::Waiting);
        self.core.page.shift(Gauge::Waiting, 1);
    }

    /// Gives the exchange a connection to this member.
    fn connect(&mut self, xkey: XKey, member_key: MemberKey) {
        let fresh = self.core.work.get(xkey).is_some_and(|work| work.fresh);
        while !fresh && let Some(idle) = self.core.pools.take_idle_of(member_key) {
            if self.conns.get(idle).is_some_and(|c| c.state == State::Idle && !c.is_stale()) {
                return self.attach(xkey, idle, true);
            }
            self.core.leave(Effect::Close(idle));
        }
        let Some(member) = self.core.pools.member_mut(member_key) else {
            return self.fail(xkey, Fault::ConnectFailed);
        };
        match member.reach() {
            Reach::Dial(address) => self.dial(xkey, member_key, address),
            Reach::Ask => self.ask(xkey, member_key),
            Reach::Unknown => self.fail(xkey, Fault::ConnectFailed),
        }
    }

    fn dial(&mut self, xkey: XKey, member: MemberKey, address: SocketAddr) {
        self.core.count(Counter::Dials);
        match self.poller.dial(address) {
            Ok(stream) => self.adopt(xkey, member, stream, Peer::of(Some(address))),
            Err(error) => {
                if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) {
                    self.core.count(Counter::DescriptorLimit);
                    return self.fail(xkey, Fault::Overload);
                }
                self.fail(xkey, Fault::ConnectFailed);
            }
        }
    }

    /// Asks the master for a connection to a unix socket; [`Worker::on_unix`] goes on.
    fn ask(&mut self, xkey: XKey, member: MemberKey) {
        self.core.ask += 1;
        let request = self.core.ask;
        let Some(work) = self.core.work.get_mut(xkey) else { return };
        work.asked = request;
        work.x.turn(Turn::Dialling);
        self.core.count(Counter::Dials);
        if !self.request_unix(request, xkey, member) {
            self.fail(xkey, Fault::ConnectFailed);
        }
    }

    /// The master's answer about a unix socket.
    pub(super) fn on_unix(&mut self, request: u64, stream: Option<Stream>) {
        let Some((xkey, member)) = self.asked.remove(&request) else { return };
        let waits = self.core.work.get(xkey).is_some_and(|work| work.asked == request);
        if !waits {
            return;
        }
        match stream {
            Some(stream) => self.adopt(xkey, member, stream, Peer::of(None)),
            None => self.fail(xkey, Fault::ConnectFailed),
        }
    }

    /// Takes a new connection, perhaps not yet established, into service for an exchange.
    fn adopt(&mut self, xkey: XKey, member: MemberKey, mut stream: Stream, peer: Peer) {
        let now = self.core.now;
        let mut added = Ok(());
        let key = self.conns.insert_with(|key| {
            added = self.poller.add(&mut stream, token_of_conn(key));
            Conn::new(stream, Role::Back { member }, peer, now)
        });
        if let Some(member) = self.core.pools.member_mut(member) {
            member.open += 1;
            member.row.shift_open(1);
        }
        self.backs += 1;
        self.core.page.set(Gauge::BackConnections, self.backs as u64);
        if added.is_err() {
            self.core.count(Counter::DescriptorLimit);
            self.core.leave(Effect::Close(key));
            return self.fail(xkey, Fault::Overload);
        }
        self.attach(xkey, key, false);
    }

    /// Ties an exchange to a backend connection and lets it run.
    fn attach(&mut self, xkey: XKey, key: ConnKey, reused: bool) {
        let now = self.core.now;
        let (Some(work), Some(conn)) = (self.core.work.get_mut(xkey), self.conns.get_mut(key))
        else {
            return;
        };
        work.asked = 0;
        if let Some(member) = work.member.and_then(|key| self.core.pools.member(key)) {
            member.row.add(Value::Requests, 1);
        }
        let leg = Leg::Conn(key.to_u64());
        let taken = if reused { work.x.attach(leg, now) } else { work.x.dial(leg, now) };
        if !taken {
            return self.core.leave(Effect::Close(key));
        }
        if reused {
            self.core.count(Counter::DialsReused);
        }
        conn.attach(xkey, now);
        self.core.wake(key);
    }

    /// Something went wrong: another attempt, an answer, or the end of both legs.
    fn fail(&mut self, xkey: XKey, fault: Fault) {
        self.leave_queue(xkey);
        let Some(work) = self.core.work.get_mut(xkey) else { return };
        let verdict = fault.verdict();
        let (member, back, trial) = (work.member, work.back(), std::mem::take(&mut work.on_trial));
        work.last_fault = Some(fault);
        work.x.back = Leg::None;
        work.asked = 0;
        work.drop_kernel(&mut self.core.kernel);
        // A kept-alive connection that died untouched says nothing about its member.
        let stale = work.x.reused && verdict.retry != Retry::Never;
        self.untie(back);
        self.judge(member, fault, trial, stale);
        if let Some(counter) = timeout_counter(fault) {
            self.core.count(counter);
        }
        let Some(work) = self.core.work.get_mut(xkey) else { return };
        if verdict.side == Side::Back && work.x.down.has_ended() && !work.x.stage().is_unanswered()
        {
            // The answer is complete all the same; the rest of the request goes nowhere.
            work.discard = true;
            work.x.up.discard(&mut self.core.bufs);
            return self.wake_front(xkey);
        }
        if work.x.retry_after(fault) {
            work.up_blocked = false;
            if stale {
                work.fresh = true;
                work.tried.clear();
            }
            self.core.leave(Effect::Pick(xkey));
            // What the first attempt had been given counts as unsent: the client may go on.
            return self.wake_front(xkey);
        }
        self.conclude(xkey, fault);
    }

    /// No other attempt follows: an answer made here if one is still possible, else the end.
    fn conclude(&mut self, xkey: XKey, fault: Fault) {
        self.leave_queue(xkey);
        self.core.count(match fault.verdict().side {
            Side::Front => Counter::FaultClient,
            Side::Back => Counter::FaultBackend,
            Side::Cup => Counter::FaultProxy,
        });
        let verdict = fault.verdict();
        let Some(work) = self.core.work.get_mut(xkey) else { return };
        work.x.note(fault);
        let front = work.front().and_then(|key| self.conns.get(key));
        if verdict.status != 0 && front.is_some_and(|conn| !conn.head_sent) {
            // A response of which nothing was sent yet is no reason to close without a word.
            self.core.heads.give_opt(work.x.unsay(&mut self.core.bufs));
            work.unframed = false;
        }
        if verdict.status != 0 && work.x.stage().is_unanswered() && work.front().is_some() {
            let (heads, bufs) = (&mut self.core.heads, &mut self.core.bufs);
            let store = Store { heads, bufs, now: self.core.now };
            local::error(work, store, verdict.status);
            self.core.count(Counter::LocalResponses);
            return self.wake_front(xkey);
        }
        self.abandon(xkey);
    }

    fn wake_front(&mut self, xkey: XKey) {
        if let Some(front) = self.core.work.get(xkey).and_then(Work::front) {
            self.core.wake(front);
        }
    }

    /// Lets go of a backend's connection that is of no use any more.
    fn untie(&mut self, back: Option<ConnKey>) {
        let Some(key) = back else { return };
        if let Some(conn) = self.conns.get_mut(key) {
            conn.x = None;
            conn.enter(State::Closing, self.core.now);
        }
        self.core.leave(Effect::Close(key));
    }

    /// Tells the member's health what its connection came to.
    fn judge(&mut self, member: Option<MemberKey>, fault: Fault, trial: bool, stale: bool) {
        let now = self.core.now;
        let Some(member) = member.and_then(|key| self.core.pools.member(key)) else { return };
        let word = member.health.word();
        if !fault.verdict().blames_member || stale {
            if trial {
                health::forgo_trial(word, now);
            }
            return;
        }
        member.row.add(Value::Failures, 1);
        if matches!(fault, Fault::ConnectFailed | Fault::ConnectTimeout) {
            self.core.tally.add(Counter::DialsFailed, 1);
        }
        let transition = health::failure(word, now, member.max_failures);
        if let Some(Transition::Down { .. }) = transition {
            let (pool, text) = (member.pool.clone(), member.text.clone());
            self.core.report_member(pool, text, false, fault.verdict().word);
        }
    }

    /// Gives an exchange up: what the client had so far is all it gets.
    pub(super) fn abandon(&mut self, xkey: XKey) {
        let Some(work) = self.core.work.get_mut(xkey) else { return };
        let (front, back, unframed) = (work.front(), work.back(), work.unframed);
        work.x.back = Leg::None;
        self.untie(back);
        if let Some(conn) = front.and_then(|key| self.conns.get_mut(key)) {
            conn.x = None;
            conn.enter(State::Closing, self.core.now);
            if unframed
                && conn.head_sent
                && let Some(fd) = conn.stream.fd()
            {
                // The client would take an orderly end for the end of the content.
                let _ = crate::sys::socket::set_reset_on_close(fd);
            }
        }
        if let Some(front) = front {
            self.core.leave(Effect::Close(front));
        }
        self.finish(xkey);
    }

    /// An exchange is over: counts it, records it, and takes its parts back.
    pub(super) fn finish(&mut self, xkey: XKey) {
        self.leave_queue(xkey);
        let Some(mut work) = self.core.work.remove(xkey) else { return };
        let core = &mut self.core;
        if work.x.stage() == Stage::Tunnel {
            core.page.shift(Gauge::TunnelsOpen, -1);
        }
        work.x.turn(Turn::Finished);
        work.drop_kernel(&mut core.kernel);
        super::record::account(&work, core);
        work.x.up.discard(&mut core.bufs);
        work.x.down.discard(&mut core.bufs);
        let x = &mut work.x;
        for head in [
            x.request.take(),
            x.response.take(),
            x.interim.take(),
            x.up_trailers.take(),
            x.down_trailers.take(),
        ] {
            core.heads.give_opt(head);
        }
        if let Some(pool) = work.pool.and_then(|key| core.pools.pool_mut(key)) {
            pool.users = pool.users.saturating_sub(1);
            if pool.is_forgotten() {
                core.pools.sweep();
            }
        }
    }

    /// Takes an exchange out of its pool's queue, if it waits there.
    fn leave_queue(&mut self, xkey: XKey) {
        let Some(work) = self.core.work.get(xkey) else { return };
        if work.x.stage() != Stage::Queue {
            return;
        }
        if let Some(pool) = work.pool.and_then(|key| self.core.pools.pool_mut(key)) {
            pool.waiting.retain(|waiting| *waiting != xkey);
            self.core.page.shift(Gauge::Waiting, -1);
        }
    }

    /// Lets all who wait for this pool pick again.
    pub(super) fn wake_waiting(&mut self, pool: PoolKey) {
        let Some(pool) = self.core.pools.pool_mut(pool) else { return };
        while let Some(x) = pool.waiting.pop_front() {
            self.core.page.shift(Gauge::Waiting, -1);
            self.core.effects.push_back(Effect::Pick(x));
        }
    }

    /// A backend's connection is through with its exchange, and clean: it rests until the next.
    fn release(&mut self, key: ConnKey) {
        let now = self.core.now;
        let Some(conn) = self.conns.get_mut(key) else { return };
        let Role::Back { member: member_key } = conn.role else { return };
        if conn.ready.has(Ready::READ) {
            // The last read filled its buffer to the brim; only the kernel knows whether more came.
            let bufs = &mut self.core.bufs;
            if !matches!(
                fill(&mut conn.stream, &mut conn.ready, &mut conn.input, bufs),
                Filled::Dry
            ) {
                return self.close(key);
            }
        }
        let keeps = self.core.pools.member(member_key).is_some_and(|member| !member.retired);
        if !keeps || conn.is_stale() || self.core.draining {
            return self.close(key);
        }
        let Some(member) = self.core.pools.member_mut(member_key) else { return };
        if member.idle.len() >= member.idle_max {
            self.core.count(Counter::IdleLimit);
            return self.close(key);
        }
        member.idle.push(key);
        conn.enter(State::Idle, now);
        let at = now.after(super::timers::IDLE_LOOK);
        self.core.arm(conn, key, at);
    }

    /// Closes a connection and takes everything back that it held.
    pub(super) fn close(&mut self, key: ConnKey) {
        let Some(conn) = self.conns.get(key) else { return };
        if let Some(x) = conn.x {
            // Closed under an exchange: that ends first, and closes this connection itself.
            let fault = if conn.is_front() { Fault::ClientGone } else { Fault::BackendClosed };
            return self.core.leave(Effect::Fail(x, fault));
        }
        let Some(mut conn) = self.conns.remove(key) else { return };
        self.core.disarm(&mut conn);
        conn.input.discard(&mut self.core.bufs);
        conn.out.discard(&mut self.core.bufs);
        match conn.role {
            Role::Front { .. } => {
                self.fronts -= 1;
                self.core.count(Counter::Closed);
                self.core.page.set(Gauge::FrontConnections, self.fronts as u64);
            }
            Role::Back { member } => {
                self.backs -= 1;
                self.core.page.set(Gauge::BackConnections, self.backs as u64);
                if let Some(member) = self.core.pools.member_mut(member) {
                    member.open = member.open.saturating_sub(1);
                    member.row.shift_open(-1);
                    member.idle.retain(|idle| *idle != key);
                    if member.retired && member.open == 0 {
                        self.core.pools.sweep();
                    }
                }
            }
        }
    }
}

/// The counter of a fault that is a time-out.
fn timeout_counter(fault: Fault) -> Option<Counter> {
    Some(match fault {
        Fault::ConnectTimeout => Counter::TimeoutConnect,
        Fault::ResponseTimeout => Counter::TimeoutResponseHeader,
        Fault::ResponseIdle => Counter::TimeoutResponseIdle,
        Fault::HeaderTimeout => Counter::TimeoutHeader,
        Fault::BodyIdle | Fault::ClientStalled => Counter::TimeoutBodyIdle,
        Fault::QueueTimeout => Counter::TimeoutWaiting,
        Fault::RequestTimeout => Counter::TimeoutRequest,
        Fault::TunnelIdle => Counter::TimeoutTunnelIdle,
        _ => return None,
    })
}
