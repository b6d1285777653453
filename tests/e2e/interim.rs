//! Interim responses: 100-continue in its variants, 103 early hints.

use crate::before;
use crate::support::client::Client;
use crate::support::origin::{Origin, answer};

const ASK: &str =
    "POST /e HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";

#[test]
fn the_origin_decides_on_100_continue() {
    let origin = Origin::start(|mut guest| {
        while let Some(mut head) = guest.client.head() {
            assert_eq!(head.field("expect"), Some("100-continue"));
            guest.send("HTTP/1.1 100 Continue\r\n\r\n");
            guest.client.body(&mut head);
            guest.send(answer(&String::from_utf8(head.body).unwrap()));
        }
    });
    let proxy = before(&origin);
    let mut client = Client::connect(proxy.address());
    for _ in 0..3 {
        client.send(ASK);
        assert_eq!(client.response("POST").status(), 100);
        client.send("hello");
        assert_eq!(client.response("POST").text(), "hello");
    }
}

#[test]
fn a_refusal_instead_of_100_reaches_the_client_before_its_body() {
    let origin = Origin::start(|mut guest| {
        if guest.client.head().is_some() {
            guest.send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno");
            guest.client.rest();
        }
    });
    let proxy = before(&origin);
    let mut client = Client::connect(proxy.address());
    client.send(ASK);
    let response = client.response("POST");
    assert_eq!((response.status(), response.text()), (417, "no"));
}

#[test]
fn a_client_may_send_without_waiting_for_100() {
    let origin = Origin::start(|mut guest| {
        while let Some(request) = guest.request() {
            guest.send(answer(&String::from_utf8(request.body).unwrap()));
        }
    });
    let proxy = before(&origin);
    let mut client = Client::connect(proxy.address());
    client.send(format!("{ASK}hello"));
    let mut response = client.response("POST");
    if response.status() == 100 {
        response = client.response("POST");
    }
    assert_eq!(response.text(), "hello");
}

#[test]
fn early_hints_pass_and_the_final_response_follows() {
    let origin = Origin::start(|mut guest| {
        while guest.request().is_some() {
            guest.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n");
            guest.send("HTTP/1.1 103 Early Hints\r\nLink: </b.css>; rel=preload\r\n\r\n");
            guest.send(answer("page"));
        }
    });
    let proxy = before(&origin);
    let mut client = Client::connect(proxy.address());
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        for file in ["a", "b"] {
            let hint = client.response("GET");
            assert_eq!(hint.status(), 103);
            assert!(hint.field("link").unwrap().contains(&format!("{file}.css")));
        }
        assert_eq!(client.response("GET").text(), "page");
    }
}

#[test]
fn a_client_of_http_1_0_gets_no_interim_response() {
    let origin = Origin::start(|mut guest| {
        while guest.request().is_some() {
            guest.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
            guest.send(answer("page"));
        }
    });
    let proxy = before(&origin);
    let mut client = Client::connect(proxy.address());
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    let response = client.response("GET");
    assert_eq!((response.status(), response.text()), (200, "page"));
}
