//! The thread that writes access records, beside the loop of a worker.
//!
//! It may wait for a disk or for journald; the loop never waits for it. It naps a few milliseconds
//! between batches while there is traffic, so that waking it costs the loop nothing, and sleeps when
//! there is none. Not here: what a record says (`access`, `encode`), how it comes here (`ring`).
//!
//! Invariants: one call of write or sendmmsg for a batch; a sink that takes nothing for a second
//! loses the batch, which is counted; a line is never continued by another record.

use super::access::{Names, Record};
use super::encode;
use super::ring::{self, Intake, Order, Recorder};
use crate::base::clock::{Clock, Time};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, MultiHeaders, sendmmsg};
use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

/// Records of a turn, and as many that wait: 1 MiB.
const CAPACITY: usize = 2_048;
/// Between two looks while there is traffic.
const NAP: Duration = Duration::from_millis(20);
/// Looks without a record before it sleeps.
const NAPS_MAX: u32 = 50;
/// How long a sink may take nothing.
const PATIENCE_MS: u16 = 1_000;
/// Bytes of a batch that are written at once.
const CHUNK: usize = 64 * 1024;
/// Datagrams of one call.
const DATAGRAMS: usize = 64;
/// Configurations whose names are kept.
const NAMES_MAX: usize = 16;

/// Where records go.
#[derive(Debug)]
pub enum Sink {
    /// A datagram socket connected to journald's native socket.
    Journal(OwnedFd),
    /// A file, pipe or terminal: a line of JSON for each record.
    Json(OwnedFd),
    /// A terminal: a line for people.
    Plain(OwnedFd),
}

/// Starts the writer. Fails when no thread can be made; the worker then has no access records.
pub fn start(sink: Sink, names: Arc<Names>) -> io::Result<Recorder> {
    let (mut recorder, intake) = ring::pair(CAPACITY);
    let mut writer = Writer::new(sink, names);
    let builder = thread::Builder::new().name("access-log".into()).stack_size(256 * 1024);
    let thread = builder.spawn(move || writer.run(&intake))?;
    recorder.set_writer(thread.thread().clone());
    Ok(recorder)
}

struct Writer {
    output: Output,
    names: Vec<Arc<Names>>,
    text: Vec<u8>,
    /// Ends of the datagrams in `text`.
    ends: Vec<usize>,
}

enum Output {
    Journal(OwnedFd),
    /// `torn`: the last write ended within a line.
    Lines {
        file: File,
        json: bool,
        torn: bool,
    },
}

impl From<Sink> for Output {
    fn from(sink: Sink) -> Output {
        match sink {
            Sink::Journal(fd) => Output::Journal(fd),
            Sink::Json(fd) => Output::Lines { file: File::from(fd), json: true, torn: false },
            Sink::Plain(fd) => Output::Lines { file: File::from(fd), json: false, torn: false },
        }
    }
}

impl Writer {
    fn new(sink: Sink, names: Arc<Names>) -> Writer {
        Writer { output: sink.into(), names: vec![names], text: Vec::new(), ends: Vec::new() }
    }

    fn run(&mut self, intake: &Intake) {
        let (mut records, mut orders) = (Vec::with_capacity(CAPACITY), Vec::new());
        let mut naps = 0;
        while intake.take(&mut records, &mut orders) {
            self.obey(&mut orders, &mut records, intake);
            if !records.is_empty() {
                naps = 0;
                self.write_all(&records, intake);
                records.clear();
            }
            if naps < NAPS_MAX {
                naps += 1;
                thread::park_timeout(NAP);
            } else if intake.begin_sleep() {
                while intake.is_asleep() {
                    thread::park();
                }
                naps = 0;
            }
        }
        intake.finish();
    }

    /// Names are learned before the records that came along, which may use them; a new sink takes what
    /// was recorded after it was ordered.
    fn obey(&mut self, orders: &mut Vec<Order>, records: &mut Vec<Record>, intake: &Intake) {
        let mut written = 0;
        for order in orders.drain(..) {
            match order {
                Order::Names(names) => {
                    self.names.retain(|known| known.serial != names.serial);
                    self.names.push(names);
                    if self.names.len() > NAMES_MAX {
                        self.names.remove(0);
                    }
                }
                Order::Sink(sink, after) => {
                    let after = after.min(records.len());
                    self.write_all(records.get(written..after).unwrap_or_default(), intake);
                    written = after.max(written);
                    self.output = sink.into();
                }
            }
        }
        records.drain(..written);
    }

    fn write_all(&mut self, records: &[Record], intake: &Intake) {
        // What the monotonic clock's zero is on the wall clock, at this moment.
        let wall = Clock::wall().saturating_sub(Clock::now().since(Time::ZERO));
        let mut rest = records;
        while !rest.is_empty() {
            let count = self.encode(rest, wall);
            let taken = self.send(count);
            intake.shared.written.fetch_add(taken as u64, Relaxed);
            intake.shared.failed.fetch_add((count - taken) as u64, Relaxed);
            rest = rest.get(count..).unwrap_or_default();
        }
    }

    /// Fills `text` with as many records as make one call; at least one. Returns how many.
    fn encode(&mut self, records: &[Record], wall: Duration) -> usize {
        self.text.clear();
        self.ends.clear();
        let unknown = Names::default();
        for record in records {
            if self.text.len() >= CHUNK || self.ends.len() >= DATAGRAMS && self.is_journal() {
                break;
            }
            let names = self.names.iter().rev().find(|names| names.serial == record.serial);
            let names = names.map_or(&unknown, Arc::as_ref);
            let at = wall + record.end.since(Time::ZERO);
            let wall_us = u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
            match &self.output {
                Output::Journal(_) => encode::journal(record, names, &mut self.text),
                Output::Lines { json: true, .. } => {
                    encode::json(record, names, wall_us, &mut self.text);
                }
                Output::Lines { .. } => encode::line(record, names, wall_us, &mut self.text),
            }
            self.ends.push(self.text.len());
        }
        self.ends.len()
    }

    fn is_journal(&self) -> bool {
        matches!(self.output, Output::Journal(_))
    }

    /// Writes the encoded records. Returns how many the sink took.
    fn send(&mut self, count: usize) -> usize {
        match &mut self.output {
            Output::Journal(socket) => send_datagrams(socket.as_fd(), &self.text, &self.ends),
            Output::Lines { file, torn, .. } => {
                if *torn && write_fully(file, b"\n") < 1 {
                    return 0;
                }
                let written = write_fully(file, &self.text);
                *torn = written > 0 && self.text.get(written - 1) != Some(&b'\n');
                let taken = self.ends.iter().take_while(|end| **end <= written).count();
                taken.min(count)
            }
        }
    }
}

/// Writes all, waiting for a sink that is full. Returns how many bytes it took.
fn write_fully(file: &mut File, bytes: &[u8]) -> usize {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match file.write(rest) {
            Ok(0) => break,
            Ok(n) => written += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock && wait(file.as_fd()) => {}
            Err(_) => break,
        }
    }
    written
}

/// Sends each stretch of `text` as a datagram. Returns how many were taken.
fn send_datagrams(socket: BorrowedFd<'_>, text: &[u8], ends: &[usize]) -> usize {
    let mut start = 0;
    let mut slices = Vec::with_capacity(ends.len());
    for end in ends {
        slices.push([IoSlice::new(text.get(start..*end).unwrap_or_default())]);
        start = *end;
    }
    let mut headers = MultiHeaders::<()>::preallocate(slices.len(), None);
    let addresses: Vec<Option<()>> = vec![None; slices.len()];
    let mut taken = 0;
    while let Some(rest) = slices.get(taken..).filter(|rest| !rest.is_empty()) {
        let raw = socket.as_raw_fd();
        match sendmmsg(raw, &mut headers, rest, &addresses, [], MsgFlags::MSG_NOSIGNAL) {
            Ok(sent) => taken += sent.count().max(1),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN | Errno::ENOBUFS) if wait(socket) => {}
            Err(_) => break,
        }
    }
    taken
}

/// Waits until the sink takes something. False when it didn't in time.
fn wait(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::POLLOUT)];
    matches!(poll(&mut fds, PollTimeout::from(PATIENCE_MS)), Ok(1..))
}

#[cfg(test)]
mod tests {
    use super::super::ids;
    use super::super::short::Short;
    use super::*;
    use std::io::{Read, Seek};
    use std::os::unix::net::UnixDatagram;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn names(serial: u64, route: &str) -> Arc<Names> {
        Arc::new(Names { serial, routes: vec![route.into()], pools: vec![] })
    }

    fn record(serial: u64, path: &str) -> Record {
        let path = Short::new(path.as_bytes());
        Record { serial, route: 0, status: 200, path, end: Clock::now(), ..Record::EMPTY }
    }

    fn content(file: &mut File) -> Vec<serde_json::Value> {
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn lines_reach_the_file_with_the_names_of_their_serial() {
        let mut file = tempfile::tempfile().unwrap();
        let sink = Sink::Json(file.try_clone().unwrap().into());
        let mut recorder = start(sink, names(1, "old")).unwrap();
        recorder.push(&record(1, "/1"));
        recorder.set_names(names(2, "new"));
        for n in 0..500 {
            recorder.push(&record(1 + n % 2, "/x"));
            recorder.flush();
        }
        recorder.push(&record(9, "/9"));
        assert!(recorder.close(PATIENCE));
        let lines = content(&mut file);
        assert_eq!(lines.len(), 502);
        assert_eq!((&lines[0]["path"], &lines[0]["route"]), (&"/1".into(), &"old".into()));
        assert!(lines[1..501].iter().enumerate().all(|(n, l)| l["route"] == ["old", "new"][n % 2]));
        assert!(lines[501].get("route").is_none());
        let mut now = Vec::new();
        encode::timestamp(&mut now, Clock::wall().as_micros() as u64);
        let day = String::from_utf8_lossy(&now[..10]).into_owned();
        assert!(lines[0]["time"].as_str().unwrap().starts_with(&day[..7]));
    }

    #[test]
    fn a_new_sink_takes_what_comes_after() {
        let (mut one, mut two) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let sink = |file: &File| Sink::Json(file.try_clone().unwrap().into());
        let mut recorder = start(sink(&one), names(1, "r")).unwrap();
        recorder.push(&record(1, "/before"));
        recorder.set_sink(sink(&two));
        recorder.push(&record(1, "/after"));
        assert!(recorder.close(PATIENCE));
        assert_eq!(content(&mut one)[0]["path"], "/before");
        assert_eq!(content(&mut two)[0]["path"], "/after");
    }

    #[test]
    fn a_dead_sink_loses_records_and_counts_them() {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        drop(reader);
        let mut recorder = start(Sink::Json(writer), names(1, "r")).unwrap();
        recorder.push(&record(1, "/"));
        recorder.flush();
        let shared = recorder.shared_for_tests();
        assert!(recorder.close(PATIENCE));
        assert_eq!((shared.written.load(Relaxed), shared.failed.load(Relaxed)), (0, 1));
    }

    #[test]
    fn journald_gets_a_datagram_for_each_record() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut recorder = start(Sink::Journal(ours.into()), names(1, "r")).unwrap();
        (0..300).for_each(|n| recorder.push(&record(1, &format!("/{n}"))));
        recorder.flush();
        theirs.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut buffer = [0; 4096];
        for n in 0..300 {
            let len = theirs.recv(&mut buffer).unwrap();
            let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
            assert!(text.contains(&format!("\nCUP_PATH=/{n}\n")), "{text}");
            assert!(text.contains(ids::ACCESS));
        }
        assert!(recorder.close(PATIENCE));
    }

    #[test]
    fn a_torn_line_is_ended_before_the_next() {
        let mut file = tempfile::tempfile().unwrap();
        let mut writer = Writer::new(Sink::Json(file.try_clone().unwrap().into()), names(1, "r"));
        writer.text.extend_from_slice(b"{\"half\":");
        writer.ends.push(99);
        assert_eq!(writer.send(1), 0);
        writer.encode(&[record(1, "/whole")], Duration::ZERO);
        assert_eq!(writer.send(1), 1);
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        let last = text.lines().last().unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(last).unwrap()["path"], "/whole");
        assert_eq!(text.lines().count(), 2);
    }
}
