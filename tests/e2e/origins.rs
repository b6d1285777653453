//! Real origins behind the proxy: nginx, Python's and Node's own servers.

use crate::support::client::Client;
use crate::support::proxy::{Proxy, Setup};
use crate::support::real::Real;
use crate::support::skip;
use crate::{routes, to};

#[track_caller]
fn proxy(origin: &Real) -> Proxy {
    Setup::new(&routes(&to(&[&origin.address.to_string()]))).start()
}

/// What an echoing origin saw.
#[track_caller]
fn echo(client: &mut Client, request: &str, method: &str) -> serde_json::Value {
    client.send(request);
    let response = client.response(method);
    assert_eq!(response.status(), 200, "{response:?}");
    serde_json::from_slice(&response.body).expect("an echo in JSON")
}

fn field<'a>(seen: &'a serde_json::Value, name: &str) -> Option<&'a str> {
    let fields = seen["fields"].as_array()?;
    let of_name =
        |f: &&serde_json::Value| f[0].as_str().is_some_and(|n| n.eq_ignore_ascii_case(name));
    fields.iter().find(of_name)?[1].as_str()
}

/// The same walk through either echoing server.
#[track_caller]
fn walk(origin: &Real, name: &str) {
    let proxy = proxy(origin);
    let mut client = Client::connect(proxy.address());
    for _ in 0..3 {
        let seen = echo(&mut client, "GET /a?b=c HTTP/1.1\r\nHost: shop.example\r\n\r\n", "GET");
        assert_eq!(
            (seen["origin"].as_str(), seen["target"].as_str()),
            (Some(name), Some("/a?b=c"))
        );
        assert_eq!(field(&seen, "host"), Some("shop.example"));
        assert_eq!(field(&seen, "x-forwarded-for"), Some("127.0.0.1"));
        let body = "y".repeat(100_000);
        let post =
            format!("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let seen = echo(&mut client, &post, "POST");
        assert_eq!(
            (seen["method"].as_str(), seen["length"].as_u64()),
            (Some("POST"), Some(100_000))
        );
        let chunks = "PUT /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
            5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n";
        let seen = echo(&mut client, chunks, "PUT");
        assert_eq!(seen["length"].as_u64(), Some(12));
        client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response("HEAD").status(), 200);
    }
}

#[test]
fn python_behind_the_proxy() {
    let Some(origin) = Real::python() else { return skip("e2e::origins::python", "no python3") };
    walk(&origin, "python");
}

#[test]
fn node_behind_the_proxy() {
    let Some(origin) = Real::node() else { return skip("e2e::origins::node", "no node") };
    walk(&origin, "node");
}

#[test]
fn nginx_behind_the_proxy() {
    let big: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let Some(origin) = Real::nginx(&[("small.txt", b"small"), ("big.bin", &big)]) else {
        return skip("e2e::origins::nginx", "no nginx");
    };
    let proxy = proxy(&origin);
    let mut client = Client::connect(proxy.address());
    for _ in 0..3 {
        assert_eq!(client.get("/small.txt").text(), "small");
        assert_eq!(client.get("/big.bin").body, big);
        assert_eq!(client.get("/missing").status(), 404);
        client.send("GET /big.bin HTTP/1.1\r\nHost: a\r\nRange: bytes=1000-1999\r\n\r\n");
        let part = client.response("GET");
        assert_eq!((part.status(), part.body.as_slice()), (206, &big[1000..2000]));
        let etag = client.get("/small.txt").field("etag").unwrap().to_string();
        client.send(format!("GET /small.txt HTTP/1.1\r\nHost: a\r\nIf-None-Match: {etag}\r\n\r\n"));
        assert_eq!(client.response("GET").status(), 304);
        assert!(client.get("/echo").text().starts_with("nginx GET /echo test.example 127.0.0.1"));
    }
}
