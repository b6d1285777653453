//! Bodies: large ones in bounded memory, backpressure, early responses, aborts.

use crate::before;
use crate::support::client::Client;
use crate::support::origin::{Origin, answer};
use crate::support::proxy::{self, resident};
use crate::support::wait::{PATIENCE, until, within};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const MIB: usize = 1 << 20;

/// The greatest resident memory of the workers, in KiB, while `action` runs.
fn watch(proxy: &proxy::Proxy, action: impl FnOnce() + Send) -> u64 {
    let workers = proxy.workers();
    let now = || workers.iter().map(|pid| resident(*pid)).max().unwrap_or(0);
    std::thread::scope(|scope| {
        let task = scope.spawn(action);
        let mut most = now();
        within(Duration::from_secs(120), || {
            most = most.max(now());
            task.is_finished().then_some(())
        })
        .expect("an end of the transfer");
        task.join().unwrap();
        most
    })
}

#[test]
fn a_large_download_needs_no_more_memory_than_a_small_one() {
    const SIZE: usize = 2048 * MIB;
    let origin = Origin::start(|mut guest| {
        while let Some(request) = guest.request() {
            let size = if request.line.contains("/large") { SIZE } else { MIB };
            guest.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n"));
            let part = vec![b'd'; MIB];
            for _ in 0..size / MIB {
                if !guest.client.try_send(&part) {
                    return;
                }
            }
        }
    });
    let proxy = before(&origin);
    let fetch = |path: &str, size: usize| {
        let mut client = Client::connect(proxy.address());
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let head = client.head().unwrap();
        assert_eq!(head.field("content-length"), Some(size.to_string().as_str()));
        client.discard(size as u64);
    };
    let small = watch(&proxy, || fetch("/small", MIB));
    let large = watch(&proxy, || fetch("/large", SIZE));
    assert!(large <= small + 2048, "{small} KiB for 1 MiB, {large} KiB for 2 GiB");
}

#[test]
fn a_large_upload_needs_no_more_memory_than_a_small_one() {
    let origin = Origin::start(|mut guest| {
        while let Some(head) = guest.client.head() {
            guest.client.discard(head.field("content-length").unwrap().parse().unwrap());
            guest.send(answer("taken"));
        }
    });
    let proxy = before(&origin);
    let send = |size: usize| {
        let mut client = Client::connect(proxy.address());
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"));
        let part = vec![b'u'; MIB];
        for _ in 0..size / MIB {
            client.send(&part);
        }
        assert_eq!(client.response("POST").text(), "taken");
    };
    let small = watch(&proxy, || send(MIB));
    let large = watch(&proxy, || send(512 * MIB));
    assert!(large <= small + 2048, "{small} KiB for 1 MiB, {large} KiB for 512 MiB");
}

#[test]
fn a_client_that_does_not_read_stops_the_origin() {
    let sent = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&sent);
    let origin = Origin::start(move |mut guest| {
        if guest.request().is_some() {
            guest.send("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n");
            let part = vec![b'x'; 65536];
            while guest.client.try_send(&part) {
                counter.fetch_add(part.len() as u64, Ordering::SeqCst);
            }
        }
    });
    let proxy = before(&origin);
    let mut client = Client::connect(proxy.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head().unwrap();
    // What fits into kernel buffers and the pipe moves; then everything stands.
    let now = || sent.load(Ordering::SeqCst);
    let stood = until("standstill", || {
        let before = now();
        let moved = within(Duration::from_millis(300), || (now() != before).then_some(()));
        (before > 0 && moved.is_none()).then_some(before)
    });
    assert!(stood < 64 * MIB as u64, "{stood} bytes taken for a client that reads nothing");
    let workers: u64 = proxy.workers().iter().map(|pid| resident(*pid)).max().unwrap();
    assert!(workers < 64 * 1024, "{workers} KiB");
}

#[test]
fn a_response_may_come_before_the_request_has_ended() {
    let origin = Origin::start(|mut guest| {
        while let Some(head) = guest.client.head() {
            guest.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig");
            let left = head.field("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
            if left > 0 {
                return; // it will not read the body, as origins do
            }
        }
    });
    let proxy = before(&origin);
    let mut client = Client::connect(proxy.address());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nfirst bytes");
    let response = client.response("POST");
    assert_eq!((response.status(), response.text()), (413, "big"));
}

#[test]
fn both_directions_may_flow_at_once() {
    let origin = Origin::start(|mut guest| {
        let head = guest.client.head().unwrap();
        assert_eq!(head.field("transfer-encoding"), Some("chunked"));
        guest.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        // Answers each chunk before the next one is sent.
        while let Some(size) = guest.client.line() {
            let count = usize::from_str_radix(&size, 16).unwrap();
            let bytes = guest.client.exactly(count + 2);
            guest.send(format!("{size}\r\n"));
            guest.send(bytes);
            if count == 0 {
                return;
            }
        }
    });
    let proxy = before(&origin);
    let mut client = Client::connect(proxy.address());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(client.head().unwrap().status(), 200);
    for n in 0..50 {
        client.send(format!("4\r\n{n:04}\r\n"));
        assert_eq!(client.line().as_deref(), Some("4"), "chunk {n} comes back at once");
        assert_eq!(client.exactly(6), format!("{n:04}\r\n").as_bytes());
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.line().as_deref(), Some("0"));
}

#[test]
fn a_truncated_response_is_never_passed_off_as_whole() {
    let origin = Origin::start(|mut guest| {
        if let Some(request) = guest.request() {
            guest.send(if request.line.contains("chunk") {
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
            } else {
                "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"
            });
        }
    });
    let proxy = before(&origin);
    for path in ["/length", "/chunk"] {
        let mut client = Client::connect(proxy.address());
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        // When the end came before any of it had been passed on, an error stands in its place.
        let status = client.head().expect("an answer, whole or not").status();
        if status == 502 {
            continue;
        }
        assert_eq!(status, 200);
        let rest = String::from_utf8(client.rest()).unwrap();
        assert!(!rest.contains("0\r\n\r\n"), "{path}: an end was made up: {rest:?}");
        assert!(rest.contains("hello") && rest.len() < 20, "{path}: {rest:?}");
    }
}

#[test]
fn an_aborted_upload_reaches_the_origin_as_an_abort() {
    let (tell, told) = std::sync::mpsc::channel();
    let origin = Origin::start(move |mut guest| {
        if guest.client.head().is_some() {
            let all = guest.client.rest();
            tell.send(all.len()).unwrap();
        }
    });
    let proxy = before(&origin);
    let mut client = Client::connect(proxy.address());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nonly this");
    client.reset();
    let got = told.recv_timeout(PATIENCE).expect("the origin's connection ends");
    assert!(got < 100, "{got} bytes");
    assert_eq!(proxy.workers().len(), 2, "the proxy is none the worse");
}
