//! Upgraded connections: bytes in both directions, half-close, refusal, survival of applies.

use crate::support::client::Client;
use crate::support::origin::{Guest, Origin, answer};
use crate::{before, routes, to};

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// Agrees to the upgrade and sends every byte back until the end, then one word more.
fn echo(mut guest: Guest) {
    let Some(head) = guest.client.head() else { return };
    assert_eq!(head.field("upgrade").map(str::to_ascii_lowercase).as_deref(), Some("websocket"));
    assert!(head.field("connection").unwrap().to_ascii_lowercase().contains("upgrade"));
    guest.send(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nfirst",
    );
    while let Some(line) = guest.client.line() {
        guest.send(format!("{line}\r\n"));
    }
    guest.send("farewell");
}

#[track_caller]
fn upgraded(client: &mut Client) {
    client.send(UPGRADE);
    let head = client.head().expect("an answer");
    assert_eq!(head.status(), 101);
    assert_eq!(head.field("upgrade"), Some("websocket"));
    assert_eq!(head.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(client.exactly(5), b"first", "bytes that came with the 101");
}

#[test]
fn bytes_pass_both_ways_and_a_half_close_stays_half() {
    let origin = Origin::start(echo);
    let proxy = before(&origin);
    let mut client = Client::connect(proxy.address());
    upgraded(&mut client);
    for n in 0..100 {
        client.send(format!("line {n}\r\n"));
        assert_eq!(client.line(), Some(format!("line {n}")));
    }
    let big = "x".repeat(1 << 20);
    client.send(format!("{big}\r\n"));
    assert_eq!(client.line().map(|l| l.len()), Some(1 << 20));
    client.shut();
    assert_eq!(client.rest(), b"farewell", "the other direction lives on");
}

#[test]
fn bytes_sent_right_behind_the_upgrade_are_not_lost() {
    let origin = Origin::start(echo);
    let proxy = before(&origin);
    let mut client = Client::connect(proxy.address());
    client.send(format!("{UPGRADE}early\r\n"));
    assert_eq!(client.head().unwrap().status(), 101);
    assert_eq!(client.exactly(5), b"first");
    assert_eq!(client.line().as_deref(), Some("early"));
}

#[test]
fn a_refused_upgrade_is_an_ordinary_response() {
    let origin = Origin::start(|mut guest| {
        while guest.request().is_some() {
            guest.send(answer("no"));
        }
    });
    let proxy = before(&origin);
    let mut client = Client::connect(proxy.address());
    for _ in 0..2 {
        client.send(UPGRADE);
        let response = client.response("GET");
        assert_eq!((response.status(), response.text()), (200, "no"));
    }
}

#[test]
fn a_101_nobody_asked_for_is_refused() {
    let origin = Origin::start(|mut guest| {
        if guest.request().is_some() {
            guest.send(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
            );
            guest.client.rest();
        }
    });
    let proxy = before(&origin);
    assert_eq!(crate::support::client::get(proxy.address(), "/").status(), 502);
}

#[test]
fn a_tunnel_survives_an_apply() {
    let origin = Origin::start(echo);
    let other = Origin::saying("new");
    let proxy = before(&origin);
    let mut client = Client::connect(proxy.address());
    upgraded(&mut client);
    proxy.reload(&routes(&to(&[&other.address])));
    assert_eq!(crate::support::client::get(proxy.address(), "/").text(), "new");
    client.send("still there\r\n");
    assert_eq!(client.line().as_deref(), Some("still there"));
}
