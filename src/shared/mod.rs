//! The board: one memory file of gauges, counters and a few shared lines, mapped by master and all
//! workers (`sys` maps it; here is only safe code over its atomic words).
//!
//! It holds no secret and nothing that anyone must believe: a value read from it is clamped, and never
//! used as an index, a length or a pointer. A worker writes its own set of pages and the shared lines;
//! the rest is read-only to it. Counters are single-writer columns, stored with a plain load and
//! store, and summed by readers; they outlive the worker, the next one in the slot goes on with them.
//! Gauges are set to zero by the master when their worker is gone.
//!
//! Shared lines (each on its own cache line, found by a tag in a hash table): the cursor of a pool,
//! one `lock xadd` a pick (about 5 ns); the health of a member, one load a pick and a
//! compare-and-swap only when something failed.

pub mod layout;
mod page;
mod reading;
mod table;

pub use layout::{Shape, VERSION};
pub use page::{Page, Row, Value, WorkerState};
pub use reading::Spread;
pub use table::{Line, SharedWord, Tag};

use crate::sys::map::SharedMap;
use layout::{MAGIC, PAGE, header};
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Why a board can't be used.
#[derive(Debug)]
pub enum BoardError {
    /// It couldn't be mapped.
    Map(io::Error),
    /// The file holds no board.
    NotABoard,
    /// It is a board of another version.
    Version(u64),
    /// It has no such worker slot.
    NoSlot(u16),
}

impl fmt::Display for BoardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BoardError::Map(error) => write!(f, "the board can't be mapped: {error}"),
            BoardError::NotABoard => f.write_str("the file holds no board"),
            BoardError::Version(version) => {
                write!(f, "the board has version {version}, not {VERSION}")
            }
            BoardError::NoSlot(slot) => write!(f, "the board has no slot {slot}"),
        }
    }
}

impl std::error::Error for BoardError {}

impl From<io::Error> for BoardError {
    fn from(error: io::Error) -> BoardError {
        BoardError::Map(error)
    }
}

#[derive(Debug)]
enum Memory {
    Mapped(SharedMap),
    Own(Box<[AtomicU64]>),
}

/// A view of the board. Clones are views of the same memory.
#[derive(Clone, Debug)]
pub struct Board {
    memory: Arc<Memory>,
    shape: Shape,
}

impl Board {
    /// Bytes of the memory file for a board of this shape.
    pub const fn bytes(shape: Shape) -> u64 {
        shape.words() as u64 * 8
    }

    /// Maps a new, zeroed memory file of at least [`Board::bytes`] and makes it a board (the
    /// master, once).
    pub fn create(fd: BorrowedFd<'_>, shape: Shape) -> Result<Board, BoardError> {
        Board::found(Memory::Mapped(SharedMap::new(fd)?), shape)
    }

    /// Maps a board that a master made (a restarted master, or a tool).
    pub fn open(fd: BorrowedFd<'_>) -> Result<Board, BoardError> {
        let map = SharedMap::new(fd)?;
        let word = |index: usize| map.words().get(index).map_or(0, |word| word.load(Relaxed));
        if word(header::MAGIC) != MAGIC {
            return Err(BoardError::NotABoard);
        }
        if word(header::VERSION) != u64::from(VERSION) {
            return Err(BoardError::Version(word(header::VERSION)));
        }
        let shape = Shape::of(word(header::WORKERS), word(header::LINES));
        let shape = shape.filter(|shape| shape.words() <= map.words().len());
        let shape = shape.ok_or(BoardError::NotABoard)?;
        Ok(Board { memory: Arc::new(Memory::Mapped(map)), shape })
    }

    /// Maps the board for the worker in `slot`: all but its own set and the shared lines becomes
    /// read-only. Gives its page, too.
    pub fn open_worker(fd: BorrowedFd<'_>, slot: u16) -> Result<(Board, Page), BoardError> {
        let board = Board::open(fd)?;
        let page = board.page(slot).ok_or(BoardError::NoSlot(slot))?;
        if let Memory::Mapped(map) = &*board.memory {
            let slot = u32::from(slot);
            let shape = board.shape;
            map.make_read_only(0..PAGE * 8)?;
            map.make_read_only(shape.set(0) * 8..shape.set(slot) * 8)?;
            map.make_read_only(shape.set(slot + 1) * 8..shape.words() * 8)?;
        }
        Ok((board, page))
    }

    /// A board in this process's own memory, shared with nobody: for simulations and tests.
    pub fn in_memory(shape: Shape) -> Board {
        let words = (0..shape.words()).map(|_| AtomicU64::new(0)).collect();
        // Own memory always has room for its shape.
        let memory = Memory::Own(words);
        Board::found(memory, shape).unwrap_or(Board {
            memory: Arc::new(Memory::Own(Box::default())),
            shape: Shape { workers: 0, lines: 0 },
        })
    }

    fn found(memory: Memory, shape: Shape) -> Result<Board, BoardError> {
        let board = Board { memory: Arc::new(memory), shape };
        if board.words().len() < shape.words() {
            return Err(BoardError::NotABoard);
        }
        board.put(header::VERSION, u64::from(VERSION));
        board.put(header::WORKERS, u64::from(shape.workers));
        board.put(header::LINES, u64::from(shape.lines));
        board.put(header::MAGIC, MAGIC);
        Ok(board)
    }

    /// How large it is.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    #[inline]
    fn words(&self) -> &[AtomicU64] {
        match &*self.memory {
            Memory::Mapped(map) => map.words(),
            Memory::Own(words) => words,
        }
    }

    #[inline]
    fn word(&self, index: usize) -> Option<&AtomicU64> {
        self.words().get(index)
    }

    #[inline]
    fn get(&self, index: usize) -> u64 {
        self.word(index).map_or(0, |word| word.load(Relaxed))
    }

    #[inline]
    fn put(&self, index: usize, value: u64) {
        if let Some(word) = self.word(index) {
            word.store(value, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Time;
    use crate::observe::{Counter, Gauge};
    use crate::sys::memfd;
    use std::os::fd::AsFd;

    const SHAPE: Shape = Shape { workers: 4, lines: 32 };

    #[test]
    fn master_and_workers_see_one_board() {
        let fd = memfd::shared("board", Board::bytes(SHAPE)).unwrap();
        let master = Board::create(fd.as_fd(), SHAPE).unwrap();
        let (board, page) = Board::open_worker(fd.as_fd(), 2).unwrap();
        page.start(77, 3, 9, Time::from_millis(5));
        page.add(Counter::Requests, 4);
        page.set(Gauge::FrontConnections, 6);
        let tag = Tag::pool("api");
        let line = board.claim(tag).unwrap();
        assert_eq!(master.find(tag), Some(line));
        let reading = master.read(Time::from_millis(6));
        assert_eq!(reading.counters[Counter::Requests.index()], 4);
        assert_eq!((reading.workers[0].slot, reading.workers[0].pid), (2, 77));
        assert!(Board::open(fd.as_fd()).is_ok());
        assert!(matches!(Board::open_worker(fd.as_fd(), 4), Err(BoardError::NoSlot(4))));
    }

    #[test]
    fn what_is_no_board_is_refused() {
        let fd = memfd::shared("board", Board::bytes(SHAPE)).unwrap();
        assert!(matches!(Board::open(fd.as_fd()), Err(BoardError::NotABoard)));
        let board = Board::create(fd.as_fd(), SHAPE).unwrap();
        board.put(header::VERSION, 1);
        assert!(matches!(Board::open(fd.as_fd()), Err(BoardError::Version(1))));
        board.put(header::VERSION, u64::from(VERSION));
        board.put(header::LINES, 60_000);
        assert!(matches!(Board::open(fd.as_fd()), Err(BoardError::NotABoard)));
        let small = memfd::shared("small", 4096).unwrap();
        assert!(matches!(Board::create(small.as_fd(), SHAPE), Err(BoardError::NotABoard)));
    }

    /// Round robin over processes, each with its own mapping: over any window of K picks of all of them
    /// together each of n equal members gets K/n, give or take one for each process.
    #[test]
    fn processes_share_one_round() {
        const CHILD: &str = "CLOUDCUP_TEST_BOARD_ROUND";
        const PICKS: usize = 3_000;
        const MEMBERS: usize = 7;
        const PROCESSES: usize = 3;
        if let Ok(path) = std::env::var(CHILD) {
            let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
            let (board, _page) = Board::open_worker(file.as_fd(), 0).unwrap();
            let cursor = SharedWord::new(&board, Tag::pool("pool"));
            let clock = SharedWord::new(&board, Tag::pool("clock"));
            let rota = crate::balance::Rota::equal(MEMBERS);
            for _ in 0..PICKS {
                let stamp = clock.word().fetch_add(1, Relaxed);
                println!("pick {stamp} {}", rota.turn(cursor.word()).next().unwrap());
            }
            return;
        }
        let fd = memfd::shared("board", Board::bytes(SHAPE)).unwrap();
        let board = Board::create(fd.as_fd(), SHAPE).unwrap();
        ["pool", "clock"].map(|name| board.claim(Tag::pool(name)).unwrap());
        let raw = std::os::fd::AsRawFd::as_raw_fd(&fd);
        let path = format!("/proc/{}/fd/{raw}", std::process::id());
        let start = |_| {
            std::process::Command::new(std::env::current_exe().unwrap())
                .args(["shared::tests::processes_share_one_round", "--exact", "--nocapture"])
                .env(CHILD, &path)
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        };
        let children: Vec<_> = (0..PROCESSES).map(start).collect();
        let mut picks: Vec<(u64, usize)> = Vec::new();
        for child in children {
            let output = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
            picks.extend(output.lines().filter_map(|line| {
                // The harness may have begun the line.
                let (_, numbers) = line.split_once("pick ")?;
                let (stamp, member) = numbers.split_once(' ')?;
                Some((stamp.parse().ok()?, member.parse().ok()?))
            }));
        }
        assert_eq!(picks.len(), PROCESSES * PICKS);
        picks.sort_unstable();
        for window in picks.windows(10 * MEMBERS) {
            for member in 0..MEMBERS {
                let got = window.iter().filter(|(_, m)| *m == member).count();
                assert!(got.abs_diff(10) <= PROCESSES, "{got} of 10 for {member}");
            }
        }
    }

    /// A store into a page of another worker ends the process: shown in a child.
    #[test]
    fn a_worker_can_not_write_into_its_neighbour() {
        const CHILD: &str = "CLOUDCUP_TEST_BOARD_TRESPASS";
        let fd = memfd::shared("board", Board::bytes(SHAPE)).unwrap();
        Board::create(fd.as_fd(), SHAPE).unwrap();
        if std::env::var_os(CHILD).is_some() {
            let (board, own) = Board::open_worker(fd.as_fd(), 1).unwrap();
            own.add(Counter::Requests, 1);
            eprintln!("own page written");
            board.page(0).unwrap().add(Counter::Requests, 1);
            return;
        }
        let me = std::env::current_exe().unwrap();
        let name = "shared::tests::a_worker_can_not_write_into_its_neighbour";
        let child = std::process::Command::new(me)
            .args([name, "--exact", "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&child.stderr);
        assert!(errors.contains("own page written"), "{errors}");
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&child.status), Some(11));
    }
}
