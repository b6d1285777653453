//! The client's side: requests in, responses out.
//!
//! A step alternates between sending what the exchange has for the client and reading what the client
//! has for the exchange, until neither moves or its budget is spent. One exchange at a time: bytes
//! of the next request wait in `input` or in the kernel until the present one is over.

use super::conn::{Codec, Conn, ConnKey, State};
use super::core::{Core, Effect};
use super::flow::{self, Source, Spliced, Trouble};
use super::local;
use crate::base::planted::{Bug, is_planted};
use crate::exchange::Leg;
use crate::exchange::fault::Fault;
use crate::exchange::stage::{Stage, Turn};
use crate::io::ready::Ready;
use crate::io::transport::{Filled, fill};
use crate::observe::Counter;
use crate::proto::h1::{self, Limits, Offence};
use crate::proto::{Event, raw};

/// Rounds of one step: what is left after them waits for its turn behind the others.
const ROUNDS: usize = 16;

/// Rest of a request that is still read, and thrown away, to keep the connection; a longer one closes
/// it.
const DISCARD_MAX: u64 = 256 * 1024;

/// What a part of a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// Something happened; look again.
    Yes,
    /// Nothing can happen before another event.
    No,
    /// The connection is to be closed, or its exchange is being settled.
    Stop,
}

/// Lets a client's connection do what it can.
pub fn step(conn: &mut Conn, key: ConnKey, core: &mut Core) {
    if conn.ready.has(Ready::GONE) && conn.state == State::Busy && !conn.is_tunnel() {
        // Both directions are gone: nobody is left to answer.
        if let Some(x) = conn.x {
            core.leave(Effect::Fail(x, Fault::ClientGone));
        }
        return;
    }
    let mut dry = false;
    for _ in 0..ROUNDS {
        let sent = respond(conn, key, core);
        if sent == Moved::Stop || (sent == Moved::No && dry) {
            return rest(conn, core);
        }
        match (sent, read_on(conn, key, core, &mut dry)) {
            (_, Moved::Stop) | (Moved::No, Moved::No) => return rest(conn, core),
            _ => {}
        }
    }
    core.count(Counter::TurnLimit);
    core.wake(key);
}

/// Reads until nothing moves or the budget is spent; `dry` tells which.
fn read_on(conn: &mut Conn, key: ConnKey, core: &mut Core, dry: &mut bool) -> Moved {
    let mut moved = Moved::No;
    for _ in 0..ROUNDS {
        match read(conn, key, core) {
            Moved::Yes => moved = Moved::Yes,
            Moved::No => {
                *dry = true;
                return moved;
            }
            Moved::Stop => return Moved::Stop,
        }
    }
    *dry = false;
    moved
}

/// Leaves a connection between events: it keeps no block that holds nothing.
fn rest(conn: &mut Conn, core: &mut Core) {
    conn.input.release(&mut core.bufs);
    conn.out.release(&mut core.bufs);
}

/// Closes the connection at the end of this step.
fn shut(conn: &mut Conn, key: ConnKey, core: &mut Core) -> Moved {
    conn.enter(State::Closing, core.now);
    core.leave(Effect::Close(key));
    Moved::Stop
}

// --- responses --------------------------------------------------------------------------------

/// Sends what the exchange has for the client.
fn respond(conn: &mut Conn, key: ConnKey, core: &mut Core) -> Moved {
    if !matches!(conn.state, State::Busy) {
        return Moved::No;
    }
    let Some(x) = conn.x else { return Moved::No };
    let now = core.now;
    let Some(work) = core.work.get_mut(x) else { return shut(conn, key, core) };
    if !has_news(conn, work) {
        return Moved::No;
    }
    let headed = match send_heads(conn, work, &mut core.heads, &mut core.bufs) {
        Ok(headed) => headed,
        Err(fault) => {
            core.leave(Effect::Fail(x, fault));
            return Moved::Stop;
        }
    };
    if headed.interim
        && let Some(back) = work.back()
    {
        core.run.push(back);
    }
    local::refill(work, &mut core.bufs);
    let mut source = Source {
        pipe: &mut work.x.down,
        kernel: &mut work.down_kernel,
        trailers: work.x.down_trailers.as_deref(),
    };
    let sent = flow::send(conn, &mut source, &mut core.bufs);
    flow::rest_kernel(&work.x.down, &mut work.down_kernel, &mut core.kernel);
    work.sent += sent.body;
    if sent.spliced > 0 {
        core.tally.add(Counter::Spliced, sent.spliced);
    }
    if sent.wire > 0 {
        core.tally.add(Counter::FrontSent, sent.wire);
        work.x.times.front = now;
    }
    if work.down_blocked && work.x.down.is_low() {
        work.down_blocked = false;
        if let Some(back) = work.back() {
            core.run.push(back);
        }
    }
    match sent.trouble {
        Some(trouble) => {
            let fault = match trouble {
                Trouble::Io => Fault::ClientGone,
                Trouble::Message => Fault::ResponseCut,
                Trouble::Memory => Fault::Overload,
            };
            core.leave(Effect::Fail(x, fault));
            return Moved::Stop;
        }
        None => {}
    }
    let more_local = work.local.is_some() && sent.body > 0;
    if conn.finished && conn.out.is_empty() {
        return complete(conn, key, core);
    }
    if more_local || headed.switched { Moved::Yes } else { Moved::No }
}

/// Whether the exchange has anything for the client, or the connection anything unsent.
fn has_news(conn: &Conn, work: &super::work::Work) -> bool {
    let x = &work.x;
    x.response.is_some()
        || x.interim.is_some()
        || work.local.is_some()
        || x.down.has_ended()
        || !x.down.is_empty()
        || !conn.out.is_empty()
}

/// What [`send_heads`] did.
struct Headed {
    interim: bool,
    switched: bool,
}

/// Puts heads that wait into `out`.
fn send_heads(
    conn: &mut Conn,
    work: &mut super::work::Work,
    heads: &mut super::core::Heads,
    bufs: &mut crate::base::buf::BufPool,
) -> Result<Headed, Fault> {
    let mut done = Headed { interim: false, switched: false };
    let waiting = work.x.interim.is_some() || (work.x.response.is_some() && !conn.head_sent);
    let Codec::H1(codec) = &mut conn.codec else { return Ok(done) };
    if !waiting {
        return Ok(done);
    }
    if !conn.out.reserve(bufs) {
        return Err(Fault::Overload);
    }
    if let Some(head) = work.x.interim.take() {
        // One that finds no room or no listener is left out: it is advice.
        let _ = codec.send_head(&head, &mut conn.out);
        if !is_planted(Bug::LostHead) {
            heads.give(head);
        }
        done.interim = true;
    }
    let Some(head) = work.x.response.take() else { return Ok(done) };
    // An answer of our own, and a rest of the request that is too long to be read: then the client is
    // told with it that the connection ends.
    work.closes |= work.back().is_none() && !work.x.up.has_ended() && !is_discardable(codec, work);
    // At rest means that no request was understood: such an answer ends the connection anyway.
    if work.closes && !codec.is_reusable(&conn.input) {
        codec.close_after();
    }
    if codec.send_head(&head, &mut conn.out).is_err() {
        // `out` holds at most interim responses: a head that doesn't fit now never will.
        heads.give(head);
        return Err(Fault::BadResponse);
    }
    heads.give(head);
    conn.head_sent = true;
    work.unframed = codec.sends_plain() && codec.send_remaining().is_none();
    if codec.is_switched() {
        conn.codec = Codec::Raw(raw::Conn::new());
        conn.finished = false;
        done.switched = true;
    }
    Ok(done)
}

/// The response is out. Ends the exchange when the request is complete, too.
fn complete(conn: &mut Conn, key: ConnKey, core: &mut Core) -> Moved {
    let Some(x) = conn.x else { return Moved::No };
    let Some(work) = core.work.get_mut(x) else { return shut(conn, key, core) };
    if work.x.stage() == Stage::Tunnel {
        if work.back().is_some() {
            return Moved::No;
        }
        conn.x = None;
        core.leave(Effect::Finish(x));
        return shut(conn, key, core);
    }
    if work.x.up.has_ended() {
        if work.back().is_some() {
            // The response came early and the request is still on its way to the backend.
            return Moved::No;
        }
        conn.x = None;
        core.leave(Effect::Finish(x));
        return next(conn, key, core);
    }
    if work.back().is_some() {
        return Moved::No;
    }
    work.discard = true;
    work.x.turn(Turn::Excess);
    let keeps = match &conn.codec {
        Codec::H1(codec) => !work.closes && is_discardable(codec, work),
        Codec::Raw(_) => false,
    };
    if keeps {
        return Moved::No;
    }
    conn.x = None;
    work.x.front = Leg::None;
    core.leave(Effect::Finish(x));
    linger(conn, key, core)
}

/// Whether what is left of the request is short enough to be read and thrown away, so that the
/// connection serves on.
fn is_discardable(codec: &h1::Conn, work: &super::work::Work) -> bool {
    !work.x.expects && codec.body_remaining().is_some_and(|left| left <= DISCARD_MAX)
}

/// The exchange is over: the next one, or the end.
fn next(conn: &mut Conn, key: ConnKey, core: &mut Core) -> Moved {
    let ends = core.draining || core.listener_index(conn).is_none();
    let Codec::H1(codec) = &mut conn.codec else { return shut(conn, key, core) };
    if ends {
        codec.close_after();
    }
    if codec.is_reusable(&conn.input) && !conn.eof {
        conn.enter(State::Idle, core.now);
        return Moved::Yes;
    }
    // With bytes unread, closing would reset the connection and could take the response with it.
    if !conn.input.is_empty() || conn.ready.has(Ready::READ) && !conn.eof {
        return linger(conn, key, core);
    }
    shut(conn, key, core)
}

/// Ends our direction and waits for the peer to end its own, so that what we sent arrives.
fn linger(conn: &mut Conn, key: ConnKey, core: &mut Core) -> Moved {
    if conn.eof {
        return shut(conn, key, core);
    }
    conn.stream.shutdown_write();
    conn.input.discard(&mut core.bufs);
    conn.enter(State::Linger, core.now);
    core.arm(conn, key, core.now.after(super::timers::LINGER));
    Moved::Yes
}

// --- requests ---------------------------------------------------------------------------------

/// Reads what the client has for its exchange, or for the next one.
fn read(conn: &mut Conn, key: ConnKey, core: &mut Core) -> Moved {
    match conn.state {
        State::Closing => Moved::Stop,
        State::Linger => drop_input(conn, key, core),
        State::Idle | State::Head => read_head(conn, key, core),
        State::Busy => read_body(conn, key, core),
    }
}

fn drop_input(conn: &mut Conn, key: ConnKey, core: &mut Core) -> Moved {
    if !conn.ready.has(Ready::READ) {
        return Moved::No;
    }
    let filled = fill(&mut conn.stream, &mut conn.ready, &mut conn.input, &mut core.bufs);
    conn.input.discard(&mut core.bufs);
    match filled {
        Filled::Bytes(_) => Moved::Yes,
        Filled::Dry => Moved::No,
        _ => shut(conn, key, core),
    }
}

/// What the codec is allowed, by the listener's terms.
fn limits(conn: &Conn, core: &Core) -> Limits {
    let listener = core.listener_of(conn);
    let terms = listener.map_or(&core.live.plan.terms, |listener| &listener.terms);
    super::limits_of(&terms.limits)
}

fn read_head(conn: &mut Conn, key: ConnKey, core: &mut Core) -> Moved {
    if conn.input.is_empty() && !receive(conn, core) {
        return if conn.eof { shut(conn, key, core) } else { Moved::No };
    }
    let limits = limits(conn, core);
    loop {
        let Codec::H1(codec) = &mut conn.codec else { return shut(conn, key, core) };
        match codec.poll(&mut conn.input, &mut core.spare, &limits) {
            Ok(Event::Head) => {
                super::begin::begin(conn, key, core);
                return Moved::Yes;
            }
            Ok(Event::NeedMore) => {
                if conn.state == State::Idle && !conn.input.is_empty() {
                    conn.enter(State::Head, core.now);
                    core.arm(conn, key, core.now.after(core.live.pulse));
                }
                if !receive(conn, core) {
                    return if conn.eof { shut(conn, key, core) } else { Moved::No };
                }
            }
            Ok(_) => return shut(conn, key, core),
            Err(offence) => {
                count_offence(core, offence);
                super::begin::refuse(conn, key, core, fault_of(offence), Some(offence));
                return Moved::Stop;
            }
        }
    }
}

/// Reads once into the input. `false` when nothing came; `conn.eof` tells whether ever will.
fn receive(conn: &mut Conn, core: &mut Core) -> bool {
    if conn.eof || !conn.ready.has(Ready::READ) {
        return false;
    }
    match fill(&mut conn.stream, &mut conn.ready, &mut conn.input, &mut core.bufs) {
        Filled::Bytes(n) => {
            conn.bulk = conn.input.room() == 0;
            core.tally.add(Counter::FrontReceived, n as u64);
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

/// Reads the body of the present request, or what goes into its tunnel.
fn read_body(conn: &mut Conn, key: ConnKey, core: &mut Core) -> Moved {
    let Some(x) = conn.x else { return Moved::No };
    let Some(work) = core.work.get_mut(x) else { return shut(conn, key, core) };
    if work.x.up.has_ended() {
        return Moved::No;
    }
    if !work.discard {
        let (up, kernel, pool) = (&mut work.x.up, &mut work.up_kernel, &mut core.kernel);
        match flow::splice(conn, up, kernel, pool, core.splice_min, &mut core.bufs) {
            Spliced::No => {}
            Spliced::Bytes(n) => {
                core.tally.add(Counter::FrontReceived, n as u64);
                return took(conn, core, x, n as u64);
            }
            Spliced::Full => {
                work.up_blocked = true;
                return Moved::No;
            }
            Spliced::Dry => return Moved::No,
            Spliced::End => conn.eof = true,
            Spliced::Failed => {
                core.leave(Effect::Fail(x, Fault::ClientGone));
                return Moved::Stop;
            }
        }
    }
    let limits = limits(conn, core);
    let event = match &mut conn.codec {
        Codec::H1(codec) => codec.poll(&mut conn.input, &mut core.spare, &limits),
        Codec::Raw(codec) => Ok(codec.poll(&conn.input)),
    };
    match event {
        Ok(Event::Body(n)) => content(conn, core, x, n),
        Ok(Event::NeedMore) => more(conn, key, core),
        Ok(Event::Trailers) => {
            let trailers = core.take_spare();
            if let Some(work) = core.work.get_mut(x) {
                work.x.up_trailers = Some(trailers);
            }
            Moved::Yes
        }
        Ok(Event::End) => end_of_request(conn, core),
        // Until the switch has been answered, what follows belongs to nobody.
        Ok(Event::Paused | Event::Switched) => Moved::No,
        Ok(Event::Head | Event::Interim | Event::Closed) => shut(conn, key, core),
        Err(offence) => {
            count_offence(core, offence);
            if let Some(work) = core.work.get_mut(x) {
                work.offence = Some(offence);
                work.closes = true;
            }
            core.leave(Effect::Fail(x, fault_of(offence)));
            Moved::Stop
        }
    }
}

/// The first `n` bytes of the input are content.
fn content(conn: &mut Conn, core: &mut Core, x: super::work::XKey, n: usize) -> Moved {
    let Some(work) = core.work.get_mut(x) else { return Moved::Stop };
    if work.discard {
        throw_away(conn, n);
        return Moved::Yes;
    }
    if work.x.up.room() == 0 {
        work.up_blocked = true;
        return Moved::No;
    }
    let taken = flow::take_body(conn, n, &mut work.x.up, &mut core.bufs);
    if taken == 0 {
        core.leave(Effect::Fail(x, Fault::Overload));
        return Moved::Stop;
    }
    took(conn, core, x, taken as u64)
}

fn throw_away(conn: &mut Conn, n: usize) {
    match &mut conn.codec {
        Codec::H1(codec) => codec.take_body(n, &mut conn.input),
        Codec::Raw(codec) => codec.take_body(n, &mut conn.input),
    }
}

/// Content went into the pipe: counts it, holds it to its limit, lets the backend run.
fn took(conn: &mut Conn, core: &mut Core, x: super::work::XKey, n: u64) -> Moved {
    let now = core.now;
    let Some(work) = core.work.get_mut(x) else { return Moved::Stop };
    work.x.times.front = now;
    work.x.expects = false;
    work.received += n;
    let limit = work.x.terms.limits.body_bytes;
    if !conn.is_tunnel() && limit.is_some_and(|limit| work.received > limit) {
        work.closes = true;
        core.count(Counter::BodyLimit);
        core.leave(Effect::Fail(x, Fault::BodyTooLarge));
        return Moved::Stop;
    }
    if let Some(back) = work.back() {
        core.run.push(back);
    }
    Moved::Yes
}

/// The codec wants more bytes: reads them, or deals with the end of the stream.
fn more(conn: &mut Conn, key: ConnKey, core: &mut Core) -> Moved {
    let before = conn.input.len();
    if receive(conn, core) {
        return Moved::Yes;
    }
    if !conn.eof {
        return Moved::No;
    }
    debug_assert_eq!(before, conn.input.len());
    let Some(x) = conn.x else { return shut(conn, key, core) };
    match &mut conn.codec {
        Codec::Raw(_) if conn.torn => {
            core.leave(Effect::Fail(x, Fault::ClientGone));
            Moved::Stop
        }
        Codec::Raw(codec) => {
            codec.on_eof();
            Moved::Yes
        }
        Codec::H1(codec) => match codec.on_eof(&conn.input) {
            Ok(_) => Moved::No,
            Err(_) => {
                core.leave(Effect::Fail(x, Fault::RequestCut));
                Moved::Stop
            }
        },
    }
}

/// The request, or the client's half of a tunnel, is complete.
fn end_of_request(conn: &mut Conn, core: &mut Core) -> Moved {
    let now = core.now;
    let Some(x) = conn.x else { return Moved::No };
    let Some(work) = core.work.get_mut(x) else { return Moved::Stop };
    work.x.up.end();
    work.x.times.front = now;
    if work.discard && !conn.is_tunnel() {
        work.x.times.sent = now;
    }
    if let Some(back) = work.back() {
        core.run.push(back);
    }
    Moved::Yes
}

/// The fault that an offence of the client means.
pub fn fault_of(offence: Offence) -> Fault {
    match offence.status(crate::proto::Role::Server) {
        431 => Fault::HeadTooLarge,
        414 => Fault::TargetTooLong,
        405 => Fault::MethodRefused,
        417 => Fault::ExpectationFailed,
        501 => Fault::NotImplemented,
        505 => Fault::VersionRefused,
        _ => Fault::BadRequest,
    }
}

fn count_offence(core: &mut Core, offence: Offence) {
    core.count(Counter::Malformed);
    match offence {
        Offence::HeadTooLong => core.count(Counter::HeaderBytesLimit),
        Offence::FieldsTooMany => core.count(Counter::HeaderFieldsLimit),
        _ => {}
    }
}
