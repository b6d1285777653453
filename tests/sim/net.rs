//! The simulated kernel: connections as two half-streams with delays, bounded buffers, edges,
//! resets, refusals, and a bound on descriptors.
//!
//! Not a wire: loss and reordering are TCP's business. Rules of the kernel that a proxy leans on
//! are kept to the letter: a read gives all that is there up to its room; new bytes, the end and a
//! failure each make an edge; what was taken before a reset can be read; closing with unread bytes
//! resets.

use cloudcup::base::clock::Time;
use cloudcup::base::seed::Seed;
use cloudcup::io::ready::Ready;
use cloudcup::io::sim::Net;
use std::collections::{HashSet, VecDeque};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

/// How a connection behaves.
#[derive(Clone, Copy, Debug)]
pub struct Nature {
    /// Longest delay of a segment.
    pub delay: Duration,
    /// Longest segment.
    pub segment: usize,
    /// Bytes that fit between a writer and its reader.
    pub capacity: usize,
}

/// The far end of a connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialled {
    /// It answers after so long.
    Answers(Duration),
    /// It refuses, at once or after so long.
    Refuses(Duration),
    /// It never answers.
    Silent,
}

enum Segment {
    Bytes(Vec<u8>),
    Fin,
    Reset,
}

/// What travels in one direction.
#[derive(Default)]
struct Half {
    flight: VecDeque<(Time, Segment)>,
    flying: usize,
    unread: VecDeque<u8>,
    fin: bool,
    reset: bool,
    /// The writer was told that there is no room.
    starved: bool,
    /// The writer has ended it.
    ended: bool,
    last_due: Time,
}

/// Which end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The worker's.
    Worker = 0,
    /// The model's.
    Model = 1,
}

impl End {
    fn other(self) -> End {
        match self {
            End::Worker => End::Model,
            End::Model => End::Worker,
        }
    }
}

/// Whether the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It will, then.
    Rising(Time),
    /// It will fail, then.
    Failing(Time),
    /// It never will.
    Hanging,
    /// It stands.
    Up,
    /// It failed; the worker is told once by each call.
    Failed,
}

struct Link {
    nature: Nature,
    phase: Phase,
    /// By writer: `[Worker, Model]`.
    halves: [Half; 2],
    open: [bool; 2],
    token: Option<u64>,
    edges: Ready,
    /// The model's end has something to look at.
    dirty: bool,
    peer: SocketAddr,
}

/// A listener of the worker.
#[derive(Default)]
struct Door {
    queue: VecDeque<u32>,
    token: Option<u64>,
}

/// The far ends that the worker may dial, in the order of their addresses.
pub type DialRule = Box<dyn FnMut(SocketAddr, &mut Seed, Time) -> (Dialled, Nature)>;

/// The model.
pub struct Model {
    /// Now.
    pub now: Time,
    /// The run's dice.
    pub seed: Seed,
    links: Vec<Link>,
    doors: Vec<Door>,
    dial: DialRule,
    /// Connections that the worker has dialled and that stand, not yet taken by an origin.
    pub dialled: VecDeque<(u32, SocketAddr)>,
    rising: Vec<(u32, SocketAddr)>,
    fds: usize,
    /// Most descriptors of the worker.
    pub fds_max: usize,
    /// Times that descriptors ran out.
    pub exhausted: u64,
    /// Chance of a spurious event in a poll: one in so many.
    pub spurious: u64,
    /// Cases whose content ended with a reset: a cut that shows.
    pub reset_cases: HashSet<u32>,
    /// Calls of the worker so far that could fail.
    pub calls: u64,
    /// The call that fails, counted from 1.
    pub fail_at: Option<u64>,
    /// Details go into the story, too.
    pub verbose: bool,
    /// The trace, hashed; two runs of a seed must agree.
    pub trace: u64,
    /// The last things that happened, for the report of a failure.
    pub story: VecDeque<String>,
}

impl Model {
    /// An empty network.
    pub fn new(seed: Seed, dial: DialRule) -> Model {
        Model {
            now: Time::ZERO,
            seed,
            links: Vec::new(),
            doors: vec![Door::default()],
            dial,
            dialled: VecDeque::new(),
            rising: Vec::new(),
            fds: 0,
            fds_max: usize::MAX,
            exhausted: 0,
            spurious: 0,
            reset_cases: HashSet::new(),
            calls: 0,
            fail_at: None,
            verbose: false,
            trace: 0,
            story: VecDeque::new(),
        }
    }

    /// Notes what happened.
    pub fn note(&mut self, what: std::fmt::Arguments<'_>) {
        let line = format!("{:>12.6} {what}", self.now.since(Time::ZERO).as_secs_f64());
        for byte in line.bytes() {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.story.len() >= 400 && !self.verbose {
            self.story.pop_front();
        }
        self.story.push_back(line);
    }

    /// Notes what only a replay wants to know.
    fn detail(&mut self, what: std::fmt::Arguments<'_>) {
        if self.verbose {
            self.story.push_back(what.to_string());
        }
    }

    /// Descriptors that the worker holds.
    pub fn fds(&self) -> usize {
        self.fds
    }

    // --- the model's ends ---------------------------------------------------------------------

    /// A client connects to the worker's listener. Returns the connection.
    pub fn connect_client(&mut self, peer: SocketAddr, nature: Nature) -> u32 {
        let id = self.add(Phase::Up, peer, nature);
        self.doors[0].queue.push_back(id);
        self.note(format_args!("c{id} connects"));
        id
    }

    /// Takes all bytes that have arrived, up to `max`. The flags: the end, a reset.
    pub fn take(&mut self, id: u32, max: usize) -> (Vec<u8>, bool, bool) {
        let link = &mut self.links[id as usize];
        let half = &mut link.halves[End::Worker as usize];
        let n = half.unread.len().min(max);
        let bytes: Vec<u8> = half.unread.drain(..n).collect();
        let empty = half.unread.is_empty();
        let flags = (half.fin && empty, half.reset && empty);
        if n > 0 {
            self.room_made(id, End::Worker);
        }
        (bytes, flags.0, flags.1)
    }

    /// Sends as much as fits. Returns how much.
    pub fn give(&mut self, id: u32, bytes: &[u8]) -> usize {
        match self.send(id, End::Model, bytes) {
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            // The worker has reset it: the model sees that when it reads.
            Err(_) => bytes.len(),
        }
    }

    /// Ends the model's direction.
    pub fn finish(&mut self, id: u32) {
        self.end_half(id, End::Model);
    }

    /// Closes the model's end; with bytes unread, or when told to, by a reset.
    pub fn close_model(&mut self, id: u32, reset: bool) {
        self.close_end(id, End::Model, reset);
    }

    /// Connections with something for their model to look at.
    pub fn take_dirty(&mut self) -> Vec<u32> {
        let mut dirty = Vec::new();
        for (id, link) in self.links.iter_mut().enumerate() {
            if std::mem::take(&mut link.dirty) && link.open[End::Model as usize] {
                dirty.push(id as u32);
            }
        }
        dirty
    }

    // --- time ---------------------------------------------------------------------------------

    /// When something is due next.
    pub fn next_due(&self) -> Option<Time> {
        let mut next = Time::NEVER;
        for link in &self.links {
            for half in &link.halves {
                if let Some((due, _)) = half.flight.front() {
                    next = next.min(*due);
                }
            }
            if let Phase::Rising(due) | Phase::Failing(due) = link.phase {
                next = next.min(due);
            }
            if link.edges != Ready::NONE && link.token.is_some() {
                next = next.min(self.now.after(Duration::from_micros(50)));
            }
        }
        if self.doors.iter().any(|door| door.token.is_some() && !door.queue.is_empty()) {
            next = next.min(self.now.after(Duration::from_micros(50)));
        }
        (next != Time::NEVER).then_some(next)
    }

    /// Makes `now` true: everything due by then arrives.
    pub fn advance(&mut self, now: Time) {
        self.now = now;
        for id in 0..self.links.len() as u32 {
            self.rise(id);
            for writer in [End::Worker, End::Model] {
                self.arrive(id, writer);
            }
        }
    }

    /// Counts a call; whether it is the one that fails.
    fn fails(&mut self, what: &str) -> bool {
        self.calls += 1;
        let fails = self.fail_at == Some(self.calls);
        if fails {
            let call = self.calls;
            self.note(format_args!("call {call} fails: {what}"));
        }
        fails
    }

    /// Both ends of a connection are told that it is broken.
    fn break_link(&mut self, id: u32) {
        let link = &mut self.links[id as usize];
        for half in &mut link.halves {
            half.flight.clear();
            half.flying = 0;
            half.unread.clear();
            half.ended = true;
            half.reset = true;
        }
        link.dirty = true;
        link.edges.set(Ready::READ.and(Ready::WRITE).and(Ready::READ_CLOSED).and(Ready::GONE));
    }

    fn rise(&mut self, id: u32) {
        let link = &mut self.links[id as usize];
        match link.phase {
            Phase::Rising(due) if due <= self.now => {
                link.phase = Phase::Up;
                link.edges.set(Ready::WRITE);
                if let Some(at) = self.rising.iter().position(|(rising, _)| *rising == id) {
                    let entry = self.rising.remove(at);
                    if self.links[id as usize].open[0] {
                        self.dialled.push_back(entry);
                    }
                }
                self.note(format_args!("b{id} is up"));
            }
            Phase::Failing(due) if due <= self.now => {
                link.phase = Phase::Failed;
                link.edges
                    .set(Ready::READ.and(Ready::WRITE).and(Ready::READ_CLOSED).and(Ready::GONE));
                self.note(format_args!("b{id} is refused"));
            }
            _ => {}
        }
    }

    fn arrive(&mut self, id: u32, writer: End) {
        let now = self.now;
        let link = &mut self.links[id as usize];
        let half = &mut link.halves[writer as usize];
        let mut edge = Ready::NONE;
        while half.flight.front().is_some_and(|(due, _)| *due <= now) {
            let Some((_, segment)) = half.flight.pop_front() else { break };
            match segment {
                Segment::Bytes(bytes) => {
                    half.flying -= bytes.len();
                    half.unread.extend(bytes);
                    edge.set(Ready::READ);
                }
                Segment::Fin => {
                    half.fin = true;
                    edge.set(Ready::READ.and(Ready::READ_CLOSED));
                }
                Segment::Reset => {
                    half.reset = true;
                    edge.set(
                        Ready::READ.and(Ready::WRITE).and(Ready::READ_CLOSED).and(Ready::GONE),
                    );
                }
            }
        }
        if edge == Ready::NONE {
            return;
        }
        let reader_open = link.open[writer.other() as usize];
        let reset = half.reset;
        if !reader_open {
            // Bytes for a closed end are answered by a reset.
            if !half.unread.is_empty() && !reset {
                half.unread.clear();
                self.send_reset(id, writer.other());
            }
            return;
        }
        match writer {
            End::Worker => link.dirty = true,
            End::Model => link.edges.set(edge),
        }
        if reset {
            // The other direction is dead as well: what the worker writes fails.
            let other = &mut self.links[id as usize].halves[writer.other() as usize];
            other.flight.clear();
            other.flying = 0;
        }
    }

    // --- both ends ----------------------------------------------------------------------------

    fn add(&mut self, phase: Phase, peer: SocketAddr, nature: Nature) -> u32 {
        self.links.push(Link {
            nature,
            phase,
            halves: Default::default(),
            open: [true, true],
            token: None,
            edges: Ready::NONE,
            dirty: true,
            peer,
        });
        (self.links.len() - 1) as u32
    }

    /// Writes as much as fits. Errors are the kernel's.
    fn send(&mut self, id: u32, writer: End, bytes: &[u8]) -> io::Result<usize> {
        let now = self.now;
        let link = &mut self.links[id as usize];
        if link.halves[writer.other() as usize].reset || link.phase == Phase::Failed {
            let refused = link.phase == Phase::Failed;
            let kind = if refused { ErrorKind::ConnectionRefused } else { ErrorKind::BrokenPipe };
            return Err(kind.into());
        }
        let up = link.phase == Phase::Up;
        let half = &mut link.halves[writer as usize];
        if half.ended {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let held = half.flying + half.unread.len();
        let room = if up { link.nature.capacity.saturating_sub(held) } else { 0 };
        let mut n = bytes.len().min(room);
        if n > 1 && self.seed.one_in(5) {
            n = 1 + self.seed.below(n as u64) as usize;
        }
        if n < bytes.len() {
            half.starved = true;
        }
        if n == 0 && !bytes.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut rest = &bytes[..n];
        while !rest.is_empty() {
            let most = rest.len().min(link.nature.segment) as u64;
            let len = if self.seed.one_in(2) { most } else { 1 + self.seed.below(most) } as usize;
            let delay = self.seed.below(link.nature.delay.as_nanos() as u64 + 1);
            half.last_due = half.last_due.max(now.after(Duration::from_nanos(delay)));
            half.flight.push_back((half.last_due, Segment::Bytes(rest[..len].to_vec())));
            half.flying += len;
            rest = &rest[len..];
        }
        if n < bytes.len() && held + n < link.nature.capacity {
            // A short write by the model's whim: room is there, so the edge comes at once.
            self.room_made(id, writer);
        }
        Ok(n)
    }

    /// The reader has made room (or a reset has ended the wait): the writer may go on.
    fn room_made(&mut self, id: u32, writer: End) {
        let link = &mut self.links[id as usize];
        if !std::mem::take(&mut link.halves[writer as usize].starved) {
            return;
        }
        match writer {
            End::Worker => link.edges.set(Ready::WRITE),
            End::Model => link.dirty = true,
        }
    }

    fn end_half(&mut self, id: u32, writer: End) {
        let delay = self.some_delay(id);
        let half = &mut self.links[id as usize].halves[writer as usize];
        if !std::mem::replace(&mut half.ended, true) {
            half.last_due = half.last_due.max(delay);
            half.flight.push_back((half.last_due, Segment::Fin));
        }
    }

    fn send_reset(&mut self, id: u32, writer: End) {
        let delay = self.some_delay(id);
        let half = &mut self.links[id as usize].halves[writer as usize];
        half.ended = true;
        half.last_due = half.last_due.max(delay);
        half.flight.push_back((half.last_due, Segment::Reset));
    }

    fn some_delay(&mut self, id: u32) -> Time {
        let delay = self.links[id as usize].nature.delay.as_nanos() as u64;
        self.now.after(Duration::from_nanos(self.seed.below(delay + 1)))
    }

    fn close_end(&mut self, id: u32, end: End, reset: bool) {
        let link = &mut self.links[id as usize];
        if !std::mem::replace(&mut link.open[end as usize], false) {
            return;
        }
        let incoming = &mut link.halves[end.other() as usize];
        let unread = !incoming.unread.is_empty();
        incoming.unread.clear();
        if reset || unread {
            self.send_reset(id, end);
        } else {
            self.end_half(id, end);
        }
    }
}

impl Net for Model {
    fn read(&mut self, fd: u32, into: &mut [u8]) -> io::Result<usize> {
        assert!(self.links[fd as usize].open[0], "read of closed {fd}");
        if self.fails("read") {
            self.break_link(fd);
            return Err(ErrorKind::ConnectionReset.into());
        }
        let link = &mut self.links[fd as usize];
        match link.phase {
            Phase::Failed => return Err(ErrorKind::ConnectionRefused.into()),
            Phase::Up => {}
            _ => return Err(ErrorKind::WouldBlock.into()),
        }
        let half = &mut link.halves[End::Model as usize];
        let n = half.unread.len().min(into.len());
        if n == 0 && !into.is_empty() {
            if half.reset {
                return Err(ErrorKind::ConnectionReset.into());
            }
            return if half.fin { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        for (to, from) in into.iter_mut().zip(half.unread.drain(..n)) {
            *to = from;
        }
        let (asked, left, fin) = (into.len(), half.unread.len(), half.fin);
        self.detail(format_args!(
            "  worker reads {n} of {asked} from {fd}, {left} left, fin {fin}"
        ));
        self.room_made(fd, End::Model);
        Ok(n)
    }

    fn write(&mut self, fd: u32, bytes: &[u8]) -> io::Result<usize> {
        assert!(self.links[fd as usize].open[0], "write to closed {fd}");
        if self.fails("write") {
            self.break_link(fd);
            return Err(ErrorKind::BrokenPipe.into());
        }
        let sent = self.send(fd, End::Worker, bytes);
        self.note(format_args!(
            "  worker writes {:?} of {} to {fd}",
            sent.as_ref().ok(),
            bytes.len()
        ));
        sent
    }

    fn shutdown_write(&mut self, fd: u32) -> io::Result<()> {
        assert!(self.links[fd as usize].open[0], "shutdown of closed {fd}");
        self.end_half(fd, End::Worker);
        Ok(())
    }

    fn close(&mut self, fd: u32) {
        assert!(self.links[fd as usize].open[0], "{fd} is closed twice");
        self.fds -= 1;
        self.links[fd as usize].token = None;
        self.note(format_args!("worker closes {fd}"));
        self.close_end(fd, End::Worker, false);
    }

    fn accept(&mut self, listener: u32) -> io::Result<(u32, SocketAddr)> {
        if self.doors[listener as usize].queue.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        if self.fds >= self.fds_max || self.fails("accept") {
            self.exhausted += 1;
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        let Some(id) = self.doors[listener as usize].queue.pop_front() else {
            return Err(ErrorKind::WouldBlock.into());
        };
        self.fds += 1;
        self.note(format_args!("worker accepts c{id}"));
        Ok((id, self.links[id as usize].peer))
    }

    fn connect(&mut self, to: SocketAddr) -> io::Result<u32> {
        if self.fds >= self.fds_max || self.fails("connect") {
            self.exhausted += 1;
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        let (dialled, nature) = (self.dial)(to, &mut self.seed, self.now);
        let phase = match dialled {
            Dialled::Answers(after) => Phase::Rising(self.now.after(after)),
            Dialled::Refuses(Duration::ZERO) => return Err(ErrorKind::ConnectionRefused.into()),
            Dialled::Refuses(after) => Phase::Failing(self.now.after(after)),
            Dialled::Silent => Phase::Hanging,
        };
        self.fds += 1;
        let id = self.add(phase, to, nature);
        if let Phase::Rising(_) = phase {
            self.rising.push((id, to));
        }
        self.note(format_args!("worker dials b{id} at {to}: {dialled:?}"));
        Ok(id)
    }

    fn register(&mut self, fd: u32, token: u64) -> io::Result<()> {
        if self.fails("register") {
            return Err(io::Error::from_raw_os_error(libc::ENOMEM));
        }
        let link = &mut self.links[fd as usize];
        link.token = Some(token);
        if link.phase == Phase::Up {
            link.edges.set(Ready::WRITE);
            let half = &link.halves[End::Model as usize];
            if !half.unread.is_empty() || half.fin || half.reset {
                link.edges.set(Ready::READ);
            }
            if half.fin || half.reset {
                link.edges.set(Ready::READ_CLOSED);
            }
            if half.reset {
                link.edges.set(Ready::GONE);
            }
        }
        Ok(())
    }

    fn listen(&mut self, listener: u32, token: u64) -> io::Result<()> {
        self.doors[listener as usize].token = Some(token);
        Ok(())
    }

    fn ignore(&mut self, listener: u32) {
        self.doors[listener as usize].token = None;
    }

    fn poll(&mut self, events: &mut Vec<(u64, Ready)>) {
        for door in &self.doors {
            if let Some(token) = door.token.filter(|_| !door.queue.is_empty()) {
                events.push((token, Ready::READ));
            }
        }
        for link in &mut self.links {
            let Some(token) = link.token else { continue };
            // An event may come a little later than it could.
            if link.edges != Ready::NONE && !self.seed.one_in(8) {
                events.push((token, std::mem::take(&mut link.edges)));
            } else if self.spurious > 0 && self.seed.one_in(self.spurious) {
                let edge = if self.seed.one_in(2) { Ready::READ } else { Ready::WRITE };
                events.push((token, edge));
            }
        }
        for (token, ready) in events.iter().filter(|_| self.verbose).copied().collect::<Vec<_>>() {
            let id = self.links.iter().position(|link| link.token == Some(token));
            self.detail(format_args!("  event {id:?} {ready:?}"));
        }
        for at in (1..events.len()).rev() {
            events.swap(at, self.seed.below(at as u64 + 1) as usize);
        }
    }
}
