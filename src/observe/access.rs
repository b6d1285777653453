//! The record of one exchange: of fixed size, made without allocation by the loop.
//!
//! Names of routes, pools and backends are positions in the configuration of the record's serial; the
//! writer has the names ([`Names`]). Not here: the texts (`encode`), the way out (`writer`).

use super::short::Short;
use crate::base::clock::Time;
use std::net::IpAddr;

/// A position that doesn't apply.
pub const NOWHERE: u32 = u32::MAX;

/// One exchange.
#[derive(Clone, Debug)]
pub struct Record {
    /// When it ended.
    pub end: Time,
    /// From the first byte of the request to the last of the response, in µs.
    pub duration_us: u64,
    /// From the request sent to the head of the backend's response, in µs.
    pub upstream_us: u32,
    /// Until a new connection to the backend stood, in µs; zero when it was reused.
    pub connect_us: u32,
    /// Body bytes from the client.
    pub received: u64,
    /// Body bytes to the client.
    pub sent: u64,
    /// The configuration that it ran under.
    pub serial: u64,
    /// Position of its rule, or [`NOWHERE`].
    pub route: u32,
    /// Position of its pool, or [`NOWHERE`].
    pub pool: u32,
    /// Position of its backend in the pool, or [`NOWHERE`].
    pub backend: u32,
    /// The status sent to the client; 0 when none was.
    pub status: u16,
    /// The worker's slot.
    pub worker: u16,
    /// The word for what went wrong; empty when nothing did.
    pub fault: &'static str,
    /// What a peer did against the protocol, when that was the fault; a word of `docs/http1.md`.
    pub offence: &'static str,
    /// The client; `None` for a unix socket.
    pub client: Option<IpAddr>,
    /// The method.
    pub method: Short<16>,
    /// The host asked for, with its port.
    pub host: Short<80>,
    /// The target, with or without its query.
    pub path: Short<220>,
    /// The name of the request.
    pub request_id: Short<40>,
}

const _: () = assert!(size_of::<Record>() <= 512);

impl Record {
    /// A record of nothing.
    pub const EMPTY: Record = Record {
        end: Time::ZERO,
        duration_us: 0,
        upstream_us: 0,
        connect_us: 0,
        received: 0,
        sent: 0,
        serial: 0,
        route: NOWHERE,
        pool: NOWHERE,
        backend: NOWHERE,
        status: 0,
        worker: 0,
        fault: "",
        offence: "",
        client: None,
        method: Short::EMPTY,
        host: Short::EMPTY,
        path: Short::EMPTY,
        request_id: Short::EMPTY,
    };

    /// Notes the target; without its query unless that is wanted.
    pub fn set_target(&mut self, target: &[u8], keep_query: bool) {
        let end = match keep_query {
            true => target.len(),
            false => target.iter().position(|byte| *byte == b'?').unwrap_or(target.len()),
        };
        self.path.set(target.get(..end).unwrap_or_default());
    }
}

impl Default for Record {
    fn default() -> Record {
        Record::EMPTY
    }
}

/// The names of one configuration, for the writer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The configuration's serial.
    pub serial: u64,
    /// Names of its rules, by position.
    pub routes: Vec<String>,
    /// Its pools, by position: the name, and the addresses of the backends.
    pub pools: Vec<(String, Vec<String>)>,
}

impl Names {
    /// The name of a record's rule; empty when unknown.
    pub fn route(&self, record: &Record) -> &str {
        self.routes.get(record.route as usize).map_or("", String::as_str)
    }

    /// The name of a record's pool; empty when unknown.
    pub fn pool(&self, record: &Record) -> &str {
        self.pools.get(record.pool as usize).map_or("", |pool| &pool.0)
    }

    /// The address of a record's backend; empty when unknown.
    pub fn backend(&self, record: &Record) -> &str {
        let pool = self.pools.get(record.pool as usize);
        pool.and_then(|pool| pool.1.get(record.backend as usize)).map_or("", String::as_str)
    }
}

/// Which exchanges are recorded: all that failed, and one of so many others.
#[derive(Clone, Debug)]
pub struct Sampling {
    every: u32,
    passed: u32,
}

impl Sampling {
    /// One of `every` exchanges below 500 without a fault; 0 and 1 = each.
    pub const fn new(every: u32) -> Sampling {
        Sampling { every, passed: 0 }
    }

    /// Whether an exchange with this end is to be recorded. The first one always is.
    #[inline]
    pub fn wants(&mut self, status: u16, fault: &str) -> bool {
        if self.every <= 1 || status >= 500 || !fault.is_empty() {
            return true;
        }
        let wanted = self.passed == 0;
        self.passed = if self.passed + 1 >= self.every { 0 } else { self.passed + 1 };
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_always_wanted_and_successes_sampled() {
        let mut sampling = Sampling::new(10);
        let wanted = (0..100).filter(|_| sampling.wants(200, "")).count();
        assert_eq!(wanted, 10);
        assert!((0..20).all(|_| sampling.wants(502, "") && sampling.wants(0, "client-gone")));
        let mut all = Sampling::new(0);
        assert!((0..20).all(|_| all.wants(404, "")));
    }

    #[test]
    fn queries_are_left_out_unless_wanted() {
        let mut record = Record::EMPTY;
        record.set_target(b"/a?token=1", false);
        assert_eq!(record.path.as_bytes(), b"/a");
        record.set_target(b"/a?token=1", true);
        assert_eq!(record.path.as_bytes(), b"/a?token=1");
    }

    #[test]
    fn names_of_positions() {
        let names = Names {
            serial: 1,
            routes: vec!["*".into()],
            pools: vec![("api".into(), vec!["10.0.0.1:80".into()])],
        };
        let record = Record { route: 0, pool: 0, backend: 0, ..Record::EMPTY };
        assert_eq!(
            (names.route(&record), names.pool(&record), names.backend(&record)),
            ("*", "api", "10.0.0.1:80")
        );
        assert_eq!(names.backend(&Record::EMPTY), "");
        assert_eq!(names.pool(&Record { pool: 7, ..Record::EMPTY }), "");
    }
}
