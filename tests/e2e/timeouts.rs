//! Each phase of a request has its own limit of time, with its own answer.

use crate::support::client::{Client, get};
use crate::support::origin::{Origin, answer};
use crate::support::proxy::{Proxy, Setup, timed};
use crate::{to, with};
use std::time::Duration;

/// A proxy with these timeouts (the inside of the object).
#[track_caller]
fn proxy(origin: &Origin, timeouts: &str) -> Proxy {
    let more = format!(", \"timeouts\": {{{timeouts}}}");
    Setup::new(&with(&to(&[&origin.address]), &more)).start()
}

/// Not at once, and not much later than the 300 ms that the tests configure.
#[track_caller]
fn took_about(span: Duration) {
    let good = Duration::from_millis(250)..Duration::from_secs(5);
    assert!(good.contains(&span), "{span:?}");
}

#[test]
fn a_head_that_does_not_come() {
    let origin = Origin::saying("x");
    let proxy = proxy(&origin, "\"header\": \"300ms\"");
    let mut client = Client::connect(proxy.address());
    client.send("GET / HTTP/1.1\r\nHos");
    let (response, span) = timed(|| client.response("GET"));
    assert_eq!(response.status(), 408);
    took_about(span);
    client.assert_closed();
}

#[test]
fn a_body_that_stops() {
    let origin = Origin::saying("x");
    let proxy = proxy(&origin, "\"body_idle\": \"300ms\"");
    let mut client = Client::connect(proxy.address());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nsome");
    let (response, span) = timed(|| client.response("POST"));
    assert_eq!(response.status(), 408);
    took_about(span);
    client.assert_closed();
}

#[test]
fn a_connection_that_says_nothing_more() {
    let origin = Origin::saying("x");
    let proxy = proxy(&origin, "\"idle\": \"300ms\"");
    let mut client = Client::connect(proxy.address());
    assert_eq!(client.get("/").status(), 200);
    let ((), span) = timed(|| client.assert_closed());
    took_about(span);
}

#[test]
fn an_origin_that_does_not_answer() {
    let origin = Origin::start(|mut guest| {
        guest.request();
        guest.client.rest();
    });
    let proxy = proxy(&origin, "\"response_header\": \"300ms\"");
    let (response, span) = timed(|| get(proxy.address(), "/"));
    assert_eq!(response.status(), 504);
    took_about(span);
}

#[test]
fn an_origin_that_stops_in_its_answer() {
    let origin = Origin::start(|mut guest| {
        guest.request();
        guest.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome");
        guest.client.rest();
    });
    let proxy = proxy(&origin, "\"response_idle\": \"300ms\"");
    let mut client = Client::connect(proxy.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().unwrap().status(), 200);
    let (rest, span) = timed(|| client.rest());
    assert_eq!(rest, b"some", "cut off, not filled up");
    took_about(span);
}

#[test]
fn an_address_that_swallows_connections() {
    // A listener whose backlog is full does not answer the next one.
    let full = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    nix::sys::socket::listen(&full, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
    let address = full.local_addr().unwrap();
    let soon = Duration::from_millis(200);
    let fill = |_| std::net::TcpStream::connect_timeout(&address, soon).ok();
    let _filling: Vec<_> = (0..3).map(fill).collect();
    let more = ", \"timeouts\": {\"connect\": \"300ms\"}";
    let proxy = Setup::new(&with(&to(&[&address.to_string()]), more)).start();
    let (response, span) = timed(|| get(proxy.address(), "/"));
    assert!([502, 503, 504].contains(&response.status()), "{response:?}");
    took_about(span);
}

#[test]
fn a_tunnel_that_is_silent() {
    let origin = Origin::start(|mut guest| {
        guest.request();
        guest.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
        guest.client.rest();
    });
    let proxy = proxy(&origin, "\"tunnel_idle\": \"300ms\"");
    let mut client = Client::connect(proxy.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    assert_eq!(client.head().unwrap().status(), 101);
    let ((), span) = timed(|| client.assert_closed());
    took_about(span);
}

#[test]
fn a_request_as_a_whole() {
    let origin = Origin::start(|mut guest| {
        guest.request();
        guest.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        // Never idle for long, never done.
        while guest.client.try_send("1\r\nx\r\n") {
            guest.client.quiet_for(Duration::from_millis(20));
        }
    });
    let proxy = proxy(&origin, "\"request\": \"300ms\"");
    let mut client = Client::connect(proxy.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head().unwrap().status(), 200);
    let (rest, span) = timed(|| client.rest());
    assert!(!rest.ends_with(b"0\r\n\r\n"), "cut off, not ended");
    took_about(span);
}

#[test]
fn a_slow_but_living_exchange_is_left_alone() {
    let origin = Origin::start(|mut guest| {
        while guest.request().is_some() {
            guest.send(answer("in time"));
        }
    });
    let limits = "\"header\": \"2s\", \"body_idle\": \"2s\", \"response_header\": \"2s\"";
    let proxy = proxy(&origin, limits);
    let mut client = Client::connect(proxy.address());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n");
    for _ in 0..19 {
        client.send("x");
        let early = client.quiet_for(Duration::from_millis(15));
        assert!(early, "an answer before the request was whole");
    }
    client.send("x");
    assert_eq!(client.response("POST").text(), "in time");
}
