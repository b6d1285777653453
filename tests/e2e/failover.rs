//! What happens when backends fail: another one only where that is safe, a count to max_failures,
//! a pause, a trial, recovery; and a fair share for each meanwhile.

use crate::support::client::{Client, get};
use crate::support::origin::{Origin, answer};
use crate::support::proxy::Setup;
use crate::support::wait::until;
use crate::{routes, to};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// An address at which nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn round_robin_is_fair_over_all_workers() {
    let origins: Vec<Origin> = ["a", "b", "c"].iter().map(|w| Origin::saying(w)).collect();
    let addresses: Vec<&str> = origins.iter().map(|o| o.address.as_str()).collect();
    let proxy = Setup::new(&routes(&to(&addresses))).start();
    for _ in 0..60 {
        assert_eq!(get(proxy.address(), "/").status(), 200);
    }
    for origin in &origins {
        let share = origin.requests().len();
        assert!(share.abs_diff(20) <= 2, "a share of {share} of 60, two workers");
    }
}

#[test]
fn a_refused_connection_goes_to_the_next_backend() {
    let origin = Origin::saying("alive");
    let proxy = Setup::new(&routes(&to(&[&nobody().to_string(), &origin.address]))).start();
    for _ in 0..20 {
        assert_eq!(get(proxy.address(), "/").text(), "alive");
    }
    let mut client = Client::connect(proxy.address());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!(client.response("POST").text(), "alive", "not a byte had left: safe for any method");
}

#[test]
fn a_post_that_may_have_been_seen_is_not_sent_twice() {
    let deaf = || {
        Origin::start(|mut guest| {
            guest.request(); // takes it and closes without an answer
        })
    };
    let origins = [deaf(), deaf()];
    let addresses: Vec<&str> = origins.iter().map(|o| o.address.as_str()).collect();
    let proxy = Setup::new(&routes(&to(&addresses))).start();
    let mut client = Client::connect(proxy.address());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nonce");
    assert_eq!(client.response("POST").status(), 502);
    let seen: usize = origins.iter().map(|o| o.requests().len()).sum();
    assert_eq!(seen, 1, "a request that is not idempotent is sent once");
}

#[test]
fn a_reused_connection_that_closed_costs_no_request() {
    // Closes each connection after one answer without saying so.
    let origin = Origin::start(|mut guest| {
        if guest.request().is_some() {
            guest.send(answer("one"));
        }
    });
    let proxy = Setup::new(&routes(&to(&[&origin.address]))).start();
    let mut client = Client::connect(proxy.address());
    for n in 0..50 {
        assert_eq!(client.get(&format!("/{n}")).text(), "one");
    }
}

#[test]
fn max_failures_takes_a_backend_out_and_it_comes_back() {
    let broken = Arc::new(AtomicBool::new(true));
    let flag = Arc::clone(&broken);
    let sick = Origin::start(move |mut guest| {
        while guest.client.head().is_some() {
            if flag.load(Ordering::SeqCst) {
                return; // closes without an answer
            }
            guest.send(answer("sick"));
        }
    });
    let well = Origin::saying("well");
    let list = format!(
        "\"*\": {{\"backends\": [{{\"address\": \"{}\", \"max_failures\": 3}}, {{\"address\": \"{}\"}}]}}",
        sick.address, well.address
    );
    let config = routes(&list).replace("\"count\": 2", "\"count\": 1");
    let proxy = Setup::new(&config).start();
    for _ in 0..40 {
        let response = get(proxy.address(), "/");
        assert!([200, 502].contains(&response.status()));
    }
    let tries = sick.connections();
    assert!((3..=5).contains(&tries), "{tries} tries: 3 failures, then out, then a trial at most");
    for _ in 0..10 {
        assert_eq!(get(proxy.address(), "/").text(), "well", "it is out: nobody notices it");
    }
    broken.store(false, Ordering::SeqCst);
    until("recovery by trial", || (get(proxy.address(), "/").text() == "sick").then_some(()));
    let answers: Vec<String> =
        (0..20).map(|_| get(proxy.address(), "/").text().to_string()).collect();
    let share = answers.iter().filter(|a| *a == "sick").count();
    assert!((8..=12).contains(&share), "its full share again: {share} of 20");
}

#[test]
fn nobody_left_is_an_honest_answer() {
    let proxy = Setup::new(&routes(&to(&[&nobody().to_string()]))).start();
    for _ in 0..10 {
        let response = get(proxy.address(), "/");
        assert!([502, 503].contains(&response.status()), "{response:?}");
        assert!(!response.body.is_empty());
    }
}
