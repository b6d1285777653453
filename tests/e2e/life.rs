//! Lives of processes: applies under load, workers that die or hang, a master that dies, stops.

use crate::support::client::{Client, get};
use crate::support::load::Load;
use crate::support::origin::{Origin, answer};
use crate::support::proxy::{Proxy, Setup, state};
use crate::support::wait::{until, within};
use crate::{before, routes, to};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::time::Duration;

#[test]
fn applies_under_load_fail_no_request() {
    let origins = [Origin::saying("a"), Origin::saying("b")];
    let config = |n: usize| routes(&to(&[&origins[n].address]));
    let proxy = Setup::new(&config(0)).start();
    let load = Load::start(proxy.address());
    for n in 0..20 {
        proxy.reload(&config((n + 1) % 2));
        let word = ["b", "a"][n % 2];
        assert_eq!(get(proxy.address(), "/now").text(), word, "in force when reload returns");
    }
    load.more();
    assert_eq!(load.end(), Vec::<String>::new());
}

#[test]
fn a_request_in_flight_ends_under_the_configuration_it_began_with() {
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let old = Origin::start(move |mut guest| {
        guest.request();
        guest.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nold ");
        let _ = gone.lock().unwrap().recv();
        guest.send("word");
    });
    let new = Origin::saying("new");
    let proxy = before(&old);
    let mut client = Client::connect(proxy.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().unwrap().status(), 200);
    assert_eq!(client.exactly(4), b"old ");
    proxy.reload(&routes(&to(&[&new.address])));
    assert_eq!(get(proxy.address(), "/").text(), "new");
    go.send(()).unwrap();
    assert_eq!(client.exactly(4), b"word");
    assert_eq!(client.get("/").text(), "new", "the next request of the connection is new");
}

#[test]
fn a_refused_configuration_changes_nothing() {
    let origin = Origin::saying("good");
    let proxy = before(&origin);
    std::fs::write(proxy.config(), "{\"version\": 1, \"strategey\": 3}").unwrap();
    let output = proxy.cupctl(&["reload"]);
    assert_eq!(output.status.code(), Some(1));
    let reason = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(reason.contains("strategey"), "{reason}");
    assert_eq!(get(proxy.address(), "/").text(), "good");
    until("the reason in STATUS=", || proxy.status_line().contains("refused").then_some(()));
}

#[test]
fn a_killed_worker_is_replaced_and_the_others_serve_on() {
    let origin = Origin::saying("x");
    let proxy = before(&origin);
    let workers = proxy.workers();
    assert_eq!(workers.len(), 2);
    kill(Pid::from_raw(workers[0] as i32), Signal::SIGKILL).unwrap();
    let back = within(Duration::from_millis(1000), || {
        let now = proxy.workers();
        (now.len() == 2 && !now.contains(&workers[0])).then_some(now)
    });
    let back = back.expect("a new worker soon");
    assert!(back.contains(&workers[1]), "the other one lives");
    for _ in 0..20 {
        assert_eq!(get(proxy.address(), "/").status(), 200);
    }
}

#[test]
fn a_stopped_worker_is_noticed_and_replaced() {
    let origin = Origin::saying("x");
    let proxy = before(&origin);
    let workers = proxy.workers();
    kill(Pid::from_raw(workers[0] as i32), Signal::SIGSTOP).unwrap();
    until("replacement of the hung worker", || {
        let now = proxy.workers();
        (now.len() == 2 && !now.contains(&workers[0])).then_some(())
    });
    assert!(state(workers[0]).is_none_or(|s| s == 'Z'), "the hung one is gone");
    for _ in 0..20 {
        assert_eq!(get(proxy.address(), "/").status(), 200);
    }
}

#[test]
fn workers_of_a_dead_master_drain_and_end() {
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let origin = Origin::start(move |mut guest| {
        guest.request();
        guest.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha");
        let _ = gone.lock().unwrap().recv();
        guest.send("lf");
    });
    let proxy = before(&origin);
    let mut client = Client::connect(proxy.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().unwrap().status(), 200);
    assert_eq!(client.exactly(2), b"ha");
    proxy.workers();
    proxy.signal(Signal::SIGKILL);
    // Nobody keeps the links here: the end of the link is the end of the workers, once they are done.
    go.send(()).unwrap();
    assert_eq!(client.exactly(2), b"lf", "what was begun is finished");
    drop(client);
    until("end of all processes", || {
        let rest: Vec<u32> = proxy.survivors();
        rest.is_empty().then_some(())
    });
}

#[test]
fn a_soft_stop_finishes_what_was_begun() {
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
    let mut proxy: Proxy = before(&origin);
    let mut idle = Client::connect(proxy.address());
    assert_eq!(idle.get("/quick").text(), "done");
    let mut busy = Client::connect(proxy.address());
    busy.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    until("the slow request at the origin", || {
        origin.requests().iter().any(|r| r.line.contains("slow")).then_some(())
    });
    proxy.signal(Signal::SIGTERM);
    idle.assert_closed();
    until("STOPPING=1", || proxy.said().iter().any(|l| l == "STOPPING=1").then_some(()));
    go.send(()).unwrap();
    let response = busy.response("GET");
    assert_eq!((response.text(), response.field("connection")), ("done", Some("close")));
    assert_eq!(proxy.await_end(), Some(0));
    until("end of all processes", || proxy.survivors().is_empty().then_some(()));
}

#[test]
fn a_hard_stop_does_not_wait() {
    let origin = Origin::start(|mut guest| {
        guest.request();
        guest.client.rest();
    });
    let mut proxy = before(&origin);
    let mut client = Client::connect(proxy.address());
    client.send("GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
    until("the request at the origin", || (!origin.requests().is_empty()).then_some(()));
    proxy.signal(Signal::SIGQUIT);
    assert_eq!(proxy.await_end(), Some(0));
    until("end of all processes", || proxy.survivors().is_empty().then_some(()));
}

#[test]
fn a_bad_file_from_a_shell_ends_with_1_and_says_why() {
    let mut proxy = Setup::bare("{\"version\": 1, \"routes\": 7}").launch();
    assert_eq!(proxy.await_end(), Some(1));
    assert!(proxy.log().contains("routes"), "{}", proxy.log());
}
