//! Every table has a limit with its own answer.

use crate::support::client::{Client, get};
use crate::support::origin::Origin;
use crate::support::proxy::{Proxy, Setup};
use crate::support::wait::until;
use crate::{to, with};

/// A proxy with these limits (the inside of the object).
#[track_caller]
fn proxy(origin: &Origin, limits: &str) -> Proxy {
    let more = format!(", \"limits\": {{{limits}}}");
    Setup::new(&with(&to(&[&origin.address]), &more)).start()
}

#[test]
fn a_head_of_too_many_bytes_or_fields() {
    let origin = Origin::saying("x");
    let proxy = proxy(&origin, "\"header_bytes\": \"4KiB\", \"header_fields\": 20");
    let mut client = Client::connect(proxy.address());
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n", "y".repeat(5000)));
    assert_eq!(client.response("GET").status(), 431);
    client.assert_closed();
    let mut client = Client::connect(proxy.address());
    let many: String = (0..25).map(|n| format!("X-{n}: 1\r\n")).collect();
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"));
    assert_eq!(client.response("GET").status(), 431);
    client.assert_closed();
    assert_eq!(get(proxy.address(), "/").status(), 200);
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn a_target_of_too_many_bytes() {
    let origin = Origin::saying("x");
    let proxy = proxy(&origin, "\"header_bytes\": \"4KiB\"");
    let mut client = Client::connect(proxy.address());
    client.send(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "p".repeat(6000)));
    assert!([414, 431].contains(&client.response("GET").status()));
}

#[test]
fn a_body_of_too_many_bytes_declared_or_not() {
    let origin = Origin::saying("x");
    let proxy = proxy(&origin, "\"body_bytes\": \"1KiB\"");
    let mut client = Client::connect(proxy.address());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n");
    assert_eq!(client.response("POST").status(), 413);
    let mut client = Client::connect(proxy.address());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let part = format!("200\r\n{}\r\n", "z".repeat(0x200));
    for _ in 0..4 {
        if !client.try_send(&part) {
            break;
        }
    }
    assert_eq!(client.response("POST").status(), 413);
    assert!(origin.requests().is_empty(), "no whole request got through");
    let mut client = Client::connect(proxy.address());
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1024\r\n\r\n{}",
        "b".repeat(1024)
    ));
    assert_eq!(client.response("POST").status(), 200);
}

#[test]
fn too_many_connections_wait_or_are_told() {
    let origin = Origin::saying("x");
    let proxy = proxy(&origin, "\"connections\": 8");
    let mut first: Vec<Client> = (0..8).map(|_| Client::connect(proxy.address())).collect();
    for client in &mut first {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    // Over the limit: either no answer yet, or a refusal; never more than the limit at once.
    let mut extra = Client::connect(proxy.address());
    extra.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    drop(first);
    // Room again: a new client is served.
    until("a served client", || {
        let mut client = Client::connect(proxy.address());
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = String::from_utf8_lossy(&client.rest()).into_owned();
        answer.starts_with("HTTP/1.1 200").then_some(())
    });
}

#[test]
fn idle_connections_to_a_backend_are_capped() {
    for (limit, connections) in [(0, 3), (1, 1)] {
        let origin = Origin::saying("x");
        let more = format!(
            ", \"limits\": {{\"idle_connections\": {limit}}}, \"workers\": {{\"count\": 1}}"
        );
        let config =
            with(&to(&[&origin.address]), &more).replacen("\"workers\": {\"count\": 2}, ", "", 1);
        let proxy = Setup::new(&config).start();
        let mut client = Client::connect(proxy.address());
        for _ in 0..3 {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(client.response("GET").status(), 200);
        }
        assert_eq!(origin.connections(), connections, "limit {limit}");
    }
}
