//! The cases, the turns over the rounds, and the report with its bars.

use crate::accept;
use crate::proxies::{NAMES, Proxy, Setting, program};
use crate::stats::{Outcome, Spread};
use crate::{Backend, Options, load_of, net, proc};
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

/// A case that is measured by load.
struct Case {
    name: &'static str,
    what: &'static str,
    kind: &'static str,
    connections: usize,
    rate: u32,
    log: bool,
    /// What is compared with the better peer, and the greatest ratio that passes.
    bar: Bar,
}

enum Bar {
    Cpu(f64),
    Tail(f64),
    None,
}

const CASES: [Case; 7] = [
    case("h1-small", "small keep-alive GET, 64 clients", "keep", 64, 0, false, Bar::Cpu(0.80)),
    case("h1-small-log", "the same, access records to a file", "keep", 64, 0, true, Bar::Cpu(0.85)),
    case("h1-small-wrk", "the same as h1-small, loaded by wrk", "wrk", 64, 0, false, Bar::None),
    case("h1-close", "a connection per request", "close", 64, 0, false, Bar::Cpu(0.95)),
    case("h1-1m", "responses of 1 MiB, 16 clients", "large", 16, 0, false, Bar::Cpu(0.60)),
    case("h1-post64k", "uploads of 64 KiB", "post", 64, 0, false, Bar::Cpu(0.85)),
    case("lat-10k", "open loop, 10 000 req/s", "open", 64, 10_000, false, Bar::Tail(1.05)),
];

const fn case(
    name: &'static str,
    what: &'static str,
    kind: &'static str,
    connections: usize,
    rate: u32,
    log: bool,
    bar: Bar,
) -> Case {
    Case { name, what, kind, connections, rate, log, bar }
}

/// Figures of one measurement.
#[derive(Clone, Copy, Default)]
struct Figures {
    rate: f64,
    cpu: f64,
    p50: f64,
    p99: f64,
    p999: f64,
    errors: f64,
}

/// Prints the names.
pub fn list() {
    for case in &CASES {
        println!("{:16} {}", case.name, case.what);
    }
    println!("{:16} memory of 9 000 idle keep-alive clients", "memory");
    println!("{:16} socket calls per small keep-alive request (by strace)", "calls");
    println!("{:16} spread of 256 connections over 2, 4, 8 workers", "accept");
    println!("{:16} the open-loop generator against servers of known delay", "check-generator");
}

/// Runs what was asked for.
pub fn run(options: &Options) {
    net::raise_files();
    let wanted = |name: &str| options.cases.is_empty() || options.cases.iter().any(|c| c == name);
    let folder = tempfile::tempdir().expect("a folder");
    let names: Vec<&'static str> = NAMES
        .into_iter()
        .filter(|n| options.only.is_empty() || options.only.iter().any(|o| o == n))
        .filter(|n| {
            let there = program(n).is_some();
            if !there {
                println!("{n}: not on this machine, left out");
            }
            there
        })
        .collect();
    if wanted("check-generator") {
        check_generator();
    }
    for case in CASES.iter().filter(|c| wanted(c.name)) {
        run_case(case, &names, options, folder.path());
    }
    if wanted("memory") {
        memory(&names, folder.path());
    }
    if wanted("calls") {
        calls(&names, folder.path());
    }
    if wanted("accept") {
        accept::run(folder.path());
    }
}

fn run_case(case: &Case, names: &[&'static str], options: &Options, folder: &Path) {
    if case.kind == "wrk" && program("wrk").is_none() {
        println!("\n{}: wrk is not on this machine, left out", case.name);
        return;
    }
    println!("\n{}: {}; {} rounds of {} s", case.name, case.what, options.rounds, options.seconds);
    let backend = Backend::start(Duration::ZERO, Duration::ZERO);
    let setting = Setting { log: case.log, workers: 1, crowd: false, pinned: true };
    let folder = folder.join(case.name);
    let proxies: Vec<Proxy> =
        names.iter().map(|n| Proxy::start(n, setting, backend.port, &folder)).collect();
    let mut figures: BTreeMap<&str, Vec<Figures>> = BTreeMap::new();
    for proxy in &proxies {
        measure(case, proxy, 0.5); // warm: pools filled, buffers grown
    }
    for round in 0..options.rounds {
        for turn in 0..proxies.len() {
            let proxy = &proxies[(turn + round) % proxies.len()];
            let now = measure(case, proxy, options.seconds);
            figures.entry(proxy.name).or_default().push(now);
        }
    }
    report(case, names, &figures);
}

fn measure(case: &Case, proxy: &Proxy, seconds: f64) -> Figures {
    let pids = proxy.pids();
    let before = proc::cpu_micros(&pids);
    let outcome = if case.kind == "wrk" {
        wrk(proxy.address, case.connections, seconds)
    } else {
        load_of(case.kind, proxy.address, case.connections, seconds, case.rate)
    };
    let used = proc::cpu_micros(&pids) - before;
    let [p50, p99, p999] = outcome.percentiles.map(f64::from);
    let cpu = used / (outcome.requests.max(1) as f64);
    Figures { rate: outcome.rate(), cpu, p50, p99, p999, errors: outcome.errors as f64 }
}

/// The same load by wrk, whose figures other people know.
fn wrk(to: SocketAddr, connections: usize, seconds: f64) -> Outcome {
    let mut command = std::process::Command::new(program("wrk").expect("looked for before"));
    net::pin(1);
    command.args(["-t1", &format!("-c{connections}"), &format!("-d{}s", seconds.ceil())]);
    command.arg("--latency");
    for field in crate::load::FIELDS.lines().filter(|l| !l.is_empty()) {
        command.args(["-H", field]);
    }
    let output = command.arg(format!("http://{to}/small")).output().expect("wrk");
    net::pin(0);
    let text = String::from_utf8_lossy(&output.stdout);
    let after = |mark: &str| -> Option<&str> {
        text.lines().find_map(|l| l.trim().strip_prefix(mark)).map(str::trim)
    };
    let requests = text
        .lines()
        .find(|l| l.contains("requests in"))
        .and_then(|l| l.split_whitespace().next()?.parse().ok())
        .unwrap_or(0);
    let rate: f64 = after("Requests/sec:").and_then(|r| r.parse().ok()).unwrap_or(1.0);
    let errors = u64::from(text.contains("Non-2xx") || text.contains("Socket errors"));
    let span = |text: &str| -> u32 {
        let digits = text.trim_end_matches(char::is_alphabetic);
        let scale = match &text[digits.len()..] {
            "us" => 1.0,
            "ms" => 1e3,
            _ => 1e6,
        };
        (digits.parse::<f64>().unwrap_or(0.0) * scale) as u32
    };
    let percentiles = [after("50%").map_or(0, span), after("99%").map_or(0, span), 0];
    let seconds = requests as f64 / rate;
    Outcome { requests, errors, seconds, micros: Vec::new(), percentiles }
}

fn report(case: &Case, names: &[&str], figures: &BTreeMap<&str, Vec<Figures>>) {
    println!(
        "  {:10} {:>9} {:>20} {:>25} {:>8} {:>22} {:>8} {:>7}",
        "",
        "req/s",
        "(least..most)",
        "CPU us/req (least..most)",
        "p50 us",
        "p99 us (least..most)",
        "p99.9",
        "errors"
    );
    let spread = |name: &str, of: fn(&Figures) -> f64| {
        Spread::of(&figures[name].iter().map(of).collect::<Vec<f64>>())
    };
    for name in names {
        let (rate, cpu) = (spread(name, |f| f.rate), spread(name, |f| f.cpu));
        let (p50, p99) = (spread(name, |f| f.p50), spread(name, |f| f.p99));
        let p999 = spread(name, |f| f.p999);
        let errors: f64 = figures[name].iter().map(|f| f.errors).sum();
        println!(
            "  {name:10} {:9.0} {:>20} {:9.2} {:>15} {:8.0} {:7.0} {:>14} {:8.0} {errors:7.0}",
            rate.median,
            format!("({:.0}..{:.0})", rate.least, rate.most),
            cpu.median,
            format!("({:.2}..{:.2})", cpu.least, cpu.most),
            p50.median,
            p99.median,
            format!("({:.0}..{:.0})", p99.least, p99.most),
            p999.median,
        );
    }
    let peers: Vec<&str> = names.iter().copied().filter(|n| *n != "cloudcup").collect();
    if !names.contains(&"cloudcup") || peers.is_empty() {
        return;
    }
    let ratio = |of: fn(&Figures) -> f64| {
        let better = peers.iter().map(|n| spread(n, of).median).fold(f64::INFINITY, f64::min);
        spread("cloudcup", of).median / better
    };
    let (cpu, p99) = (ratio(|f| f.cpu), ratio(|f| f.p99));
    let rate = spread("cloudcup", |f| f.rate).median
        / peers.iter().map(|n| spread(n, |f| f.rate).median).fold(0.0, f64::max);
    print!("  against the better peer: CPU {cpu:.3}, p99 {p99:.3}, req/s {rate:.3}");
    match case.bar {
        Bar::Cpu(bar) => println!("; bar CPU <= {bar:.2}: {}", verdict(cpu <= bar)),
        Bar::Tail(bar) => println!("; bar p99 <= {bar:.2}: {}", verdict(p99 <= bar)),
        Bar::None => println!(),
    }
}

/// The word for a bar.
pub fn verdict(good: bool) -> &'static str {
    if good { "reached" } else { "NOT REACHED" }
}

/// 9 000 clients that asked once and stay.
fn memory(names: &[&'static str], folder: &Path) {
    const CLIENTS: usize = 9000;
    println!("\nmemory: {CLIENTS} idle keep-alive clients (proportional share of all processes)");
    let backend = Backend::start(Duration::ZERO, Duration::ZERO);
    let setting = Setting { log: false, workers: 1, crowd: true, pinned: true };
    let mut costs: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for name in names {
        let proxy = Proxy::start(name, setting, backend.port, &folder.join("memory"));
        let pids = proxy.pids();
        load_of("keep", proxy.address, 64, 1.0, 0); // grown once, as a proxy in use is
        let empty = proc::memory(&pids);
        let clients = idle_clients(proxy.address, CLIENTS);
        let full = proc::memory(&pids);
        let each = (full - empty) / clients.len() as f64;
        println!(
            "  {name:10} {:8.1} MiB empty, {:8.1} MiB with {} clients, {each:8.0} bytes each",
            empty / 1048576.0,
            full / 1048576.0,
            clients.len()
        );
        costs.insert(name, (each, full));
    }
    if let Some((each, full)) = costs.remove("cloudcup") {
        let better = costs.values().map(|(_, full)| *full).fold(f64::INFINITY, f64::min);
        println!("  bar 512 bytes each: {}; ", verdict(each <= 512.0));
        println!("  bar in all no more than the better peer: {}", verdict(full <= better));
    }
}

/// Counts the calls that move bytes, per request, with the loop under load.
fn calls(names: &[&'static str], folder: &Path) {
    println!("\ncalls: socket calls per small keep-alive request, 64 clients");
    let Some(strace) = program("strace") else {
        println!("  strace is not on this machine, left out");
        return;
    };
    let backend = Backend::start(Duration::ZERO, Duration::ZERO);
    let setting = Setting { log: false, workers: 1, crowd: false, pinned: true };
    for name in names {
        let folder = folder.join("calls");
        let proxy = Proxy::start(name, setting, backend.port, &folder);
        load_of("keep", proxy.address, 64, 0.5, 0); // connections are made before counting begins
        let pids = proxy.pids();
        let table = folder.join(name).join("strace");
        let mut command = std::process::Command::new(&strace);
        command.args(["-f", "-c", "-o"]).arg(&table);
        pids.iter().for_each(|pid| drop(command.args(["-p", &pid.to_string()])));
        command.stderr(std::process::Stdio::null());
        let mut tracer = command.spawn().expect("strace");
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        while !pids.iter().all(|pid| proc::traced(*pid)) && std::time::Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let seen = load_of("keep", proxy.address, 64, 2.0, 0);
        let tracer_id = nix::unistd::Pid::from_raw(tracer.id() as i32);
        let _ = nix::sys::signal::kill(tracer_id, nix::sys::signal::Signal::SIGINT);
        let _ = tracer.wait();
        let text = std::fs::read_to_string(&table).unwrap_or_default();
        let mut total = 0.0;
        let mut parts = String::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (Some(call), Some(count)) = (words.last(), words.get(3)) else { continue };
            let moves = ["recv", "read", "send", "write", "splice"];
            let Ok(count) = count.parse::<f64>() else { continue };
            let each = count / seen.requests.max(1) as f64;
            if moves.iter().any(|m| call.starts_with(m)) {
                total += each;
            }
            if each > 0.005 && *call != "total" {
                parts.push_str(&format!(" {call} {each:.2}"));
            }
        }
        let bar = if *name == "cloudcup" { verdict(total <= 4.05) } else { "" };
        println!("  {name:10} {total:.2} ({}) {bar}", parts.trim());
    }
}

/// Connections that have had one answer each.
fn idle_clients(to: SocketAddr, count: usize) -> Vec<TcpStream> {
    let request = crate::load::request(crate::load::Kind::Keep);
    let mut scratch = [0u8; 4096];
    let mut clients = Vec::with_capacity(count);
    for _ in 0..count {
        let stream = TcpStream::connect(to).expect("connect");
        std::io::Write::write_all(&mut &stream, &request).expect("ask");
        let mut got = Vec::new();
        loop {
            let n = std::io::Read::read(&mut &stream, &mut scratch).expect("answer");
            got.extend_from_slice(&scratch[..n]);
            match net::head(&got) {
                Some((end, length)) if got.len() >= end + length => break,
                _ => assert!(n > 0, "closed in the middle of an answer"),
            }
        }
        clients.push(stream);
    }
    clients
}

/// Shows that the generator sees a delay that is known, and stalls that a closed loop would hide.
fn check_generator() {
    println!("\ncheck-generator: the open loop against servers of known delay");
    let at = |backend: &Backend| SocketAddr::from(([127, 0, 0, 1], backend.port));
    let slow = Backend::start(Duration::from_millis(5), Duration::ZERO);
    let seen = load_of("open", at(&slow), 256, 3.0, 5000);
    let [p50, p99, _] = seen.percentiles;
    println!("  every answer 5 000 us late: p50 {p50} us, p99 {p99} us, {} errors", seen.errors);
    let good = seen.errors == 0 && (5000..5600).contains(&p50);
    println!("  p50 within 5 000..5 600: {}", verdict(good));
    drop(slow);
    let stalling = Backend::start(Duration::ZERO, Duration::from_millis(200));
    let seen = load_of("open", at(&stalling), 64, 5.0, 2000);
    let [p50, p99, p999] = seen.percentiles;
    // A fifth of all requests falls due in a stall; the worst waits all of it.
    println!("  still for 200 ms each second: p50 {p50} us, p99 {p99} us, p99.9 {p999} us");
    let good = p50 < 5000 && (150_000..260_000).contains(&p99);
    println!("  p99 within 150 000..260 000: {}", verdict(good));
}
