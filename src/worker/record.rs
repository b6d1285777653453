//! What is counted and recorded when an exchange is over.
//!
//! Counting costs a few stores into this worker's own pages. A record is made only when access
//! records are on and this exchange is wanted; it is copied into a list that a writer thread empties.

use super::core::Core;
use super::live::Live;
use super::work::Work;
use crate::base::clock::Time;
use crate::ipc::{Fds, LinkError, LogSink};
use crate::observe::access::NOWHERE;
use crate::observe::{Counter, Names, Record, Recorder, Sampling, Sink, Timing, writer};
use crate::proto::h1::Offence;
use crate::shared::{Board, Page, Row, Tag, Value};
use std::sync::Arc;

/// Where access records go, and what is counted by route.
pub struct Records {
    recorder: Recorder,
    sampling: Sampling,
    query: bool,
    routes: Vec<Row>,
}

impl Records {
    /// No access records; rows for the rules of this plan.
    pub fn new(live: &Live, board: &Board, page: &Page) -> Records {
        let mut records = Records {
            recorder: Recorder::off(),
            sampling: Sampling::new(1),
            query: false,
            routes: Vec::new(),
        };
        records.apply(live, board, page);
        records
    }

    /// Goes on with another plan.
    pub fn apply(&mut self, live: &Live, board: &Board, page: &Page) {
        let plan = &live.plan;
        self.sampling = Sampling::new(plan.log.sample);
        self.query = plan.log.query;
        let row = |name: &str| page.row_of(board.claim(Tag::route(name)));
        self.routes = plan.rules.iter().map(|rule| row(&rule.name)).collect();
        if self.recorder.is_on() {
            self.recorder.set_names(names(live));
        }
    }

    /// Writes to `sink` from now on; `None`: nowhere. Without a thread to write there are no records.
    pub fn set_sink(&mut self, sink: Option<Sink>, live: &Live) {
        match sink {
            None => self.recorder = Recorder::off(),
            Some(sink) if self.recorder.is_on() => self.recorder.set_sink(sink),
            Some(sink) => {
                self.recorder =
                    writer::start(sink, names(live)).unwrap_or_else(|_| Recorder::off());
            }
        }
    }

    /// Hands over what was recorded in this turn, and counts what became of it.
    pub fn flush(&mut self, page: &Page) {
        if !self.recorder.is_on() {
            return;
        }
        self.recorder.flush();
        let progress = self.recorder.take_progress();
        for (counter, n) in [
            (Counter::LogLimit, progress.dropped),
            (Counter::LogWritten, progress.written),
            (Counter::LogFailed, progress.failed),
        ] {
            if n > 0 {
                page.add(counter, n);
            }
        }
    }

    /// Waits a moment for the writer to write what it has.
    pub fn close(&mut self) {
        let recorder = std::mem::replace(&mut self.recorder, Recorder::off());
        recorder.close(std::time::Duration::from_secs(1));
    }
}

/// The sink that came with a message.
pub fn take_sink(sink: Option<LogSink>, fds: &mut Fds) -> Result<Option<Sink>, LinkError> {
    Ok(match sink {
        None => None,
        Some(LogSink::Journal(fd)) => Some(Sink::Journal(fds.take(fd)?)),
        Some(LogSink::Lines(fd)) => Some(Sink::Json(fds.take(fd)?)),
    })
}

fn names(live: &Live) -> Arc<Names> {
    let plan = &live.plan;
    let pools = plan.pools.iter().map(|pool| {
        let members = pool.members.iter().map(|member| member.text.clone()).collect();
        (pool.name.clone(), members)
    });
    let routes = plan.rules.iter().map(|rule| rule.name.clone()).collect();
    Arc::new(Names { serial: live.serial, routes, pools: pools.collect() })
}

/// Counts a finished exchange, and records it where that is wanted.
pub fn account(work: &Work, core: &mut Core) {
    let x = &work.x;
    core.tally.add(Counter::Requests, 1);
    if x.status != 0 {
        core.tally.add(Counter::of_status(x.status), 1);
    }
    let duration = micros(core.now, x.times.started);
    core.page.time(Timing::Request, duration);
    if let Some(member) = work.member.and_then(|key| core.pools.member(key)) {
        member.row.add(Value::Micros, upstream(work));
        member.row.add(Value::Sent, work.received);
        member.row.add(Value::Received, work.sent);
    }
    // Positions mean something in the plan that made them only.
    if work.live.serial == core.live.serial
        && let Some(row) = work.rule.and_then(|rule| core.records.routes.get(rule.0 as usize))
    {
        row.add(Value::Requests, 1);
        row.add(Value::Micros, duration);
        row.add(Value::Failures, u64::from(x.status >= 500));
    }
    let fault = x.fault().map_or("", |fault| fault.verdict().word);
    if core.records.recorder.is_on() && core.records.sampling.wants(x.status, fault) {
        let record = record(work, core, duration, fault);
        core.records.recorder.push(&record);
    }
}

fn record(work: &Work, core: &Core, duration_us: u64, fault: &'static str) -> Record {
    let (x, times) = (&work.x, &work.x.times);
    let connect = if x.reused { 0 } else { micros(times.attached, times.picked) };
    let mut record = Record {
        end: core.now,
        duration_us,
        upstream_us: u32::try_from(upstream(work)).unwrap_or(u32::MAX),
        connect_us: u32::try_from(connect).unwrap_or(u32::MAX),
        received: work.received,
        sent: work.sent,
        serial: work.live.serial,
        route: work.rule.map_or(NOWHERE, |rule| rule.0),
        pool: work.pool_index.map_or(NOWHERE, |pool| pool.0),
        backend: work.member_index.unwrap_or(NOWHERE),
        status: x.status,
        worker: core.page.slot(),
        fault,
        offence: work.offence.map_or("", Offence::label),
        client: work.client,
        ..Record::EMPTY
    };
    if let Some(head) = &x.request {
        record.method.set(head.method_text());
        record.host.set(head.authority());
        record.set_target(head.target(), core.records.query);
        let id = head.get_known(crate::msg::Known::XRequestId);
        record.request_id.set(id.unwrap_or_default());
    }
    record
}

/// From the request sent to the head of the backend's response, in µs; 0 without one.
fn upstream(work: &Work) -> u64 {
    let times = &work.x.times;
    let known = times.sent != Time::ZERO && times.replied != Time::ZERO;
    if known { micros(times.replied, times.sent) } else { 0 }
}

fn micros(later: Time, earlier: Time) -> u64 {
    u64::try_from(later.since(earlier).as_micros()).unwrap_or(u64::MAX)
}
