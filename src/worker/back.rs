//! The backend's side: requests out, responses in.
//!
//! The mirror of `front`. A connection is tied to one exchange at a time and let go as soon as both
//! messages are through it, which may be before the client has had the last byte. When sending
//! fails, what the backend said before is still read: an early answer often comes with a reset.

use super::conn::{Codec, Conn, ConnKey, State};
use super::core::{Core, Effect};
use super::flow::{self, Source, Spliced, Trouble};
use super::front::Moved;
use super::work::XKey;
use crate::balance::{Transition, health};
use crate::base::planted::{Bug, is_planted};
use crate::exchange::Leg;
use crate::exchange::fault::Fault;
use crate::exchange::stage::Stage;
use crate::io::ready::Ready;
use crate::io::transport::{Filled, fill};
use crate::observe::{Counter, Timing};
use crate::policy::forward;
use crate::proto::h1::{Limits, Offence, SendError};
use crate::proto::{Event, raw};

/// Rounds of one step.
const ROUNDS: usize = 16;

/// Lets a backend's connection do what it can.
pub fn step(conn: &mut Conn, key: ConnKey, core: &mut Core) {
    let Some(x) = conn.x else { return idle(conn, key, core) };
    if conn.state != State::Busy {
        return;
    }
    for _ in 0..ROUNDS {
        let sent = request(conn, x, core);
        if sent == Moved::Stop {
            return rest(conn, core);
        }
        match (sent, read_on(conn, key, x, core)) {
            (_, Moved::Stop) | (Moved::No, Moved::No) => return rest(conn, core),
            _ => {}
        }
    }
    core.count(Counter::TurnLimit);
    core.wake(key);
}

/// Reads until nothing moves or the budget is spent.
fn read_on(conn: &mut Conn, key: ConnKey, x: XKey, core: &mut Core) -> Moved {
    let mut moved = Moved::No;
    for _ in 0..ROUNDS {
        match response(conn, key, x, core) {
            Moved::Yes => moved = Moved::Yes,
            Moved::No => return moved,
            Moved::Stop => return Moved::Stop,
        }
    }
    moved
}

fn rest(conn: &mut Conn, core: &mut Core) {
    conn.input.release(&mut core.bufs);
    conn.out.release(&mut core.bufs);
}

/// An event on a connection that rests: it is of use no longer, unless the event meant nothing.
fn idle(conn: &mut Conn, key: ConnKey, core: &mut Core) {
    if conn.state != State::Idle || !conn.ready.has(Ready::READ.and(Ready::GONE)) {
        return;
    }
    match fill(&mut conn.stream, &mut conn.ready, &mut conn.input, &mut core.bufs) {
        Filled::Dry if !conn.ready.has(Ready::GONE) => {}
        _ => core.leave(Effect::Close(key)),
    }
}

// --- requests ---------------------------------------------------------------------------------

/// Sends what the exchange has for the backend.
fn request(conn: &mut Conn, x: XKey, core: &mut Core) -> Moved {
    if conn.mute || (conn.finished && conn.out.is_empty()) {
        return Moved::No;
    }
    let now = core.now;
    let Some(work) = core.work.get_mut(x) else { return Moved::Stop };
    if !conn.head_sent {
        let Some(head) = &work.x.request else { return Moved::Stop };
        let Codec::H1(codec) = &mut conn.codec else { return Moved::Stop };
        let put = match conn.out.reserve(&mut core.bufs) {
            true => codec.send_head(head, &mut conn.out),
            false => Err(SendError::NoRoom),
        };
        match put {
            Ok(()) => conn.head_sent = true,
            Err(error) => {
                let large = error == SendError::TooLarge;
                let fault = if large { Fault::HeadTooLarge } else { Fault::Overload };
                core.leave(Effect::Fail(x, fault));
                return Moved::Stop;
            }
        }
    }
    let mut source = Source {
        pipe: &mut work.x.up,
        kernel: &mut work.up_kernel,
        trailers: work.x.up_trailers.as_deref(),
    };
    let sent = flow::send(conn, &mut source, &mut core.bufs);
    flow::rest_kernel(&work.x.up, &mut work.up_kernel, &mut core.kernel);
    if sent.spliced > 0 {
        core.tally.add(Counter::Spliced, sent.spliced);
    }
    if sent.wire > 0 {
        core.tally.add(Counter::BackSent, sent.wire);
        conn.wrote = true;
        work.x.times.back = now;
        if work.x.stage() == Stage::Dial {
            let micros = now.since(work.x.times.picked).as_micros() as u64;
            core.page.time(Timing::Connect, micros);
            work.x.connected(now);
        }
    }
    if work.up_blocked && work.x.up.is_low() && !is_planted(Bug::LostWake) {
        work.up_blocked = false;
        if let Some(front) = work.front() {
            core.run.push(front);
        }
    }
    if let Some(trouble) = sent.trouble {
        return failed(conn, x, core, &trouble);
    }
    if conn.finished && conn.out.is_empty() && work.x.times.sent == crate::base::clock::Time::ZERO {
        work.x.times.sent = now;
    }
    Moved::No
}

/// Sending failed. What the backend said before that may still be there to be read.
fn failed(conn: &mut Conn, x: XKey, core: &mut Core, trouble: &Trouble) -> Moved {
    let Some(work) = core.work.get_mut(x) else { return Moved::Stop };
    let fault = match trouble {
        Trouble::Message => Fault::RequestCut,
        Trouble::Memory => Fault::Overload,
        Trouble::Io if work.x.stage() == Stage::Dial => Fault::ConnectFailed,
        Trouble::Io if !conn.wrote => Fault::SendFailed,
        Trouble::Io => {
            conn.mute = true;
            conn.out.discard(&mut core.bufs);
            conn.ready.set(Ready::READ);
            return Moved::Yes;
        }
    };
    core.leave(Effect::Fail(x, fault));
    Moved::Stop
}

// --- responses --------------------------------------------------------------------------------

/// Reads what the backend has for the client.
fn response(conn: &mut Conn, key: ConnKey, x: XKey, core: &mut Core) -> Moved {
    let Some(work) = core.work.get_mut(x) else { return Moved::Stop };
    if work.x.stage() == Stage::Dial {
        return Moved::No;
    }
    if work.x.down.has_ended() {
        return let_go(conn, key, x, core);
    }
    if work.x.interim.is_some() {
        return Moved::No;
    }
    match flow::splice(
        conn,
        &mut work.x.down,
        &mut work.down_kernel,
        &mut core.kernel,
        core.splice_min,
        &mut core.bufs,
    ) {
        Spliced::No => {}
        Spliced::Bytes(n) => {
            core.tally.add(Counter::BackReceived, n as u64);
            return took(core, x);
        }
        Spliced::Full => {
            work.down_blocked = true;
            return Moved::No;
        }
        Spliced::Dry => return Moved::No,
        Spliced::End => conn.eof = true,
        Spliced::Failed => {
            core.leave(Effect::Fail(x, Fault::ResponseCut));
            return Moved::Stop;
        }
    }
    if conn.input.is_empty() && !conn.eof && work.x.response.is_none() && work.x.status == 0 {
        // The usual case: nothing has come yet, so ask the kernel before the codec.
        if !receive(conn, core) && !conn.eof {
            return starved(conn, x, core);
        }
    }
    let limits = limits(core, x);
    let event = match &mut conn.codec {
        Codec::H1(codec) => codec.poll(&mut conn.input, &mut core.spare, &limits),
        Codec::Raw(codec) => Ok(codec.poll(&conn.input)),
    };
    on_event(conn, key, x, core, event)
}

fn on_event(
    conn: &mut Conn,
    key: ConnKey,
    x: XKey,
    core: &mut Core,
    event: Result<Event, Offence>,
) -> Moved {
    match event {
        Ok(Event::Body(n)) => {
            let Some(work) = core.work.get_mut(x) else { return Moved::Stop };
            if work.x.down.room() == 0 || work.x.down.beside() > 0 {
                work.down_blocked = true;
                return Moved::No;
            }
            match flow::take_body(conn, n, &mut work.x.down, &mut core.bufs) {
                0 => {
                    core.leave(Effect::Fail(x, Fault::Overload));
                    Moved::Stop
                }
                _ => took(core, x),
            }
        }
        Ok(Event::Head) => on_head(conn, x, core),
        Ok(Event::Interim) => on_interim(x, core),
        Ok(Event::NeedMore) => more(conn, x, core),
        Ok(Event::Trailers) => {
            let trailers = core.take_spare();
            if let Some(work) = core.work.get_mut(x) {
                work.x.down_trailers = Some(trailers);
            }
            Moved::Yes
        }
        Ok(Event::End) => end(conn, key, x, core),
        Ok(Event::Paused | Event::Switched) => Moved::No,
        Ok(Event::Closed) => {
            core.leave(Effect::Fail(x, Fault::BackendClosed));
            Moved::Stop
        }
        Err(offence) => {
            if let Some(work) = core.work.get_mut(x) {
                work.offence = Some(offence);
            }
            core.count(Counter::MalformedBack);
            core.leave(Effect::Fail(x, Fault::BadResponse));
            Moved::Stop
        }
    }
}

/// What the backend's codec is allowed.
fn limits(core: &Core, x: XKey) -> Limits {
    core.work.get(x).map_or(Limits::new(), |work| super::limits_of(&work.x.terms.limits))
}

/// Reads once into the input. `false` when nothing came; `conn.eof` tells whether ever will.
fn receive(conn: &mut Conn, core: &mut Core) -> bool {
    if conn.eof || !conn.ready.has(Ready::READ) {
        return false;
    }
    match fill(&mut conn.stream, &mut conn.ready, &mut conn.input, &mut core.bufs) {
        Filled::Bytes(n) => {
            conn.bulk = conn.input.room() == 0;
            core.tally.add(Counter::BackReceived, n as u64);
            true
        }
        Filled::Dry => false,
        Filled::End => {
            conn.eof = true;
            false
        }
        Filled::Failed(_) | Filled::Full | Filled::NoMemory => {
            (conn.eof, conn.torn) = (true, true);
            false
        }
    }
}

/// Nothing came. On a connection that takes nothing either, nothing ever will.
fn starved(conn: &Conn, x: XKey, core: &mut Core) -> Moved {
    if conn.mute {
        core.leave(Effect::Fail(x, Fault::BackendClosed));
        return Moved::Stop;
    }
    Moved::No
}

/// The codec wants more bytes: reads them, or deals with the end of the stream.
fn more(conn: &mut Conn, x: XKey, core: &mut Core) -> Moved {
    if receive(conn, core) {
        return Moved::Yes;
    }
    if !conn.eof {
        return starved(conn, x, core);
    }
    let codec = match &mut conn.codec {
        Codec::Raw(_) if conn.torn => {
            core.leave(Effect::Fail(x, Fault::ResponseCut));
            return Moved::Stop;
        }
        Codec::Raw(codec) => {
            codec.on_eof();
            return Moved::Yes;
        }
        Codec::H1(codec) => codec,
    };
    let fault = match codec.on_eof(&conn.input) {
        // A reset does not complete what only the end of the connection would have completed.
        Ok(Event::End) if conn.torn => Fault::ResponseCut,
        Ok(Event::End) => return end_of_stream(conn, x, core),
        Ok(_) | Err(Offence::ClosedBeforeResponse) => Fault::BackendClosed,
        Err(_) => Fault::ResponseCut,
    };
    core.leave(Effect::Fail(x, fault));
    Moved::Stop
}

/// Content went into the pipe: the client may run.
fn took(core: &mut Core, x: XKey) -> Moved {
    let now = core.now;
    let Some(work) = core.work.get_mut(x) else { return Moved::Stop };
    work.x.times.back = now;
    if let Some(front) = work.front() {
        core.run.push(front);
    }
    Moved::Yes
}

/// An interim response is in the spare head.
fn on_interim(x: XKey, core: &mut Core) -> Moved {
    let head = core.take_spare();
    let now = core.now;
    let Some(work) = core.work.get_mut(x) else { return Moved::Stop };
    work.x.interims = work.x.interims.saturating_add(1);
    work.x.times.back = now;
    if head.status() == 100 {
        work.x.expects = false;
        work.x.times.front = now;
    }
    work.x.interim = Some(head);
    if let Some(front) = work.front() {
        core.run.push(front);
    }
    Moved::Yes
}

/// The final response head is in the spare head.
fn on_head(conn: &mut Conn, x: XKey, core: &mut Core) -> Moved {
    let mut head = core.take_spare();
    let (now, status) = (core.now, head.status());
    forward::apply_response(&mut head);
    let Some(work) = core.work.get_mut(x) else { return Moved::Stop };
    if work.x.expects {
        // The answer came instead of a `100`: whether the body still follows, nobody can tell.
        work.closes = true;
    }
    if !work.x.reply(head, status, now, &mut core.bufs) {
        core.leave(Effect::Fail(x, Fault::BadResponse));
        return Moved::Stop;
    }
    if work.x.times.sent != crate::base::clock::Time::ZERO {
        let micros = now.since(work.x.times.sent).as_micros() as u64;
        core.page.time(Timing::Upstream, micros);
    }
    work.on_trial = false;
    let (member, front) = (work.member, work.front());
    if let Codec::H1(codec) = &conn.codec
        && codec.is_switched()
    {
        conn.codec = Codec::Raw(raw::Conn::new());
        conn.finished = false;
        core.tally.add(Counter::Tunnels, 1);
        core.page.shift(crate::observe::Gauge::TunnelsOpen, 1);
    }
    if let Some(front) = front {
        core.run.push(front);
    }
    if let Some(member) = member.and_then(|key| core.pools.member(key))
        && let Some(Transition::Up) = health::success(member.health.word(), now)
    {
        let (pool, text) = (member.pool.clone(), member.text.clone());
        core.report_member(pool, text, true, "a trial request was answered");
    }
    Moved::Yes
}

/// The response, or the backend's half of a tunnel, is complete.
fn end(conn: &mut Conn, key: ConnKey, x: XKey, core: &mut Core) -> Moved {
    if end_of_stream(conn, x, core) == Moved::Stop {
        return Moved::Stop;
    }
    let_go(conn, key, x, core)
}

fn end_of_stream(_conn: &mut Conn, x: XKey, core: &mut Core) -> Moved {
    let now = core.now;
    let Some(work) = core.work.get_mut(x) else { return Moved::Stop };
    work.x.down.end();
    work.x.times.back = now;
    if let Some(front) = work.front() {
        core.run.push(front);
    }
    Moved::Yes
}

/// The response is in: unties the connection once the request is out as well.
fn let_go(conn: &mut Conn, key: ConnKey, x: XKey, core: &mut Core) -> Moved {
    let Some(work) = core.work.get_mut(x) else { return Moved::Stop };
    let sent = conn.finished && conn.out.is_empty();
    let over = match &conn.codec {
        Codec::H1(_) => sent || conn.mute || conn.eof,
        Codec::Raw(_) => sent || conn.mute,
    };
    if !over {
        return Moved::No;
    }
    work.x.back = Leg::None;
    if !sent {
        work.discard = true;
        work.x.up.discard(&mut core.bufs);
    }
    if let Some(front) = work.front() {
        core.run.push(front);
    }
    conn.x = None;
    let clean = match &conn.codec {
        Codec::H1(_) if is_planted(Bug::EarlyRelease) => sent,
        Codec::H1(codec) => sent && !conn.mute && !conn.eof && codec.is_reusable(&conn.input),
        Codec::Raw(_) => false,
    };
    core.leave(if clean { Effect::Release(key) } else { Effect::Close(key) });
    Moved::Stop
}
