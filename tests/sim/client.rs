//! A client: one connection at a time, its requests in order, every byte of the answers checked.

use super::case::{Case, ClientFault, Framing, OriginFault};
use super::net::{Model, Nature};
use super::wire::{self, Item, Reader};
use cloudcup::base::clock::Time;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// How a request ended, as its client saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The origin's answer, whole.
    Answered,
    /// An answer of the proxy's own.
    Refused(u16),
    /// The answer was cut off.
    Cut,
    /// The connection ended without an answer.
    Dropped,
    /// The client itself went away.
    Left,
}

/// A request that was sent, or is being sent.
struct Sent {
    case: Rc<Case>,
    /// Bytes that the client will send after this point only when a 100 has come.
    since: Time,
    head: Option<wire::Head>,
    got: usize,
    switched: bool,
}

/// See the file's header.
pub struct Client {
    name: usize,
    peer: SocketAddr,
    nature: Nature,
    link: Option<u32>,
    script: VecDeque<Rc<Case>>,
    /// Sends the next request before the answer has come.
    pipelines: bool,
    out: VecDeque<u8>,
    /// Content held back until a 100 or a moment has passed.
    held: Option<(Time, Vec<u8>)>,
    sent_of_case: usize,
    frozen: bool,
    frozen_until: Option<Time>,
    ended_out: bool,
    /// Bytes of the current answer.
    seen: usize,
    waiting: VecDeque<Sent>,
    reader: Reader,
    /// Does nothing before.
    pub wake: Option<Time>,
    /// All endings, by case.
    pub endings: Vec<(u32, Ending)>,
    closing: bool,
}

/// How long a client that doesn't read stays.
const PERSEVERANCE: Duration = Duration::from_secs(30);
/// How long a client waits for a 100.
const PATIENCE: Duration = Duration::from_millis(400);

impl Client {
    /// A client with its requests.
    pub fn new(
        name: usize,
        peer: SocketAddr,
        nature: Nature,
        script: VecDeque<Rc<Case>>,
        pipelines: bool,
        begin: Time,
    ) -> Client {
        Client {
            name,
            peer,
            nature,
            link: None,
            script,
            pipelines,
            out: VecDeque::new(),
            held: None,
            sent_of_case: 0,
            frozen: false,
            frozen_until: None,
            ended_out: false,
            seen: 0,
            waiting: VecDeque::new(),
            reader: Reader::responses(),
            wake: Some(begin),
            endings: Vec::new(),
            closing: false,
        }
    }

    /// The connection it has now.
    pub fn link(&self) -> Option<u32> {
        self.link
    }

    /// Whether all of its requests have ended.
    pub fn is_done(&self) -> bool {
        self.script.is_empty() && self.waiting.is_empty() && self.link.is_none()
    }

    /// The oldest request under way, and since when.
    pub fn oldest(&self) -> Option<(u32, Time)> {
        self.waiting.front().map(|sent| (sent.case.id, sent.since))
    }

    /// Does what can be done now.
    pub fn step(&mut self, net: &mut Model) -> Result<(), String> {
        if self.wake.is_some_and(|wake| wake > net.now) {
            return Ok(());
        }
        self.wake = None;
        if self.link.is_none() {
            if self.script.is_empty() {
                return Ok(());
            }
            self.link = Some(net.connect_client(self.peer, self.nature));
            self.reader = Reader::responses();
        }
        loop {
            self.begin(net);
            self.write(net);
            let more = self.link.is_some() && self.read(net)?;
            let next = self.waiting.is_empty() && self.out.is_empty() && self.held.is_none();
            let may = next && !self.script.is_empty() && !self.closing && self.wake.is_none();
            if !more && !(may && self.link.is_some()) {
                break;
            }
        }
        self.close_if_through(net);
        Ok(())
    }

    /// Puts the next request on its way, if its time has come.
    fn begin(&mut self, net: &mut Model) {
        let idle = self.waiting.is_empty();
        let may = idle || (self.pipelines && self.waiting.len() < 3 && self.can_pipeline());
        if self.closing || !may || !self.out.is_empty() || self.held.is_some() || self.frozen {
            return;
        }
        let Some(case) = self.script.pop_front() else {
            if idle {
                self.close(net, false);
            }
            return;
        };
        let (head, content) = encode(&case);
        self.out.extend(head);
        if case.expects {
            self.held = Some((net.now.after(PATIENCE), content));
            self.wake = Some(net.now.after(PATIENCE));
        } else if !case.tunnel {
            self.out.extend(content);
        }
        net.note(format_args!("client {} asks {case:?}", self.name));
        self.sent_of_case = 0;
        self.waiting.push_back(Sent { since: net.now, case, head: None, got: 0, switched: false });
    }

    fn can_pipeline(&self) -> bool {
        let plain = |case: &Case| {
            !case.tunnel
                && !case.expects
                && !case.closes
                && !case.old
                && case.is_idempotent()
                && case.client_fault == ClientFault::None
        };
        self.waiting.iter().all(|sent| plain(&sent.case))
            && self.script.front().is_some_and(|case| plain(case))
    }

    fn write(&mut self, net: &mut Model) {
        let Some(link) = self.link else { return };
        if let Some((until, _)) = &self.held {
            if *until > net.now {
                self.wake = Some(*until);
            } else if let Some((_, content)) = self.held.take() {
                self.out.extend(content);
            }
        }
        let fault = self.waiting.back().map_or(ClientFault::None, |sent| sent.case.client_fault);
        while !self.out.is_empty() && !self.frozen {
            let limit = match fault {
                ClientFault::LeaveSending(at) | ClientFault::FreezeSending(at) => {
                    at.saturating_sub(self.sent_of_case)
                }
                _ => usize::MAX,
            };
            let bytes: Vec<u8> = self.out.iter().copied().take(limit.min(16_384)).collect();
            let n = if bytes.is_empty() { 0 } else { net.give(link, &bytes) };
            self.out.drain(..n);
            self.sent_of_case += n;
            if n == limit {
                match fault {
                    ClientFault::LeaveSending(_) => {
                        let reset = net.seed.one_in(2);
                        return self.leave(net, reset);
                    }
                    _ => {
                        net.note(format_args!("client {} freezes", self.name));
                        self.frozen = true;
                    }
                }
            }
            if n < bytes.len() {
                return;
            }
        }
        let last = |sent: &Sent| sent.switched || (sent.case.half_closes && self.held.is_none());
        let ends = self.waiting.front().is_some_and(last);
        if ends && self.out.is_empty() && !self.ended_out {
            self.ended_out = true;
            net.finish(link);
        }
    }

    /// Reads once. False when nothing came.
    fn read(&mut self, net: &mut Model) -> Result<bool, String> {
        let Some(link) = self.link else { return Ok(false) };
        let fault = self.waiting.front().map_or(ClientFault::None, |sent| sent.case.client_fault);
        if fault == ClientFault::FreezeReading && self.seen > 0 {
            let until = *self.frozen_until.get_or_insert(net.now.after(PERSEVERANCE));
            match until > net.now {
                true => self.wake = Some(until),
                false => self.leave(net, true),
            }
            return Ok(false);
        }
        let slow = self.waiting.front().is_some_and(|sent| sent.case.slow);
        let most = match fault {
            ClientFault::LeaveReading(at) => at.saturating_sub(self.seen).max(1),
            _ if slow => 6_000,
            _ => usize::MAX,
        };
        let (bytes, fin, reset) = net.take(link, most);
        if !bytes.is_empty() {
            self.seen += bytes.len();
            self.reader.push(&bytes);
            self.understand(net)?;
            if matches!(fault, ClientFault::LeaveReading(at) if self.seen > at)
                && !self.waiting.is_empty()
            {
                self.leave(net, true);
                return Ok(false);
            }
            if slow && self.link.is_some() {
                let pause = Duration::from_millis(net.seed.below(20));
                self.wake = Some(net.now.after(pause));
                return Ok(false);
            }
            return Ok(true);
        }
        if fin || reset {
            self.on_end(net, reset)?;
        }
        Ok(false)
    }

    fn understand(&mut self, net: &mut Model) -> Result<(), String> {
        loop {
            let Some(sent) = self.waiting.front_mut() else {
                // An answer to a head that never came whole can't know that it answers a HEAD.
                return match self.reader.is_between() || self.closing {
                    true => Ok(()),
                    false => Err(format!("client {}: an answer to nothing", self.name)),
                };
            };
            self.reader.bodiless = sent.case.method == "HEAD";
            let item = self.reader.next().map_err(|e| format!("#{}: {e}", sent.case.id))?;
            match item {
                None => return Ok(()),
                Some(Item::Head(head)) => self.on_head(head, net)?,
                Some(Item::Body(bytes)) => {
                    if ours(sent.head.as_ref()) {
                        wire::check(sent.case.id, true, sent.got, &bytes)?;
                    }
                    sent.got += bytes.len();
                }
                Some(Item::End(trailers)) => self.on_message_end(&trailers, net)?,
            }
        }
    }

    fn on_head(&mut self, head: wire::Head, net: &mut Model) -> Result<(), String> {
        let Some(sent) = self.waiting.front_mut() else { return Ok(()) };
        let (case, status) = (&sent.case, head.status());
        if status == 100 {
            if !case.expects {
                return Err(format!("#{}: a 100 that nobody asked for", case.id));
            }
            if let Some((_, content)) = self.held.take() {
                self.out.extend(content);
                self.wake = None;
            }
        } else if status == 103 {
            if !case.hints || case.old {
                return Err(format!("#{}: a 103 out of nowhere", case.id));
            }
        } else {
            for hop in ["keep-alive", "proxy-connection", "te"] {
                if head.has(hop) {
                    return Err(format!("#{}: {hop} was passed on", case.id));
                }
            }
            if ours(Some(&head)) && status != case.status {
                return Err(format!("#{}: status {status}, not {}", case.id, case.status));
            }
            if ours(Some(&head)) && head.get("x-sim") != Some(&*case.id.to_string()) {
                return Err(format!("#{}: got the answer to #{:?}", case.id, head.get("x-sim")));
            }
            if status == 101 {
                sent.switched = true;
                self.reader.tunnel();
                self.out.extend(wire::stretch(case.id, false, 0, case.request.len()));
                net.note(format_args!("client {} is in a tunnel", self.name));
            }
            self.closing |= head.get("connection") == Some("close");
            sent.head = Some(head);
        }
        Ok(())
    }

    fn on_message_end(
        &mut self,
        trailers: &[(String, String)],
        net: &mut Model,
    ) -> Result<(), String> {
        let Some(sent) = self.waiting.front() else { return Ok(()) };
        let Some(head) = &sent.head else { return Ok(()) };
        let case = sent.case.clone();
        let ending = if ours(Some(head)) {
            let expect = if case.method == "HEAD" { 0 } else { case.response.len() };
            // Content that ends with the connection can be cut unnoticed, but not by a reset.
            let unnoticed = matches!(case.response, Framing::UntilEnd(_))
                && case.origin_fault == OriginFault::CutBody
                && !net.reset_cases.contains(&case.id)
                && sent.got < expect;
            if unnoticed {
                self.conclude(Ending::Cut, net);
                return Ok(());
            }
            if sent.got != expect {
                return Err(format!("#{}: {} bytes of content, not {expect}", case.id, sent.got));
            }
            let chunked = head.get("transfer-encoding").is_some();
            if case.trailers && chunked && case.method != "HEAD" && trailers.is_empty() {
                return Err(format!("#{}: the trailers are lost", case.id));
            }
            Ending::Answered
        } else {
            Ending::Refused(head.status())
        };
        self.conclude(ending, net);
        Ok(())
    }

    /// The oldest request is over.
    fn conclude(&mut self, ending: Ending, net: &mut Model) {
        let Some(sent) = self.waiting.pop_front() else { return };
        net.note(format_args!("client {}: #{} {ending:?}", self.name, sent.case.id));
        self.endings.push((sent.case.id, ending));
        self.seen = 0;
        if sent.case.closes || sent.case.old || self.frozen {
            self.closing = true;
        }
        // The rest of a request that is answered early is sent all the same; but what waits for a 100
        // never comes.
        self.closing |= self.held.is_some();
        if self.waiting.is_empty() && !self.closing && net.seed.one_in(4) {
            self.wake = Some(net.now.after(Duration::from_millis(net.seed.below(100))));
        }
    }

    /// Ends a connection that has served.
    fn close_if_through(&mut self, net: &mut Model) {
        let sent = self.out.is_empty() || self.frozen || self.held.is_some();
        if self.link.is_some() && self.closing && self.waiting.is_empty() && sent {
            self.close(net, false);
        }
    }

    fn on_end(&mut self, net: &mut Model, reset: bool) -> Result<(), String> {
        net.note(format_args!(
            "client {} sees the end of {:?}, reset {reset}",
            self.name, self.link
        ));
        if let Some(sent) = self.waiting.front() {
            let clean = !reset && self.reader.finish();
            let whole = clean && sent.head.is_some();
            if whole && (sent.switched || !self.reader.is_between()) || sent.head.is_some() && clean
            {
                // Content that ends with the connection. A tunnel or an answer that is too short can't
                // be told from a whole one by the client, but by us.
                let (got, expect) = (sent.got, sent.case.response.len());
                let ending = match sent.head.as_ref() {
                    head if !ours(head) => Ending::Refused(head.map_or(0, wire::Head::status)),
                    _ if got == expect => Ending::Answered,
                    _ => Ending::Cut,
                };
                self.conclude(ending, net);
            } else if sent.head.is_some() {
                self.conclude(Ending::Cut, net);
            } else {
                self.conclude(Ending::Dropped, net);
            }
        }
        self.close(net, false);
        Ok(())
    }

    /// Goes away on purpose.
    fn leave(&mut self, net: &mut Model, reset: bool) {
        while !self.waiting.is_empty() {
            let Some(sent) = self.waiting.pop_front() else { break };
            net.note(format_args!("client {} leaves #{}", self.name, sent.case.id));
            self.endings.push((sent.case.id, Ending::Left));
        }
        self.close(net, reset);
    }

    /// Ends the connection; requests that were sent ahead and not answered are asked again.
    fn close(&mut self, net: &mut Model, reset: bool) {
        if let Some(link) = self.link.take() {
            net.close_model(link, reset);
            net.note(format_args!("client {} closes c{link}", self.name));
        }
        while let Some(sent) = self.waiting.pop_back() {
            self.script.push_front(sent.case);
        }
        self.out.clear();
        self.held = None;
        self.frozen = false;
        self.frozen_until = None;
        self.ended_out = false;
        self.closing = false;
        self.seen = 0;
        if !self.script.is_empty() {
            self.wake = Some(net.now.after(Duration::from_millis(1 + net.seed.below(30))));
        }
    }
}

/// Whether an answer is the origin's.
fn ours(head: Option<&wire::Head>) -> bool {
    head.is_some_and(|head| head.has("x-sim"))
}

/// The bytes of a request: its head, and its content as it is framed.
fn encode(case: &Case) -> (Vec<u8>, Vec<u8>) {
    let version = if case.old { "1.0" } else { "1.1" };
    let mut head =
        format!("{} {} HTTP/{version}\r\nHost: sim.example\r\n", case.method, case.target());
    head += "X-Forwarded-For: 6.6.6.6\r\nx-case: yes\r\n";
    let body = wire::stretch(case.id, false, 0, case.request.len());
    let content = match case.request {
        Framing::Length(n) => {
            head += &format!("Content-Length: {n}\r\n");
            body
        }
        Framing::Chunked(_) => {
            head += "Transfer-Encoding: chunked\r\n";
            chunks(&body, case.id, "")
        }
        _ => Vec::new(),
    };
    if case.expects {
        head += "Expect: 100-continue\r\n";
    }
    if case.tunnel {
        head += "Connection: Upgrade\r\nUpgrade: sim\r\n";
    } else if case.closes {
        head += "Connection: close\r\n";
    }
    head += "\r\n";
    (head.into_bytes(), content)
}

/// Content in chunks of uneven sizes.
pub fn chunks(body: &[u8], id: u32, trailers: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = body;
    let mut size = 1 + id as usize % 700;
    while !rest.is_empty() {
        let (chunk, tail) = rest.split_at(size.min(rest.len()));
        out.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        out.extend(chunk);
        out.extend(b"\r\n");
        rest = tail;
        size = size * 7 % 20_011 + 1;
    }
    out.extend(format!("0\r\n{trailers}\r\n").into_bytes());
    out
}
