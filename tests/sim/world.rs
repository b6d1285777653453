//! One run: a worker between clients and origins, in simulated time, and what must hold.

use super::case::{Case, pick};
use super::client::{Client, Ending};
use super::net::{Dialled, Model, Nature};
use super::origin::{Book, Session};
use cloudcup::base::clock::Time;
use cloudcup::base::seed::Seed;
use cloudcup::config::{CheckContext, check};
use cloudcup::io::listen::Listener;
use cloudcup::io::poll::Poller;
use cloudcup::io::sim::{Net, SharedNet};
use cloudcup::observe::{Counter, Gauge};
use cloudcup::shared::{Board, Page, Shape};
use cloudcup::worker::{Live, Settings, Worker};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// The configuration of all runs; `{}` is the backends of pool a.
const CONFIG: &str = r#"{
  "listeners": { "http": {} },
  "routes": {
    "/a/*": { "backends": [ {} ] },
    "/b/*": { "backends": [ { "address": "10.0.1.1:80", "max_failures": 3 } ] } },
  "timeouts": { "header": "5s", "body_idle": "5s", "idle": "60s", "connect": "2s",
    "response_header": "5s", "response_idle": "5s", "tunnel_idle": "5s", "request": "300s" },
  "limits": { "connections": 64 } }"#;

const BACKENDS: [&str; 3] = [
    r#"{ "address": "10.0.0.1:80" }, { "address": "10.0.0.2:80" }, { "address": "10.0.0.3:80" }"#,
    r#"{ "address": "10.0.0.2:80" }, { "address": "10.0.0.4:80" }"#,
    r#"{ "address": "10.0.0.1:80" }"#,
];

/// A request that takes longer is taken for lost.
const REQUEST_MAX: Duration = Duration::from_secs(120);
/// A run that takes longer (of its own time) goes in circles.
const RUN_MAX: Duration = Duration::from_secs(3_600);
/// Turns in one moment before the worker is said to spin.
const SPIN_MAX: u32 = 20_000;

/// What is special about a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Its story is longer.
    pub verbose: bool,
    /// Nothing goes wrong but this call of the worker's, counted from 1.
    pub fail_at: Option<u64>,
}

/// How a run went wrong.
pub struct Failure {
    /// What is wrong.
    pub message: String,
    /// What happened before.
    pub story: VecDeque<String>,
}

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// A hash of everything that happened.
    pub trace: u64,
    /// Requests by how they ended.
    pub endings: BTreeMap<&'static str, usize>,
    /// Times that descriptors ran out.
    pub exhausted: u64,
    /// Calls of the worker that could fail.
    pub calls: u64,
    /// What happened at last.
    pub story: VecDeque<String>,
}

struct World {
    net: Rc<RefCell<Model>>,
    worker: Worker,
    page: Page,
    clients: Vec<Client>,
    sessions: Vec<Session>,
    book: Book,
    calm: bool,
    now: Time,
    applies: Vec<Time>,
    serial: u64,
    stops: Option<Time>,
    spun: u32,
}

fn live(serial: u64, backends: &str) -> Arc<Live> {
    let text = CONFIG.replace("[ {} ]", &format!("[ {backends} ]"));
    let checked = check(text.as_bytes(), &CheckContext::default());
    let plan = checked.plan.unwrap_or_else(|| panic!("{:?}", checked.problems));
    Arc::new(Live::new(serial, plan))
}

fn nature(seed: &mut Seed) -> Nature {
    Nature {
        delay: Duration::from_micros(*pick(seed, &[0, 50, 2_000, 20_000])),
        segment: *pick(seed, &[7, 300, 1_460, 1_460, 65_536, 65_536]),
        capacity: *pick(seed, &[2_000, 16_384, 65_536, 200_000]),
    }
}

/// How far ends answer in a run. In a troubled one each has moods that last a while.
fn dial_rule(calm: bool) -> super::net::DialRule {
    Box::new(move |to: SocketAddr, seed: &mut Seed, now: Time| {
        let nature = nature(seed);
        let after = Duration::from_micros(seed.below(3_000));
        let IpAddrOctets([_, _, c, d]) = octets(to);
        let mood = (now.as_millis() / 1_700 + u64::from(d) * 5 + u64::from(c)) % 11;
        match mood {
            _ if calm => (Dialled::Answers(after), nature),
            0 => (Dialled::Refuses(after), nature),
            1 if seed.one_in(2) => (Dialled::Refuses(Duration::ZERO), nature),
            2 if seed.one_in(3) => (Dialled::Silent, nature),
            _ => (Dialled::Answers(after), nature),
        }
    })
}

struct IpAddrOctets([u8; 4]);

fn octets(address: SocketAddr) -> IpAddrOctets {
    match address {
        SocketAddr::V4(v4) => IpAddrOctets(v4.ip().octets()),
        SocketAddr::V6(_) => IpAddrOctets([0; 4]),
    }
}

impl World {
    fn new(seed: u64, options: Options) -> World {
        let mut dice = Seed::new(seed ^ 0x5eed);
        let calm = seed.is_multiple_of(3) || options.fail_at.is_some();
        let now = Time::from_millis(1_000);
        let mut model = Model::new(Seed::new(seed), dial_rule(calm));
        model.now = now;
        (model.verbose, model.fail_at) = (options.verbose, options.fail_at);
        model.spurious = if dice.one_in(2) { 40 } else { 0 };
        if !calm && dice.one_in(3) {
            model.fds_max = 4 + dice.below(12) as usize;
        }
        let mut book = Book::default();
        let trouble = if calm { 0 } else { dice.below(16) };
        let clients = draw_clients(&mut dice, &mut book, now, calm, trouble);
        let soon = |dice: &mut Seed| now.after(Duration::from_millis(dice.below(1_500)));
        let mut applies: Vec<Time> = (0..dice.below(4)).map(|_| soon(&mut dice)).collect();
        applies.sort_unstable();
        let stops = (!calm && dice.one_in(5)).then(|| soon(&mut dice));
        let board = Board::in_memory(Shape { workers: 1, lines: 64 });
        let page = board.page(0).expect("there is a slot");
        page.start(1, 1, 1, now);
        let net = Rc::new(RefCell::new(model));
        let shared: SharedNet = net.clone();
        let settings = Settings {
            board,
            page: page.clone(),
            live: live(1, BACKENDS[0]),
            connections: if calm || dice.one_in(2) { 64 } else { 3 },
            seed,
            now,
        };
        let mut worker = Worker::new(Poller::sim(shared.clone()), settings);
        // There is no kernel here that could move bytes by itself.
        worker.set_splice_min(u64::MAX);
        worker.listen("http", Listener::Sim(shared, 0));
        World {
            net,
            worker,
            page,
            clients,
            sessions: Vec::new(),
            book,
            calm: calm && options.fail_at.is_none(),
            now,
            applies,
            serial: 1,
            stops,
            spun: 0,
        }
    }

    /// Until all requests have ended.
    fn traffic(&mut self) -> Result<(), String> {
        while !self.clients.iter().all(Client::is_done) {
            self.moment()?;
            if self.worker.is_over() {
                // Whoever still waits was not accepted any more.
                return Ok(());
            }
        }
        Ok(())
    }

    /// One moment: the models act, the worker turns, time goes on.
    fn moment(&mut self) -> Result<(), String> {
        self.net.borrow_mut().advance(self.now);
        self.act()?;
        self.command();
        self.worker.wait(Duration::ZERO).map_err(|e| e.to_string())?;
        self.worker.turn(self.now);
        self.hold()?;
        self.act()?;
        let timeout = self.worker.timeout(self.now);
        self.spun = if timeout.is_zero() { self.spun + 1 } else { 0 };
        if self.spun > SPIN_MAX {
            return Err("the worker spins".into());
        }
        let mut next = self.now.after(timeout);
        next = self.net.borrow().next_due().map_or(next, |due| next.min(due));
        for wake in self.clients.iter().filter_map(|c| c.wake) {
            next = next.min(wake);
        }
        for wake in self.sessions.iter().filter_map(Session::wake) {
            next = next.min(wake);
        }
        for due in self.applies.first().into_iter().chain(self.stops.as_ref()) {
            next = next.min(*due);
        }
        // A turn takes a moment, and may come late.
        let mut net = self.net.borrow_mut();
        let late = if net.seed.one_in(4) { net.seed.below(2_000_000) } else { 1_000 };
        self.now = next.max(self.now).after(Duration::from_nanos(late));
        Ok(())
    }

    fn act(&mut self) -> Result<(), String> {
        loop {
            let mut net = self.net.borrow_mut();
            while let Some((link, at)) = net.dialled.pop_front() {
                self.sessions.push(Session::new(link, at));
            }
            let dirty = net.take_dirty();
            let mut moved = false;
            for client in &mut self.clients {
                let due = client.wake.is_some_and(|wake| wake <= self.now);
                if due || client.link().is_some_and(|link| dirty.contains(&link)) {
                    moved = true;
                    client.step(&mut net)?;
                }
            }
            for session in &mut self.sessions {
                let due = session.wake().is_some_and(|wake| wake <= self.now);
                if due || dirty.contains(&session.link) {
                    moved |= dirty.contains(&session.link);
                    session.step(&mut net, &mut self.book)?;
                    if !self.calm && session.is_idle() && net.seed.one_in(12) {
                        session.shut(&mut net);
                    }
                }
            }
            self.sessions.retain(|session| !session.is_over());
            if !moved {
                return Ok(());
            }
        }
    }

    /// The operator: applies, a stop.
    fn command(&mut self) {
        if self.applies.first().is_some_and(|due| *due <= self.now) {
            self.applies.remove(0);
            self.serial += 1;
            self.net.borrow_mut().note(format_args!("apply {}", self.serial));
            let backends = BACKENDS[self.serial as usize % BACKENDS.len()];
            self.worker.apply(live(self.serial, backends));
        }
        if self.stops.is_some_and(|due| due <= self.now) {
            self.stops = None;
            self.net.borrow_mut().note(format_args!("stop"));
            self.worker.stop(false, Duration::from_secs(8));
        }
    }

    /// What must hold after each turn.
    fn hold(&self) -> Result<(), String> {
        self.worker.check_invariants()?;
        if self.now.since(Time::ZERO) > RUN_MAX {
            return Err("the run doesn't end".into());
        }
        for client in &self.clients {
            if let Some((id, since)) = client.oldest()
                && self.now.since(since) > REQUEST_MAX
            {
                return Err(format!("#{id} never ends"));
            }
        }
        let waiting = self.page.gauge(Gauge::Waiting);
        if waiting > 1_024 || self.worker.fronts() > 64 {
            return Err(format!("{waiting} wait, {} are connected", self.worker.fronts()));
        }
        Ok(())
    }

    /// When nothing is to be done, nothing is held.
    fn rest(&mut self) -> Result<(), String> {
        let until = self.now.after(Duration::from_secs(400));
        while self.worker.fronts() > 0 || self.worker.exchanges() > 0 {
            if self.now > until {
                let (fronts, works) = (self.worker.fronts(), self.worker.exchanges());
                return Err(format!("{fronts} connections and {works} exchanges are left over"));
            }
            self.moment()?;
        }
        let held = self.worker.holdings();
        if (held.blocks, held.heads) != (0, 0) {
            return Err(format!("leaked: {held:?}"));
        }
        for gauge in [Gauge::FrontConnections, Gauge::Exchanges, Gauge::Waiting, Gauge::TunnelsOpen]
        {
            if self.page.gauge(gauge) != 0 {
                return Err(format!("{gauge:?} is {} at rest", self.page.gauge(gauge) as i64));
            }
        }
        if self.net.borrow().fds() != self.worker.backs() {
            let (fds, backs) = (self.net.borrow().fds(), self.worker.backs());
            return Err(format!("{fds} descriptors for {backs} connections"));
        }
        Ok(())
    }

    /// How the requests ended, and whether they might.
    fn endings(&self) -> Result<BTreeMap<&'static str, usize>, String> {
        let mut sums = BTreeMap::new();
        for (id, ending) in self.clients.iter().flat_map(|client| &client.endings) {
            let word = match ending {
                Ending::Answered => "answered",
                Ending::Refused(_) => "refused",
                Ending::Cut => "cut",
                Ending::Dropped => "dropped",
                Ending::Left => "left",
            };
            *sums.entry(word).or_insert(0) += 1;
            if self.calm && *ending != Ending::Answered {
                return Err(format!("#{id} ended as {ending:?} although nothing went wrong"));
            }
        }
        if self.calm {
            for counter in Counter::ALL {
                let family = counter.column().family;
                let bad = matches!(family, "cloudcup_timeouts" | "cloudcup_faults")
                    || matches!(counter, Counter::Malformed | Counter::MalformedBack);
                let count = self.page.counter(*counter);
                if bad && count != 0 && *counter != Counter::TimeoutIdle {
                    return Err(format!("{counter:?} is {count} although nothing went wrong"));
                }
            }
        }
        Ok(sums)
    }

    fn run(mut self) -> Result<Outcome, String> {
        self.traffic()?;
        let stopped = self.worker.is_over();
        if !stopped {
            self.rest()?;
        }
        let endings = self.endings()?;
        if !stopped {
            self.worker.stop(false, Duration::from_secs(5));
            let until = self.now.after(Duration::from_secs(20));
            while !self.worker.is_over() {
                if self.now > until {
                    return Err("the worker doesn't stop".into());
                }
                self.moment()?;
            }
        }
        let World { worker, net, .. } = self;
        drop(worker);
        let net = net.borrow();
        if net.fds() != 0 {
            return Err(format!("{} descriptors are left over", net.fds()));
        }
        let (trace, exhausted, calls) = (net.trace, net.exhausted, net.calls);
        Ok(Outcome { trace, endings, exhausted, calls, story: net.story.clone() })
    }
}

fn draw_clients(
    dice: &mut Seed,
    book: &mut Book,
    now: Time,
    calm: bool,
    trouble: u64,
) -> Vec<Client> {
    let mut id = 0;
    let mut clients = Vec::new();
    for name in 0..1 + dice.below(8) as usize {
        let mut script = VecDeque::new();
        for _ in 0..1 + dice.below(8) {
            let case = Rc::new(Case::draw(id, dice, trouble));
            book.cases.insert(id, case.clone());
            script.push_back(case);
            id += 1;
        }
        let peer = SocketAddr::from(([192, 0, 2, name as u8 + 1], 40_000));
        let begin = now.after(Duration::from_millis(dice.below(200)));
        let pipelines = dice.one_in(3);
        let nature = nature(dice);
        // Nothing may be slower than the time-outs of a run in which nothing goes wrong.
        let nature = Nature {
            segment: if calm { nature.segment.max(64) } else { nature.segment },
            ..nature
        };
        clients.push(Client::new(name, peer, nature, script, pipelines, begin));
    }
    clients
}

/// One run. The same seed gives the same run.
pub fn run(seed: u64, options: Options) -> Result<Outcome, Failure> {
    let world = World::new(seed, options);
    let net = world.net.clone();
    // A broken invariant panics in the worker; it is a failure like any other.
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || world.run()));
    let message = match result {
        Ok(Ok(outcome)) => return Ok(outcome),
        Ok(Err(message)) => message,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            format!("panic: {}", text.unwrap_or_default())
        }
    };
    let story = match net.try_borrow() {
        Ok(net) => net.story.clone(),
        Err(_) => VecDeque::new(),
    };
    Err(Failure { message, story })
}

// The model is used through the seam's trait object, too.
const _: fn(&mut Model) -> &mut dyn Net = |model| model;
