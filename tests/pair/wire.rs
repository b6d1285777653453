//! Two h1 codecs and the bytes between them.

use cloudcup::base::buf::{Buf, BufPool};
use cloudcup::msg::Head;
use cloudcup::proto::h1::{Conn, Event, Limits, Offence, Role};

/// What a codec told, with the bytes it told about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Head(String),
    Interim(String),
    Body(Vec<u8>),
    Trailers(String),
    End,
    Switched(Vec<u8>),
    Closed,
    Offence(Offence),
}

/// One end: a codec, its input and its output.
pub struct End {
    pub conn: Conn,
    pub input: Buf,
    pub out: Buf,
    pub head: Head,
    pub pool: BufPool,
    pub limits: Limits,
    pub told: Vec<Told>,
}

impl End {
    pub fn new(role: Role) -> End {
        let mut pool = BufPool::new(2);
        let mut out = Buf::new();
        assert!(out.reserve(&mut pool));
        End {
            conn: Conn::new(role),
            input: Buf::new(),
            out,
            head: Head::new(),
            pool,
            limits: Limits::new(),
            told: Vec::new(),
        }
    }

    /// A fresh codec with the same buffers, emptied.
    pub fn renew(&mut self) {
        self.conn = Conn::new(self.conn.role());
        self.input.clear();
        self.out.clear();
        self.told.clear();
    }

    /// Gives bytes to the input and polls until the codec wants more, as long as it takes any.
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        loop {
            let taken = self.input.append(rest, &mut self.pool);
            rest = &rest[taken..];
            self.run();
            if rest.is_empty() || taken == 0 {
                return;
            }
        }
    }

    /// Feeds `bytes` in pieces of `step` bytes.
    pub fn feed_in_steps(&mut self, bytes: &[u8], step: usize) {
        for piece in bytes.chunks(step.max(1)) {
            self.feed(piece);
        }
    }

    /// Polls until nothing new is told.
    pub fn run(&mut self) {
        loop {
            match self.conn.poll(&mut self.input, &mut self.head, &self.limits) {
                Ok(Event::NeedMore | Event::Paused) => return,
                Ok(Event::Head) => self.told.push(Told::Head(show(&self.head))),
                Ok(Event::Interim) => self.told.push(Told::Interim(show(&self.head))),
                Ok(Event::Trailers) => self.told.push(Told::Trailers(show(&self.head))),
                Ok(Event::Body(len)) => {
                    let bytes = self.input.data()[..len].to_vec();
                    self.conn.take_body(len, &mut self.input);
                    match self.told.last_mut() {
                        Some(Told::Body(body)) => body.extend(bytes),
                        _ => self.told.push(Told::Body(bytes)),
                    }
                }
                Ok(Event::End) => {
                    self.told.push(Told::End);
                    return;
                }
                Ok(Event::Switched) => {
                    let bytes = self.input.data().to_vec();
                    self.input.clear();
                    match self.told.last_mut() {
                        Some(Told::Switched(raw)) => raw.extend(bytes),
                        _ => self.told.push(Told::Switched(bytes)),
                    }
                    return;
                }
                Ok(Event::Closed) => {
                    self.input.clear();
                    return;
                }
                Err(offence) => {
                    self.told.push(Told::Offence(offence));
                    return;
                }
            }
        }
    }

    /// Tells the codec that the peer has ended its direction.
    pub fn eof(&mut self) {
        match self.conn.on_eof(&self.input) {
            Ok(Event::End) => self.told.push(Told::End),
            Ok(Event::Closed) => self.told.push(Told::Closed),
            Ok(_) => {}
            Err(offence) => self.told.push(Told::Offence(offence)),
        }
    }

    /// What was told since the last call.
    pub fn take_told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.told)
    }

    /// What was written since the last call.
    pub fn take_out(&mut self) -> Vec<u8> {
        let bytes = self.out.data().to_vec();
        self.out.clear();
        bytes
    }
}

/// A head as text: what it means, line by line.
pub fn show(head: &Head) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut out = match (head.is_request(), head.method_text().is_empty()) {
        (true, true) => String::new(),
        (true, false) => format!(
            "{} {} @{} {:?}",
            text(head.method_text()),
            text(head.target()),
            text(head.authority()),
            head.body
        ),
        (false, _) => format!("{} {} {:?}", head.status(), text(head.reason()), head.body),
    };
    if let Some(length) = head.declared_length {
        out += &format!(" declared={length}");
    }
    if let Some(protocol) = head.upgrade() {
        out += &format!(" upgrade={}", text(protocol));
    }
    if head.expect_continue {
        out += " expect";
    }
    if head.accepts_trailers {
        out += " trailers";
    }
    for field in head.fields() {
        out += &format!("\n{}: {}", text(field.name), text(field.value));
    }
    out
}
