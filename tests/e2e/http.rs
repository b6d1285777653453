//! HTTP/1.1 and 1.0 through the proxy: reuse of connections, framing, methods without bodies.

use crate::support::client::{Client, get};
use crate::support::origin::{Origin, answer};
use crate::{before, routes, support};

#[test]
fn connections_stay_on_both_sides() {
    let origin = Origin::saying("hello");
    let proxy = before(&origin);
    let mut client = Client::connect(proxy.address());
    for n in 0..20 {
        let response = client.get(&format!("/{n}"));
        assert_eq!((response.status(), response.text()), (200, "hello"));
        assert!(response.field("connection").is_none_or(|c| c == "keep-alive"));
    }
    let targets: Vec<String> = origin.requests().into_iter().map(|r| r.line).collect();
    let wanted: Vec<String> = (0..20).map(|n| format!("GET /{n} HTTP/1.1")).collect();
    assert_eq!(targets, wanted);
    assert_eq!(origin.connections(), 1, "one client in turn needs one upstream");
}

#[test]
fn upstreams_are_shared_by_clients_of_a_worker() {
    let origin = Origin::saying("x");
    let config = routes(&crate::to(&[&origin.address])).replace("\"count\": 2", "\"count\": 1");
    let proxy = support::proxy::Setup::new(&config).start();
    for n in 0..20 {
        assert_eq!(get(proxy.address(), &format!("/{n}")).status(), 200);
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::start(|mut guest| {
        while let Some(request) = guest.request() {
            guest.send(answer(&request.line));
        }
    });
    let proxy = before(&origin);
    let mut client = Client::connect(proxy.address());
    let request = |n: u32| match n % 3 {
        0 => format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n"),
        1 => format!("POST /{n} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"),
        _ => format!(
            "PUT /{n} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        ),
    };
    client.send((0..30).map(request).collect::<String>());
    for n in 0..30 {
        let response = client.response("GET");
        let method = ["GET", "POST", "PUT"][n % 3];
        assert_eq!(response.text(), format!("{method} /{n} HTTP/1.1"));
    }
}

#[test]
fn a_head_in_single_bytes_is_a_head() {
    let origin = Origin::saying("slow");
    let proxy = before(&origin);
    let mut client = Client::connect(proxy.address());
    for byte in b"GET /bytes HTTP/1.1\r\nHost: a\r\nX-One: two\r\n\r\n" {
        client.send([*byte]);
    }
    assert_eq!(client.response("GET").text(), "slow");
    assert_eq!(origin.last().field("x-one"), Some("two"));
}

#[test]
fn chunked_bodies_and_trailers_pass_both_ways() {
    let origin = Origin::start(|mut guest| {
        while guest.request().is_some() {
            guest.send(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
                 5;note=a\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 11\r\n\r\n",
            );
        }
    });
    let proxy = before(&origin);
    let mut client = Client::connect(proxy.address());
    for _ in 0..3 {
        client.send(
            "POST /c HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\
             Trailer: X-Up\r\n\r\n4\r\nwiki\r\n5\r\npedia\r\n0\r\nX-Up: 9\r\n\r\n",
        );
        let response = client.response("POST");
        assert_eq!((response.text(), response.chunked), ("hello world", true));
        assert_eq!(response.trailers, [("X-Sum".to_string(), "11".to_string())]);
        let request = origin.last();
        assert_eq!((request.body.as_slice(), request.chunked), (&b"wikipedia"[..], true));
        assert_eq!(request.trailers, [("X-Up".to_string(), "9".to_string())]);
    }
    assert_eq!(origin.connections(), 1, "the framing left the connections in step");
}

#[test]
fn head_and_bodiless_statuses_have_no_body() {
    let origin = Origin::start(|mut guest| {
        while let Some(request) = guest.request() {
            let target = request.line.split(' ').nth(1).unwrap().to_string();
            guest.send(match target.as_str() {
                "/204" => "HTTP/1.1 204 No Content\r\nX-Kind: none\r\n\r\n",
                "/304" => "HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\nETag: \"a\"\r\n\r\n",
                "/empty" => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                _ => "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n",
            });
        }
    });
    let proxy = before(&origin);
    let mut client = Client::connect(proxy.address());
    for _ in 0..2 {
        client.send("HEAD /big HTTP/1.1\r\nHost: a\r\n\r\n");
        let head = client.response("HEAD");
        assert_eq!(head.field("content-length"), Some("1234"));
        let none = client.get("/204");
        assert_eq!((none.status(), none.field("content-length")), (204, None));
        assert_eq!(none.field("transfer-encoding"), None);
        let same = client.get("/304");
        assert_eq!((same.status(), same.field("etag")), (304, Some("\"a\"")));
        assert_eq!(client.get("/empty").text(), "");
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_client_of_http_1_0_is_served_and_closed() {
    let origin = Origin::start(|mut guest| {
        while guest.request().is_some() {
            guest
                .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nold\r\n0\r\n\r\n");
        }
    });
    let proxy = before(&origin);
    let mut client = Client::connect(proxy.address());
    client.send("GET /old HTTP/1.0\r\n\r\n");
    let response = client.response("GET");
    assert_eq!(response.text(), "old", "chunks are undone for 1.0, the end is the close");
    assert!(!response.chunked);
    client.assert_closed();
    assert_eq!(origin.last().line, "GET /old HTTP/1.1");
}

#[test]
fn a_client_of_http_1_0_may_ask_to_stay() {
    let origin = Origin::saying("stay");
    let proxy = before(&origin);
    let mut client = Client::connect(proxy.address());
    for _ in 0..3 {
        client.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
        let response = client.response("GET");
        assert_eq!(response.text(), "stay");
        let connection = response.field("connection").unwrap_or("").to_ascii_lowercase();
        assert_eq!(connection, "keep-alive", "1.0 stays only when told");
    }
}

#[test]
fn a_backend_of_http_1_0_ends_its_body_by_closing() {
    let origin = Origin::start(|mut guest| {
        if guest.request().is_some() {
            guest.send("HTTP/1.0 200 OK\r\nX-Old: yes\r\n\r\nuntil the end");
        }
    });
    let proxy = before(&origin);
    let mut client = Client::connect(proxy.address());
    for _ in 0..3 {
        let response = client.get("/");
        assert_eq!((response.text(), response.field("x-old")), ("until the end", Some("yes")));
        assert!(response.line.starts_with("HTTP/1.1 "), "{}", response.line);
    }
    assert_eq!(origin.connections(), 3);
}

#[test]
fn close_is_honoured_and_said() {
    let origin = Origin::saying("bye");
    let proxy = before(&origin);
    let mut client = Client::connect(proxy.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let response = client.response("GET");
    assert_eq!(response.field("connection"), Some("close"));
    client.assert_closed();
    let seen = origin.last();
    assert!(seen.field("connection").is_none_or(|c| c != "close"), "hop by hop: {seen:?}");
}

#[test]
fn hop_by_hop_fields_stay_on_their_hop() {
    let origin = Origin::start(|mut guest| {
        while guest.request().is_some() {
            guest.send(
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Private\r\nX-Private: 1\r\n\
                 Keep-Alive: timeout=5\r\nX-Public: 2\r\n\r\nok",
            );
        }
    });
    let proxy = before(&origin);
    let mut client = Client::connect(proxy.address());
    client.send(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\n\
         Keep-Alive: 300\r\nProxy-Connection: keep-alive\r\nX-End: 2\r\n\r\n",
    );
    let response = client.response("GET");
    assert_eq!((response.field("x-public"), response.field("x-private")), (Some("2"), None));
    assert_eq!(response.field("keep-alive"), None);
    let request = origin.last();
    assert_eq!((request.field("x-end"), request.field("x-hop")), (Some("2"), None));
    assert_eq!((request.field("keep-alive"), request.field("proxy-connection")), (None, None));
}

#[test]
fn ambiguous_framing_is_refused_and_never_forwarded() {
    let origin = Origin::saying("reached");
    let proxy = before(&origin);
    for bad in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n folded: y\r\n\r\n",
    ] {
        let mut client = Client::connect(proxy.address());
        client.send(bad);
        // A transfer coding that is not known is 501 (RFC 9112, 6.1), everything else 400.
        let expected = if bad.contains("xchunked") { 501 } else { 400 };
        assert_eq!(client.response("GET").status(), expected, "{bad:?}");
        client.assert_closed();
    }
    assert!(origin.requests().is_empty(), "{:?}", origin.requests());
}

#[test]
fn a_malformed_response_becomes_502() {
    for bad in [
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "nonsense\r\n\r\n",
        "",
    ] {
        let origin = Origin::start(move |mut guest| {
            if guest.request().is_some() {
                guest.send(bad);
            }
        });
        let proxy = before(&origin);
        assert_eq!(get(proxy.address(), "/").status(), 502, "{bad:?}");
    }
}
