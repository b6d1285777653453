//! What must hold for the HTTP/1 codec whatever the bytes are. Panics when it doesn't.
//!
//! - The verdict and the meaning don't depend on how the bytes are split.
//! - A head that we accept is read by httparse too, with the same words.
//! - A message that we accept, sent on, is read as the same message and as nothing else.
//! - Two of our codecs that do things in any order never disagree about what was said.

use cloudcup::base::buf::{Buf, BufPool};
use cloudcup::msg::{BodySize, Head, Known};
use cloudcup::proto::h1::{Conn, Event, HEAD_BYTES_MAX, Limits, Offence, Role};

/// One message as it was understood.
#[derive(Clone, Debug, Default)]
struct Message {
    head: Head,
    body: Vec<u8>,
    trailers: Vec<(Vec<u8>, Vec<u8>)>,
}

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

fn pairs(head: &Head) -> Pairs {
    head.fields().map(|field| (field.name.to_vec(), field.value.to_vec())).collect()
}

/// All that a message means, in a form that compares.
fn meaning(message: &Message) -> impl PartialEq + std::fmt::Debug + use<> {
    let head = &message.head;
    let start = (
        head.method_text().to_vec(),
        head.target().to_vec(),
        head.authority().to_vec(),
        head.status(),
        head.upgrade().map(<[u8]>::to_vec),
    );
    let facts = (head.body, head.declared_length, head.expect_continue, head.accepts_trailers);
    (start, facts, pairs(head), message.body.clone(), message.trailers.clone())
}

/// How a reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// All bytes were used, or more are needed.
    Open,
    Switched,
    Closed,
    Offence(Offence),
}

/// One end of a connection with its buffers.
struct End {
    conn: Conn,
    input: Buf,
    out: Buf,
    scratch: Head,
    pool: BufPool,
    limits: Limits,
    messages: Vec<Message>,
    interims: Vec<Head>,
    current: Option<Message>,
    /// A server answers by itself.
    answers: bool,
}

impl End {
    fn new(role: Role) -> End {
        let mut pool = BufPool::new(2);
        let (input, mut out) = (Buf::new(), Buf::new());
        assert!(out.reserve(&mut pool));
        let limits = Limits { allow_connect: true, ..Limits::new() };
        End {
            conn: Conn::new(role),
            input,
            out,
            scratch: Head::new(),
            pool,
            limits,
            messages: Vec::new(),
            interims: Vec::new(),
            current: None,
            answers: true,
        }
    }

    /// Feeds `bytes` in pieces whose lengths `sizes` repeats, until something ends it.
    fn read(&mut self, bytes: &[u8], sizes: &[usize]) -> Ending {
        let mut rest = bytes;
        for size in sizes.iter().cycle() {
            let piece = rest.get(..*size).unwrap_or(rest);
            let taken = self.input.append(piece, &mut self.pool);
            rest = &rest[taken..];
            let ending = self.run();
            if ending != Ending::Open || rest.is_empty() || (taken == 0 && self.input.room() == 0) {
                return ending;
            }
        }
        Ending::Open
    }

    fn run(&mut self) -> Ending {
        loop {
            let before = self.input.len();
            match self.conn.poll(&mut self.input, &mut self.scratch, &self.limits) {
                Ok(Event::NeedMore) => return Ending::Open,
                Ok(Event::Paused) => {
                    if self.conn.role() == Role::Client || !self.answers {
                        return Ending::Open;
                    }
                    self.answer();
                }
                Ok(Event::Head) => {
                    let head = self.scratch.clone();
                    self.current = Some(Message { head, ..Message::default() });
                    if self.scratch.status() == 101 {
                        self.messages.extend(self.current.take());
                    }
                }
                Ok(Event::Interim) => self.interims.push(self.scratch.clone()),
                Ok(Event::Body(len)) => {
                    assert!(len > 0 && len <= before);
                    let current = self.current.as_mut().expect("a head came first");
                    current.body.extend_from_slice(&self.input.data()[..len]);
                    self.conn.take_body(len, &mut self.input);
                }
                Ok(Event::Trailers) => {
                    let current = self.current.as_mut().expect("a head came first");
                    assert_eq!(current.head.body, BodySize::Streamed);
                    current.trailers = pairs(&self.scratch);
                    assert!(!current.trailers.is_empty());
                }
                Ok(Event::End) => {
                    let message = self.current.take().expect("a head came first");
                    if let BodySize::Exact(length) = message.head.body {
                        assert_eq!(message.body.len() as u64, length);
                    }
                    self.messages.push(message);
                }
                Ok(Event::Switched) => return Ending::Switched,
                Ok(Event::Closed) => return Ending::Closed,
                Err(offence) => {
                    assert!(!self.conn.is_reusable(&self.input));
                    let again = self.conn.poll(&mut self.input, &mut self.scratch, &self.limits);
                    assert_eq!(again, Ok(Event::Closed), "reads on after an offence");
                    return Ending::Offence(offence);
                }
            }
        }
    }

    /// Answers the request just read, so that the next one may be.
    fn answer(&mut self) {
        let mut head = Head::new();
        head.set_response(404);
        self.conn.send_head(&head, &mut self.out).expect("room");
        self.conn.finish(None, &mut self.out).expect("in order");
        self.out.clear();
    }
}

/// Lengths of pieces made from the data itself.
fn sizes(data: &[u8]) -> Vec<usize> {
    let mut sizes: Vec<usize> =
        data.iter().rev().take(8).map(|b| 1 + usize::from(b % 29)).collect();
    sizes.push(1);
    sizes
}

/// Bytes as a client might send them, read by a server.
pub fn request(data: &[u8]) {
    let mut whole = End::new(Role::Server);
    let ending = whole.read(data, &[data.len().max(1)]);
    let mut split = End::new(Role::Server);
    let split_ending = split.read(data, &sizes(data));
    assert_eq!(ending, split_ending);
    assert_eq!(whole.messages.len(), split.messages.len());
    for (one, other) in whole.messages.iter().zip(&split.messages) {
        assert_eq!(meaning(one), meaning(other));
    }
    too_long_is_long(ending, data);
    if let Some(first) = whole.messages.first() {
        second_opinion(data, &first.head);
    }
    for message in &whole.messages {
        forward_request(message);
    }
}

/// When the fast reading says no and the slow one finds nothing wrong, the head is called too long;
/// so that it must be.
fn too_long_is_long(ending: Ending, data: &[u8]) {
    if let Ending::Offence(Offence::HeadTooLong | Offence::TargetTooLong) = ending {
        assert!(data.len() > 8 * 1024, "the two readings of a head differ");
    }
}

/// httparse reads the same words out of a head that we accepted.
fn second_opinion(data: &[u8], head: &Head) {
    let mut room = [httparse::EMPTY_HEADER; 128];
    let mut parsed = httparse::Request::new(&mut room);
    let status = parsed.parse(data).expect("httparse accepts what we accept");
    assert!(status.is_complete());
    assert_eq!(parsed.method.map(str::as_bytes), Some(head.method_text()));
    let path = parsed.path.expect("a path").as_bytes();
    assert!(path == head.target() || !path.starts_with(b"/"), "{path:?}");
    let nominated = |name: &[u8]| {
        parsed.headers.iter().any(|field| {
            field.name.eq_ignore_ascii_case("connection")
                && field
                    .value
                    .split(|b| *b == b',')
                    .any(|o| o.trim_ascii().eq_ignore_ascii_case(name))
        })
    };
    let due = parsed.headers.iter().filter(|field| {
        let name = field.name.as_bytes();
        !Known::of(name).is_connection_level() && !name.contains(&b'_') && !nominated(name)
    });
    let due: Pairs =
        due.map(|field| (field.name.as_bytes().to_vec(), field.value.to_vec())).collect();
    // Connection may name a field with `_` where the field has `-`.
    if due.len() == head.field_count() {
        assert_eq!(due, pairs(head));
    } else {
        assert!(pairs(head).iter().all(|pair| due.contains(pair)));
    }
}

/// A request, sent on, is one request with the same meaning.
fn forward_request(message: &Message) {
    if message.head.authority().is_empty() {
        return; // Policy names a host before such a one is sent on.
    }
    let mut back = End::new(Role::Client);
    if back.conn.send_head(&message.head, &mut back.out).is_err() {
        return; // Too large for one block with what we add.
    }
    if back.out.len() > HEAD_BYTES_MAX {
        return;
    }
    let mut wire = Vec::new();
    send_rest(&mut back, message, &mut wire);
    let mut origin = End::new(Role::Server);
    origin.limits.fields += 4; // For what the encoder adds.
    let ending = origin.read(&wire, &[4096]);
    assert!(matches!(ending, Ending::Open | Ending::Closed), "{ending:?}");
    assert_eq!(origin.messages.len(), 1, "{}", wire.escape_ascii());
    assert!(origin.current.is_none() && origin.input.is_empty());
    let mut there = origin.messages[0].clone();
    let mut due = message.clone();
    // A method that anticipates content says that there is none.
    if due.head.body == BodySize::None && there.head.body == BodySize::Exact(0) {
        there.head.body = BodySize::None;
    }
    // An offer made by both sides of a hop is made by its names only once.
    due.trailers.retain(|_| due.head.body == BodySize::Streamed);
    assert_eq!(meaning(&due), meaning(&there));
}

/// Sends content and end of a message whose head is out, and takes all that was written.
fn send_rest(end: &mut End, message: &Message, wire: &mut Vec<u8>) {
    let drain = |end: &mut End, wire: &mut Vec<u8>| {
        wire.extend_from_slice(end.out.data());
        end.out.clear();
    };
    drain(end, wire);
    let mut rest = &message.body[..];
    while !rest.is_empty() {
        let sent = end.conn.send_body(rest, &mut end.out).expect("in order");
        assert!(sent > 0, "an empty buffer takes some");
        rest = &rest[sent..];
        drain(end, wire);
    }
    let mut trailers = Head::new();
    for (name, value) in &message.trailers {
        trailers.push(name, value).expect("it was a field");
    }
    end.conn.finish(Some(&trailers), &mut end.out).expect("room and order");
    drain(end, wire);
}

/// Bytes as a backend might send them, read by a client; the first byte chooses what was asked.
pub fn response(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    let mut whole = asked(*kind);
    let ending = whole.read(data, &[data.len().max(1)]);
    let closed = whole.conn.on_eof(&whole.input).ok();
    let mut split = asked(*kind);
    let split_ending = split.read(data, &sizes(data));
    assert_eq!(ending, split_ending);
    too_long_is_long(ending, data);
    assert_eq!(whole.interims.len(), split.interims.len());
    assert_eq!(whole.messages.len(), split.messages.len());
    for (one, other) in whole.messages.iter().zip(&split.messages) {
        assert_eq!(meaning(one), meaning(other));
    }
    if let (Some(Event::End), Some(message)) = (closed, whole.current.take()) {
        whole.messages.push(message);
    }
    for message in whole.messages.iter().filter(|message| message.head.status() != 101) {
        forward_response(message, *kind, b"HTTP/1.1");
        forward_response(message, *kind, b"HTTP/1.0");
    }
}

const KINDS: u8 = 3;

fn asked(kind: u8) -> End {
    let mut client = End::new(Role::Client);
    let mut head = Head::new();
    let method: &[u8] = if kind % KINDS == 1 { b"HEAD" } else { b"GET" };
    head.set_request(method, b"/", b"a.test").expect("valid");
    if kind % KINDS == 2 {
        head.set_upgrade(b"websocket").expect("valid");
    }
    client.conn.send_head(&head, &mut client.out).expect("room");
    client.conn.finish(None, &mut client.out).expect("in order");
    client.out.clear();
    client
}

/// A response, sent on, is one response with the same meaning.
fn forward_response(message: &Message, kind: u8, version: &[u8]) {
    let mut front = End::new(Role::Server);
    let method: &[u8] = if kind % KINDS == 1 { b"HEAD" } else { b"GET" };
    let line = [method, b" / ", version, b"\r\nHost: a.test\r\n\r\n"].concat();
    front.input.append(&line, &mut front.pool);
    for _ in 0..2 {
        let event = front.conn.poll(&mut front.input, &mut front.scratch, &front.limits);
        assert!(matches!(event, Ok(Event::Head | Event::End)));
    }
    if front.conn.send_head(&message.head, &mut front.out).is_err() {
        return;
    }
    if front.out.len() > HEAD_BYTES_MAX {
        return;
    }
    let mut wire = Vec::new();
    send_rest(&mut front, message, &mut wire);
    let closes = front.conn.is_over();
    let mut client = asked(u8::from(kind % KINDS == 1));
    client.limits.fields += 4;
    let ending = client.read(&wire, &[4096]);
    assert!(matches!(ending, Ending::Open | Ending::Closed), "{}", wire.escape_ascii());
    if let (true, Some(message)) = (closes, client.current.take()) {
        assert_eq!(client.conn.on_eof(&client.input), Ok(Event::End));
        client.messages.push(message);
    }
    assert_eq!(client.messages.len(), 1, "{}", wire.escape_ascii());
    assert!(client.input.is_empty());
    let there = &client.messages[0];
    assert_eq!(there.head.status(), message.head.status());
    assert_eq!(pairs(&there.head), pairs(&message.head));
    assert_eq!(there.body, message.body);
    assert_eq!(there.head.declared_length, message.head.declared_length);
    assert_eq!(client.conn.is_reusable(&client.input), !closes);
}

/// What one side has said: its messages with their content, and whether the last is finished.
#[derive(Default)]
struct Said {
    messages: Vec<Message>,
    finished: usize,
    wire: Vec<u8>,
}

/// A client and a server codec, and what is on its way between them.
struct Pair {
    ends: [End; 2],
    said: [Said; 2],
    /// A side that broke off or was cut off says nothing more that counts.
    ended: bool,
}

/// A script: each byte makes one of two codecs do something, in order or not.
pub fn pair(script: &[u8]) {
    let (client, mut server) = (End::new(Role::Client), End::new(Role::Server));
    server.answers = false;
    let mut pair = Pair { ends: [client, server], said: Default::default(), ended: false };
    let mut bytes = script.iter().copied();
    while let (Some(action), false) = (bytes.next(), pair.ended) {
        let how = bytes.next().unwrap_or(0);
        let side = usize::from(action & 1);
        match action / 2 % 8 {
            0 | 1 => pair.head(side, how),
            2 => pair.content(side, how),
            3 => pair.finish(side, how),
            4 | 5 => pair.deliver(side, 1 + usize::from(how)),
            6 if how % 16 == 0 => pair.ends[side].conn.close_after(),
            7 if how % 16 == 0 => pair.cut(side),
            _ => pair.deliver(side, usize::MAX),
        }
        pair.check();
    }
}

impl Pair {
    fn head(&mut self, side: usize, how: u8) {
        // A refusal before the question has no method to go by; only a closing server sends one.
        let server = &self.ends[1];
        let asked = server.messages.len() + usize::from(server.current.is_some());
        if side == 1 && asked <= self.said[1].messages.len() {
            return;
        }
        let mut head = Head::new();
        let body = match how / 4 % 4 {
            0 | 1 => BodySize::None,
            2 => BodySize::Exact(u64::from(how / 16)),
            _ => BodySize::Streamed,
        };
        let status = [200, 204, 304, 100, 103, 101, 404, 200][usize::from(how % 8)];
        let method: &[u8] = [&b"GET"[..], b"HEAD", b"POST", b"CONNECT"][usize::from(how % 4)];
        match side {
            0 => head.set_request(method, b"/", b"a.test").expect("valid"),
            _ => head.set_response(status),
        }
        if method == b"CONNECT" && side == 0 {
            head.set_request(method, b"a.test:443", b"a.test:443").expect("valid");
        } else {
            head.body = body;
        }
        head.expect_continue = how & 128 != 0 && side == 0 && matches!(body, BodySize::Streamed);
        if how & 64 != 0 && (side == 0 && body == BodySize::None || status == 101) {
            head.set_upgrade(b"websocket").expect("valid");
        }
        let End { conn, out, .. } = &mut self.ends[side];
        if conn.send_head(&head, out).is_err() {
            return;
        }
        self.flush(side);
        if side == 0 || head.status() >= 200 || head.status() == 101 {
            self.said[side].messages.push(Message { head, ..Message::default() });
        }
    }

    fn content(&mut self, side: usize, how: u8) {
        let bytes: Vec<u8> = (0..how).collect();
        let End { conn, out, .. } = &mut self.ends[side];
        let counts = conn.send_remaining() != Some(0);
        if let (Ok(sent), true) = (conn.send_body(&bytes, out), counts) {
            let message = self.said[side].messages.last_mut().expect("content has a head");
            message.body.extend_from_slice(&bytes[..sent]);
        }
        self.flush(side);
    }

    fn finish(&mut self, side: usize, how: u8) {
        let mut trailers = Head::new();
        trailers.push(b"X-Sum", &[b'0' + how % 10]).expect("valid");
        let given = (how % 2 == 0).then_some(&trailers);
        let End { conn, out, .. } = &mut self.ends[side];
        if conn.finish(given, out).is_ok() {
            self.said[side].finished += 1;
        }
        self.flush(side);
    }

    fn flush(&mut self, side: usize) {
        self.said[side].wire.extend_from_slice(self.ends[side].out.data());
        self.ends[side].out.clear();
    }

    fn deliver(&mut self, side: usize, most: usize) {
        let (wire, end) = (&mut self.said[side].wire, &mut self.ends[1 - side]);
        let n = wire.len().min(most).min(end.input.room());
        end.input.append(&wire[..n], &mut end.pool);
        wire.drain(..n);
        let ending = end.run();
        // A server may close on a client that goes on; a client may hear of it too late.
        assert!(!matches!(ending, Ending::Offence(_)) || side == 1, "{ending:?}");
        if let Ending::Offence(offence) = ending {
            assert_eq!(offence, Offence::Unsolicited, "we broke our own rules");
        }
        self.ended = matches!(ending, Ending::Offence(_) | Ending::Switched);
    }

    fn cut(&mut self, side: usize) {
        self.deliver(side, usize::MAX);
        let end = &mut self.ends[1 - side];
        if !self.ended && end.conn.on_eof(&end.input) == Ok(Event::End) {
            let message = end.current.take().expect("an end has a head");
            end.messages.push(message);
        }
        self.ended = true;
    }

    /// What was heard is what was said, from the first message on.
    fn check(&self) {
        for side in 0..2 {
            let (said, heard) = (&self.said[side], &self.ends[1 - side].messages);
            assert!(heard.len() <= said.messages.len());
            for (one, other) in said.messages.iter().zip(heard) {
                assert_eq!(one.head.status(), other.head.status());
                assert_eq!(one.head.method(), other.head.method());
                assert!(one.body.starts_with(&other.body));
            }
            let whole = heard.len().min(said.finished);
            for (one, other) in said.messages.iter().zip(heard).take(whole) {
                assert_eq!(one.body, other.body);
            }
        }
    }
}
