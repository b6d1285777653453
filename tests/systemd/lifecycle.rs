//! The life of the service under its manager: activation, readiness, reload, watchdog, deaths, stop.

use crate::machine::{self, Scenario, must, must_not, property, signal};
use crate::support::client::Client;
use crate::support::load::Load;
use crate::support::origin::{Origin, answer};
use crate::support::wait::{until, within};
use nix::sys::signal::Signal;
use std::time::Duration;

/// In the order of a life.
pub fn scenarios() -> Vec<Scenario> {
    vec![
        ("the_first_connection_starts_the_service", the_first_connection_starts_the_service),
        ("status_is_live", status_is_live),
        ("reload_takes_a_good_file", reload_takes_a_good_file),
        ("reload_refuses_a_bad_file_and_says_why", reload_refuses_a_bad_file_and_says_why),
        ("reloads_under_load_fail_no_request", reloads_under_load_fail_no_request),
        ("a_bad_file_at_start_runs_the_last_good_one", a_bad_file_at_start_runs_the_last_good_one),
        ("without_any_good_file_clients_get_503", without_any_good_file_clients_get_503),
        ("a_killed_worker_is_replaced", a_killed_worker_is_replaced),
        ("a_stopped_worker_is_replaced", a_stopped_worker_is_replaced),
        ("a_killed_master_fails_no_request", a_killed_master_fails_no_request),
        ("a_hung_master_is_restarted", a_hung_master_is_restarted),
        ("a_worker_dies_while_the_master_is_away", a_worker_dies_while_the_master_is_away),
        ("restart_under_load_fails_no_request", restart_under_load_fails_no_request),
        ("daemon_reexec_changes_nothing", daemon_reexec_changes_nothing),
        ("stop_finishes_and_leaves_nothing", stop_finishes_and_leaves_nothing),
        ("stop_ends_even_a_hung_worker", stop_ends_even_a_hung_worker),
    ]
}

fn the_first_connection_starts_the_service() {
    let origin = Origin::saying("awake");
    machine::configure(&origin.address);
    machine::open();
    assert_eq!(property("ActiveState"), "inactive");
    assert_eq!(machine::ask().text(), "awake");
    assert_eq!(
        (property("ActiveState"), property("SubState")),
        ("active".into(), "running".into())
    );
    assert_eq!(machine::workers().len(), 2);
    let v6 = crate::support::client::get("[::1]:80".parse().unwrap(), "/");
    assert_eq!(v6.text(), "awake", "the socket is of both families");
}

fn status_is_live() {
    let origin = Origin::saying("x");
    machine::configure(&origin.address);
    machine::start();
    let first = property("StatusText");
    assert!(first.contains('1') && !first.is_empty(), "serial in {first:?}");
    let clients: Vec<Client> = (0..7)
        .map(|_| {
            let mut client = Client::connect(machine::address());
            assert_eq!(client.get("/").status(), 200);
            client
        })
        .collect();
    until("seven connections in STATUS=", || property("StatusText").contains('7').then_some(()));
    drop(clients);
    until("fewer connections", || (!property("StatusText").contains(" 7 ")).then_some(()));
}

fn reload_takes_a_good_file() {
    let (old, new) = (Origin::saying("old"), Origin::saying("new"));
    machine::configure(&old.address);
    machine::start();
    let master = machine::master();
    machine::configure(&new.address);
    must("systemctl", &["reload", "cloudcup"]);
    assert_eq!(machine::ask().text(), "new", "in force when systemctl returns");
    assert_eq!((machine::master(), property("ActiveState")), (master, "active".into()));
}

fn reload_refuses_a_bad_file_and_says_why() {
    let origin = Origin::saying("good");
    machine::configure(&origin.address);
    machine::start();
    let (master, workers) = (machine::master(), machine::workers());
    let mark = machine::now();
    machine::write(
        "{\n  \"version\": 1,\n  \"strategey\": \"round-robin\",\n  \
         \"routes\": { \"*\": { \"respond\": { \"status\": 200 } } }\n}\n",
    );
    let (code, _) = must_not("systemctl", &["reload", "cloudcup"]);
    assert_eq!(code, 1);
    assert_eq!(property("ActiveState"), "active");
    let status = property("StatusText");
    assert!(status.contains("strategey") && status.contains(":3:"), "{status}");
    let journal = machine::since(&mark);
    let said = |word: &str| {
        journal.iter().any(|r| {
            machine::field(r, "_SYSTEMD_UNIT") == "cloudcup.service"
                && machine::field(r, "MESSAGE").contains(word)
        })
    };
    assert!(said("strategey"), "the reason is in the journal");
    must_not("systemctl", &["reload-or-restart", "cloudcup"]);
    assert_eq!((machine::master(), machine::workers()), (master, workers));
    assert_eq!(machine::ask().text(), "good");
    // The service is well again with a good file.
    machine::configure(&origin.address);
    must("systemctl", &["reload", "cloudcup"]);
    assert!(!property("StatusText").contains("strategey"));
}

fn reloads_under_load_fail_no_request() {
    let origins = [Origin::saying("a"), Origin::saying("b")];
    machine::configure(&origins[0].address);
    machine::start();
    let load = Load::start(machine::address());
    for n in 1..=10 {
        machine::configure(&origins[n % 2].address);
        must("systemctl", &["reload", "cloudcup"]);
        assert_eq!(machine::ask().text(), ["a", "b"][n % 2]);
    }
    load.more();
    assert_eq!(load.end(), Vec::<String>::new());
}

fn a_bad_file_at_start_runs_the_last_good_one() {
    let origin = Origin::saying("last good");
    machine::configure(&origin.address);
    machine::start();
    must("systemctl", &["stop", "cloudcup.service"]);
    machine::write("{ \"version\": 1, ");
    machine::start();
    assert_eq!(machine::ask().text(), "last good");
    let (code, _) = must_not("cupctl", &["status"]);
    assert_eq!(code, 1, "status tells that the file is bad");
    assert_eq!(property("ActiveState"), "active");
}

fn without_any_good_file_clients_get_503() {
    machine::write("[]");
    machine::open();
    assert_eq!(machine::ask().status(), 503);
    machine::await_active();
    let origin = Origin::saying("now good");
    machine::configure(&origin.address);
    must("systemctl", &["reload", "cloudcup"]);
    assert_eq!(machine::ask().text(), "now good");
}

fn a_killed_worker_is_replaced() {
    let origin = Origin::saying("x");
    machine::configure(&origin.address);
    machine::start();
    let before = machine::await_workers(2);
    let master = machine::master();
    for victim in &before {
        let old = machine::await_workers(2);
        signal(*victim, Signal::SIGKILL);
        let begin = std::time::Instant::now();
        within(Duration::from_secs(5), || {
            let now = machine::workers();
            (now.len() == 2 && now != old).then_some(())
        })
        .expect("a new worker");
        println!("  replaced after {} ms", begin.elapsed().as_millis());
        assert_eq!(machine::ask().status(), 200);
    }
    assert_eq!((machine::master(), property("NRestarts")), (master, "0".into()));
}

fn a_stopped_worker_is_replaced() {
    let origin = Origin::saying("x");
    machine::configure(&origin.address);
    machine::start();
    let before = machine::await_workers(2);
    signal(before[0], Signal::SIGSTOP);
    until("replacement of the stopped worker", || {
        let now = machine::workers();
        (now.len() == 2 && !now.contains(&before[0])).then_some(())
    });
    for _ in 0..20 {
        assert_eq!(machine::ask().status(), 200);
    }
}

fn a_killed_master_fails_no_request() {
    let origin = Origin::saying("x");
    machine::configure(&origin.address);
    machine::start();
    let workers = machine::await_workers(2);
    let load = Load::start(machine::address());
    for round in 1..=5 {
        let master = machine::master();
        signal(master, Signal::SIGKILL);
        until("next master", || {
            let ready = property("ActiveState") == "active" && property("MainPID") != "0";
            (ready && machine::master() != master).then_some(())
        });
        assert_eq!(machine::workers(), workers, "adopted, not replaced, after kill {round}");
        load.more();
    }
    assert_eq!(load.end(), Vec::<String>::new());
    assert_eq!(property("NRestarts"), "5");
    // The adopted workers obey the new master.
    let other = Origin::saying("obeyed");
    machine::configure(&other.address);
    must("systemctl", &["reload", "cloudcup"]);
    assert_eq!(machine::ask().text(), "obeyed");
}

fn a_hung_master_is_restarted() {
    let origin = Origin::saying("x");
    machine::configure(&origin.address);
    machine::drop_in("cloudcup.service", "watchdog", "[Service]\nWatchdogSec=1s\n");
    machine::start();
    let workers = machine::await_workers(2);
    let master = machine::master();
    let load = Load::start(machine::address());
    signal(master, Signal::SIGSTOP);
    until("restart by the watchdog", || (property("NRestarts") == "1").then_some(()));
    until("readiness", || (property("ActiveState") == "active").then_some(()));
    load.more();
    assert_eq!(load.end(), Vec::<String>::new(), "the sockets stayed open, the workers served");
    assert_eq!(machine::workers(), workers);
    assert_ne!(machine::master(), master);
}

fn a_worker_dies_while_the_master_is_away() {
    let origin = Origin::saying("x");
    machine::configure(&origin.address);
    machine::drop_in("cloudcup.service", "slow", "[Service]\nRestartSec=1s\n");
    machine::start();
    let workers = machine::await_workers(2);
    signal(machine::master(), Signal::SIGKILL);
    signal(workers[0], Signal::SIGKILL);
    until("a whole set again", || {
        let now = machine::workers();
        let whole = now.len() == 2 && now.contains(&workers[1]) && !now.contains(&workers[0]);
        (whole && property("ActiveState") == "active").then_some(())
    });
    for _ in 0..20 {
        assert_eq!(machine::ask().status(), 200);
    }
}

fn restart_under_load_fails_no_request() {
    let origin = Origin::saying("x");
    machine::configure(&origin.address);
    machine::start();
    let load = Load::start(machine::address());
    for _ in 0..3 {
        let master = machine::master();
        must("systemctl", &["restart", "cloudcup.service"]);
        assert_ne!(machine::master(), master);
        load.more();
    }
    assert_eq!(load.end(), Vec::<String>::new());
}

fn daemon_reexec_changes_nothing() {
    let origin = Origin::saying("x");
    machine::configure(&origin.address);
    machine::start();
    let workers = machine::await_workers(2);
    must("systemctl", &["daemon-reexec"]);
    let master = machine::master();
    signal(master, Signal::SIGKILL);
    until("next master", || {
        let pid = property("MainPID");
        (property("ActiveState") == "active" && pid != "0" && pid != master.to_string())
            .then_some(())
    });
    assert_eq!(machine::workers(), workers, "the descriptor store survived");
    assert_eq!(machine::ask().status(), 200);
}

fn stop_finishes_and_leaves_nothing() {
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let origin = Origin::start(move |mut guest| {
        while let Some(request) = guest.request() {
            if request.line.contains("slow") {
                let _ = gone.lock().unwrap().recv();
            }
            guest.send(answer("done"));
        }
    });
    machine::configure(&origin.address);
    machine::start();
    let mut client = Client::connect(machine::address());
    client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    until("the slow request", || {
        origin.requests().iter().any(|r| r.line.contains("slow")).then_some(())
    });
    let stop = std::thread::spawn(|| {
        must("systemctl", &["stop", "cloudcup.socket", "cloudcup.service"]);
    });
    until("stopping", || (property("ActiveState") == "deactivating").then_some(()));
    go.send(()).unwrap();
    assert_eq!(client.response("GET").text(), "done");
    stop.join().unwrap();
    assert_eq!(
        (property("ActiveState"), property("Result")),
        ("inactive".into(), "success".into())
    );
    assert_eq!(machine::processes(), Vec::<u32>::new());
    assert!(!std::path::Path::new("/run/cloudcup").exists(), "the runtime folder is gone");
    assert!(std::net::TcpStream::connect(machine::HTTP).is_err(), "nobody listens");
}

fn stop_ends_even_a_hung_worker() {
    let origin = Origin::saying("x");
    machine::configure(&origin.address);
    machine::start();
    let workers = machine::await_workers(2);
    signal(workers[0], Signal::SIGSTOP);
    must("systemctl", &["stop", "cloudcup.socket", "cloudcup.service"]);
    assert_eq!(machine::processes(), Vec::<u32>::new());
}
