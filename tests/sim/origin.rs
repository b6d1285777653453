//! The origins: each connection reads requests, checks every byte of them, and answers as the case
//! says.

use super::case::{Case, Framing, OriginFault};
use super::client::chunks;
use super::net::Model;
use super::wire::{self, Item, Reader};
use cloudcup::base::clock::Time;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;

/// All cases of a run, and how often each reached an origin.
#[derive(Default)]
pub struct Book {
    /// By number.
    pub cases: HashMap<u32, Rc<Case>>,
    /// Heads of each case that origins have read.
    pub arrivals: HashMap<u32, u32>,
}

/// A request on a connection.
struct Job {
    case: Rc<Case>,
    got: usize,
    complete: bool,
    answered: bool,
    /// Answers no sooner.
    at: Time,
    fault: OriginFault,
}

/// One connection of an origin.
pub struct Session {
    /// The connection.
    pub link: u32,
    at: SocketAddr,
    reader: Reader,
    job: Option<Job>,
    out: VecDeque<u8>,
    /// Sends no more than this, then does what the fault says.
    left: usize,
    stalls: bool,
    cutting: Option<u32>,
    closing: bool,
    tunnel: Option<(u32, usize, bool)>,
    stuck: bool,
    over: bool,
}

impl Session {
    /// A connection that the proxy has made.
    pub fn new(link: u32, at: SocketAddr) -> Session {
        Session {
            link,
            at,
            reader: Reader::requests(),
            job: None,
            out: VecDeque::new(),
            left: usize::MAX,
            stalls: false,
            cutting: None,
            closing: false,
            tunnel: None,
            stuck: false,
            over: false,
        }
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// When it wants to be stepped.
    pub fn wake(&self) -> Option<Time> {
        self.job.as_ref().filter(|job| !job.answered).map(|job| job.at)
    }

    /// Whether it rests between requests.
    pub fn is_idle(&self) -> bool {
        self.job.is_none() && self.out.is_empty() && self.reader.is_between()
    }

    /// Closes a connection that rests.
    pub fn shut(&mut self, net: &mut Model) {
        net.note(format_args!("origin closes b{} at rest", self.link));
        self.close(net, false);
    }

    fn close(&mut self, net: &mut Model, reset: bool) {
        if !std::mem::replace(&mut self.over, true) {
            net.close_model(self.link, reset);
        }
    }

    /// Does what can be done now.
    pub fn step(&mut self, net: &mut Model, book: &mut Book) -> Result<(), String> {
        for _ in 0..64 {
            if self.over || self.stuck {
                return Ok(());
            }
            self.answer(net);
            self.write(net);
            if self.over || !self.read(net, book)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Puts the answer on its way when its moment has come.
    fn answer(&mut self, net: &mut Model) {
        let Some(job) = &mut self.job else { return };
        let ready = job.complete || job.got >= job.case.answers_at;
        if job.answered || !ready || job.at > net.now {
            return;
        }
        job.answered = true;
        let case = job.case.clone();
        let early = !job.complete;
        match job.fault {
            OriginFault::CloseEarly | OriginFault::ResetEarly => {
                net.note(format_args!("origin fails #{}: {:?}", case.id, job.fault));
                let reset = job.fault == OriginFault::ResetEarly;
                return self.close(net, reset);
            }
            OriginFault::Silence => {
                net.note(format_args!("origin is silent on #{}", case.id));
                self.stuck = true;
                return;
            }
            OriginFault::Nonsense => {
                self.out.extend(b"HTTP/1.1 2x0 what\r\nContent-Length: 5, 6\r\n\r\nhello");
                self.closing = true;
                return;
            }
            OriginFault::CutBody | OriginFault::Stall => {
                let all = case.response.len() as u64;
                self.left = 20 + net.seed.below(all + 60) as usize;
                self.stalls = job.fault == OriginFault::Stall;
                self.cutting = Some(case.id);
            }
            OriginFault::None => {}
        }
        self.out.extend(encode(&case, self.closing));
        let ends = matches!(case.response, Framing::UntilEnd(_)) && case.method != "HEAD";
        self.closing |= case.origin_closes || ends && !case.tunnel;
        if case.tunnel {
            self.tunnel = Some((case.id, 0, false));
            self.reader.tunnel();
        }
        net.note(format_args!("origin {} answers #{} early={early}", self.at.port(), case.id));
        if !early {
            self.job = self.job.take().filter(|job| !job.complete || job.case.tunnel);
        }
    }

    fn write(&mut self, net: &mut Model) {
        while !self.out.is_empty() {
            let most = self.left.min(16_384);
            let bytes: Vec<u8> = self.out.iter().copied().take(most).collect();
            let n = if bytes.is_empty() { 0 } else { net.give(self.link, &bytes) };
            self.out.drain(..n);
            if self.left != usize::MAX {
                self.left -= n;
                if self.left == 0 {
                    if self.stalls {
                        self.stuck = true;
                    } else {
                        let reset = net.seed.one_in(2);
                        if reset {
                            net.reset_cases.extend(self.cutting);
                        }
                        self.close(net, reset);
                    }
                    return;
                }
            }
            if n < bytes.len() {
                return;
            }
        }
        let open = self.job.as_ref().is_some_and(|job| !job.complete);
        let through = match self.tunnel {
            Some((_, _, ended)) => ended,
            None => self.closing && self.job.as_ref().is_none_or(|job| job.answered) && !open,
        };
        if through {
            self.close(net, false);
        }
    }

    fn read(&mut self, net: &mut Model, book: &mut Book) -> Result<bool, String> {
        if self.out.len() > 50_000 {
            return Ok(false);
        }
        let (bytes, fin, reset) = net.take(self.link, usize::MAX);
        if !bytes.is_empty() {
            self.reader.push(&bytes);
            self.understand(net, book)?;
            return Ok(true);
        }
        if reset || fin {
            if let Some((_, _, ended)) = &mut self.tunnel
                && fin
                && !reset
            {
                return Ok(!std::mem::replace(ended, true));
            }
            self.close(net, reset);
        }
        Ok(false)
    }

    fn understand(&mut self, net: &mut Model, book: &mut Book) -> Result<(), String> {
        loop {
            if let Some((id, got, _)) = &mut self.tunnel {
                let Some(Item::Body(bytes)) = self.reader.next()? else { return Ok(()) };
                wire::check(*id, false, *got, &bytes)?;
                // The echo, in the pattern of answers.
                self.out.extend(wire::stretch(*id, true, *got, bytes.len()));
                *got += bytes.len();
                continue;
            }
            // One request at a time: the next is read when this one is answered.
            if self.job.as_ref().is_some_and(|job| job.complete)
                || self.closing && self.job.is_none()
            {
                return Ok(());
            }
            match self.reader.next().map_err(|e| format!("origin: {e}"))? {
                None => return Ok(()),
                Some(Item::Head(head)) => self.on_head(&head, net, book)?,
                Some(Item::Body(bytes)) => {
                    let Some(job) = &mut self.job else { return Err("content of nothing".into()) };
                    wire::check(job.case.id, false, job.got, &bytes)?;
                    job.got += bytes.len();
                    self.answer(net);
                }
                Some(Item::End(_)) => {
                    let Some(job) = &mut self.job else { return Err("end of nothing".into()) };
                    let expect = if job.case.tunnel { 0 } else { job.case.request.len() };
                    if job.got != expect {
                        let (id, got) = (job.case.id, job.got);
                        return Err(format!("#{id}: {got} bytes reached the origin, not {expect}"));
                    }
                    job.complete = true;
                    if job.answered && !job.case.tunnel {
                        self.job = None;
                    }
                    self.answer(net);
                }
            }
            if self.over || self.stuck {
                return Ok(());
            }
        }
    }

    fn on_head(
        &mut self,
        head: &wire::Head,
        net: &mut Model,
        book: &mut Book,
    ) -> Result<(), String> {
        let id = Case::id_of(head.target()).ok_or_else(|| format!("target {:?}", head.target()))?;
        let case = book.cases.get(&id).ok_or_else(|| format!("#{id} was never asked"))?.clone();
        check_head(head, &case)?;
        let arrivals = book.arrivals.entry(id).or_insert(0);
        *arrivals += 1;
        if *arrivals > 1 && !case.is_idempotent() {
            return Err(format!("#{id}: a {} was sent {arrivals} times", case.method));
        }
        let fault = match *arrivals {
            1 => case.origin_fault,
            _ if case.stubborn => case.origin_fault,
            _ => OriginFault::None,
        };
        net.note(format_args!("origin {} gets #{id} on b{}", self.at.port(), self.link));
        if case.expects && case.answers_at > 0 && fault == OriginFault::None {
            self.out.extend(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        let at = net.now.after(case.thinks);
        self.job = Some(Job { case, got: 0, complete: false, answered: false, at, fault });
        Ok(())
    }
}

fn check_head(head: &wire::Head, case: &Case) -> Result<(), String> {
    let fail = |what: &str| Err(format!("#{}: {what}: {head:?}", case.id));
    if head.method() != case.method || head.target() != case.target() {
        return fail("another request line");
    }
    if head.get("host") != Some("sim.example") || head.get("x-case") != Some("yes") {
        return fail("fields are missing");
    }
    if head.get("x-forwarded-for").is_none_or(|list| list.contains("6.6.6.6")) {
        return fail("the client was believed");
    }
    if head.get("via") != Some(if case.old { "1.0 cloudcup" } else { "1.1 cloudcup" }) {
        return fail("no via");
    }
    let chunked = head.get("transfer-encoding") == Some("chunked");
    let length = head.get("content-length").and_then(|n| n.parse::<usize>().ok());
    let framed = match case.request {
        Framing::Length(n) => length == Some(n),
        Framing::Chunked(_) => chunked,
        _ => !chunked && length.is_none_or(|n| n == 0),
    };
    if !framed {
        return fail("another framing");
    }
    if case.tunnel != (head.get("upgrade") == Some("sim")) {
        return fail("upgrade");
    }
    Ok(())
}

/// The bytes of an answer.
fn encode(case: &Case, closing: bool) -> Vec<u8> {
    let mut head = String::new();
    if case.hints {
        head += "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    }
    head += &format!("HTTP/1.1 {} Sim\r\nX-Sim: {}\r\n", case.status, case.id);
    if case.tunnel {
        head += "Connection: Upgrade\r\nUpgrade: sim\r\n\r\n";
        return head.into_bytes();
    }
    if case.origin_closes || closing {
        head += "Connection: close\r\n";
    }
    let body = match case.method {
        "HEAD" => Vec::new(),
        _ => wire::stretch(case.id, true, 0, case.response.len()),
    };
    let content = match case.response {
        Framing::Length(n) => {
            head += &format!("Content-Length: {n}\r\n");
            body
        }
        Framing::Chunked(_) => {
            head += "Transfer-Encoding: chunked\r\n";
            if case.method == "HEAD" {
                Vec::new()
            } else {
                chunks(&body, case.id, if case.trailers { "X-Check: end\r\n" } else { "" })
            }
        }
        _ => body,
    };
    head += "\r\n";
    let mut out = head.into_bytes();
    out.extend(content);
    out
}
