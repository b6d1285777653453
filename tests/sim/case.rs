//! What one request and its answer are: drawn from the seed, known to both models.

use cloudcup::base::seed::Seed;
use std::time::Duration;

/// How content is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    Nothing,
    /// By its length.
    Length(usize),
    /// In chunks.
    Chunked(usize),
    /// By the end of the connection (responses).
    UntilEnd(usize),
}

impl Framing {
    /// How long the content is.
    pub fn len(self) -> usize {
        match self {
            Framing::Nothing => 0,
            Framing::Length(n) | Framing::Chunked(n) | Framing::UntilEnd(n) => n,
        }
    }
}

/// What the origin does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginFault {
    /// Nothing.
    None,
    /// Closes before it answers.
    CloseEarly,
    /// Resets before it answers.
    ResetEarly,
    /// Closes in the middle of the content.
    CutBody,
    /// Never answers.
    Silence,
    /// Falls silent in the middle of the content.
    Stall,
    /// Answers what is no HTTP.
    Nonsense,
}

/// What the client does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientFault {
    /// Nothing.
    None,
    /// Goes away after so many bytes of the request.
    LeaveSending(usize),
    /// Goes away after so many bytes of the answer.
    LeaveReading(usize),
    /// Stops sending after so many bytes, and stays.
    FreezeSending(usize),
    /// Stops reading, and stays.
    FreezeReading,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its number, in the target and in the content.
    pub id: u32,
    /// Its method.
    pub method: &'static str,
    /// The pool it asks for.
    pub pool: usize,
    /// The client speaks HTTP/1.0.
    pub old: bool,
    /// The request's content.
    pub request: Framing,
    /// The client waits for a 100.
    pub expects: bool,
    /// It is to become a tunnel; `request` is then what the client says in it.
    pub tunnel: bool,
    /// The client asks for the connection's end after it.
    pub closes: bool,
    /// And ends its direction when the request is out.
    pub half_closes: bool,
    /// The status.
    pub status: u16,
    /// The answer's content.
    pub response: Framing,
    /// Trailers follow the answer.
    pub trailers: bool,
    /// A 103 comes before it.
    pub hints: bool,
    /// The origin answers after so many bytes of the request's content.
    pub answers_at: usize,
    /// It thinks so long.
    pub thinks: Duration,
    /// The origin asks for its connection's end.
    pub origin_closes: bool,
    /// The client reads slowly.
    pub slow: bool,
    /// What the origin does wrong.
    pub origin_fault: OriginFault,
    /// The origin does it on each attempt.
    pub stubborn: bool,
    /// What the client does wrong.
    pub client_fault: ClientFault,
}

impl Case {
    /// Whether a second attempt does no harm.
    pub fn is_idempotent(&self) -> bool {
        matches!(self.method, "GET" | "HEAD" | "PUT" | "DELETE")
    }

    /// The target.
    pub fn target(&self) -> String {
        format!("/{}/{}?q={}", ["a", "b"][self.pool], self.id, self.id % 7)
    }

    /// The number in a target.
    pub fn id_of(target: &str) -> Option<u32> {
        target.split(['/', '?']).nth(2)?.parse().ok()
    }

    /// Draws one. `trouble`: in how many of 64 something goes wrong.
    pub fn draw(id: u32, seed: &mut Seed, trouble: u64) -> Case {
        let method = *pick(seed, &["GET", "GET", "GET", "HEAD", "POST", "POST", "PUT", "DELETE"]);
        let tunnel = method == "GET" && seed.one_in(10);
        let old = !tunnel && seed.one_in(12);
        let request = match (method, tunnel) {
            ("POST" | "PUT", _) if old => Framing::Length(size(seed)),
            ("POST" | "PUT", _) if seed.one_in(2) => Framing::Chunked(size(seed)),
            ("POST" | "PUT", _) => Framing::Length(size(seed)),
            (_, true) => Framing::UntilEnd(size(seed)),
            _ => Framing::Nothing,
        };
        let status = *pick(seed, &[200, 200, 200, 200, 201, 204, 304, 404, 500, 503]);
        let response = match status {
            204 | 304 => Framing::Nothing,
            _ => match seed.below(5) {
                0 => Framing::UntilEnd(size(seed)),
                1 | 2 => Framing::Chunked(size(seed)),
                _ => Framing::Length(size(seed)),
            },
        };
        let mut case = Case {
            id,
            method,
            pool: seed.below(2) as usize,
            old,
            request,
            expects: request.len() > 0 && !tunnel && !old && seed.one_in(5),
            tunnel,
            closes: !tunnel && seed.one_in(10),
            half_closes: false,
            status: if tunnel { 101 } else { status },
            response: if tunnel { Framing::UntilEnd(request.len()) } else { response },
            trailers: !tunnel && matches!(response, Framing::Chunked(_)) && seed.one_in(3),
            hints: !tunnel && seed.one_in(8),
            answers_at: if seed.one_in(8) { 0 } else { usize::MAX },
            thinks: Duration::from_millis(if seed.one_in(4) { seed.below(300) } else { 0 }),
            origin_closes: seed.one_in(8),
            slow: seed.one_in(6),
            origin_fault: OriginFault::None,
            stubborn: seed.one_in(4),
            client_fault: ClientFault::None,
        };
        case.half_closes = case.closes && seed.one_in(2);
        if case.expects && trouble == 0 {
            // Without a 100 the client goes away, which is somebody's fault.
            case.answers_at = usize::MAX;
        }
        case.spoil(seed, trouble);
        case
    }

    fn spoil(&mut self, seed: &mut Seed, trouble: u64) {
        if seed.below(64) < trouble {
            let faults = [
                OriginFault::CloseEarly,
                OriginFault::CloseEarly,
                OriginFault::ResetEarly,
                OriginFault::CutBody,
                OriginFault::Silence,
                OriginFault::Stall,
                OriginFault::Nonsense,
            ];
            self.origin_fault = *pick(seed, &faults);
        }
        if seed.below(64) < trouble {
            let at = seed.below(600) as usize;
            let faults = [
                ClientFault::LeaveSending(at),
                ClientFault::LeaveReading(at),
                ClientFault::FreezeSending(at),
                ClientFault::FreezeReading,
            ];
            self.client_fault = *pick(seed, &faults);
        }
    }
}

/// One of them.
pub fn pick<'a, T>(seed: &mut Seed, from: &'a [T]) -> &'a T {
    &from[seed.below(from.len() as u64) as usize]
}

/// Mostly small, sometimes larger than every buffer on the way.
fn size(seed: &mut Seed) -> usize {
    let max = match seed.below(12) {
        0 => 1,
        1..=7 => 200,
        8 | 9 => 5_000,
        10 => 40_000,
        _ => 200_000,
    };
    seed.below(max + 1) as usize
}
