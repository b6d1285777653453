//! Messages through the worker: framing, streaming, interim responses, tunnels.

use super::rig::{Origin, Peer, Rig, document};
use crate::observe::Counter;

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Lets `client` ask, `origin` (a connection) answer, and returns what each got.
fn exchange(
    rig: &mut Rig,
    client: &mut Peer,
    origin: &mut Peer,
    ask: &str,
    say: &str,
    end: &str,
) -> (String, String) {
    client.send(ask);
    let request = rig.expect(origin, "\r\n\r\n");
    origin.send(say);
    (request, rig.expect(client, end))
}

#[test]
fn requests_share_one_connection_to_the_backend() {
    let origin = Origin::new();
    let mut rig = Rig::to(&[&origin]);
    let (mut one, mut two) = (rig.client(), rig.client());
    one.send(GET);
    let mut back = rig.accept(&origin);
    let request = rig.expect(&mut back, "\r\n\r\n");
    assert!(request.starts_with("GET /x HTTP/1.1\r\nHost: a\r\n"), "{request}");
    assert!(request.contains("X-Forwarded-For: 127.0.0.1\r\n"), "{request}");
    assert!(!request.contains("Connection"), "{request}");
    back.send(OK);
    assert!(rig.expect(&mut one, "ok").starts_with("HTTP/1.1 200 OK\r\n"));
    for client in [&mut two, &mut one] {
        let (_, answer) = exchange(&mut rig, client, &mut back, GET, OK, "ok");
        assert!(answer.contains("Content-Length: 2\r\n"), "{answer}");
    }
    rig.assert_at_rest();
    assert_eq!((rig.worker.fronts(), rig.worker.backs()), (2, 1));
    assert_eq!(rig.worker.core.page.counter(Counter::Dials), 1);
    assert_eq!(rig.worker.core.page.counter(Counter::DialsReused), 2);
    assert_eq!(rig.worker.core.page.counter(Counter::Requests), 3);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::new();
    let mut rig = Rig::to(&[&origin]);
    let mut client = rig.client();
    client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut back = rig.accept(&origin);
    for n in 1..=3 {
        let request = rig.expect(&mut back, "\r\n\r\n");
        assert!(request.starts_with(&format!("GET /{n} ")), "{request}");
        rig.settle();
        back.pull();
        assert!(back.got.is_empty(), "one at a time");
        back.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{n}"));
    }
    let answers = rig.expect(&mut client, "\r\n\r\n3");
    assert!(answers.find("\r\n\r\n1") < answers.find("\r\n\r\n2"));
    rig.assert_at_rest();
}

#[test]
fn bodies_keep_their_bytes_in_every_framing() {
    let origin = Origin::new();
    let mut rig = Rig::to(&[&origin]);
    let mut client = rig.client();
    client.send("POST /l HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    let mut back = rig.accept(&origin);
    let request = rig.expect(&mut back, "hello");
    assert!(request.contains("Content-Length: 5\r\n"), "{request}");
    back.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n");
    let answer = rig.expect(&mut client, "0\r\nX-Sum: 1\r\n\r\n");
    assert!(answer.contains("Transfer-Encoding: chunked\r\n"), "{answer}");
    client.send("POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\nConnection: TE\r\n\r\n4;x=y\r\nwiki\r\n");
    rig.expect(&mut back, "wiki\r\n");
    client.send("0\r\nX-T: 2\r\n\r\n");
    rig.expect(&mut back, "0\r\nX-T: 2\r\n\r\n");
    back.send("HTTP/1.1 204 No Content\r\n\r\n");
    let answer = rig.expect(&mut client, "\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 204") && !answer.contains("Length"), "{answer}");
    rig.assert_at_rest();
    assert_eq!(rig.worker.backs(), 1);
}

#[test]
fn responses_without_a_body_keep_the_connection() {
    let origin = Origin::new();
    let mut rig = Rig::to(&[&origin]);
    let mut client = rig.client();
    client.send("HEAD /h HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut back = rig.accept(&origin);
    rig.expect(&mut back, "\r\n\r\n");
    back.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    assert!(rig.expect(&mut client, "\r\n\r\n").contains("Content-Length: 1000"));
    let not_modified = "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n";
    let (_, answer) = exchange(&mut rig, &mut client, &mut back, GET, not_modified, "\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 304"), "{answer}");
    exchange(&mut rig, &mut client, &mut back, GET, OK, "ok");
    rig.assert_at_rest();
}

#[test]
fn old_clients_and_old_backends_are_understood() {
    let origin = Origin::new();
    let mut rig = Rig::to(&[&origin]);
    let mut client = rig.client();
    client.send("GET / HTTP/1.0\r\n\r\n");
    let mut back = rig.accept(&origin);
    assert!(rig.expect(&mut back, "\r\n\r\n").starts_with("GET / HTTP/1.1\r\n"));
    back.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    let answer = rig.expect_end(&mut client);
    assert!(answer.ends_with("\r\n\r\nhello") && !answer.contains("chunked"), "{answer}");
    let mut client = rig.client();
    client.send(GET);
    rig.expect(&mut back, "\r\n\r\n");
    back.send("HTTP/1.0 200 OK\r\n\r\nuntil the end");
    drop(back);
    let answer = rig.expect(&mut client, "0\r\n\r\n");
    assert!(answer.contains("until the end"), "{answer}");
    rig.assert_at_rest();
    assert_eq!((rig.worker.fronts(), rig.worker.backs()), (1, 0));
}

#[test]
fn a_client_that_asks_for_the_end_gets_it() {
    let origin = Origin::new();
    let mut rig = Rig::to(&[&origin]);
    let mut client = rig.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let mut back = rig.accept(&origin);
    rig.expect(&mut back, "\r\n\r\n");
    back.send(OK);
    let answer = rig.expect_end(&mut client);
    assert!(answer.contains("Connection: close\r\n") && answer.ends_with("ok"), "{answer}");
    rig.assert_at_rest();
    assert_eq!((rig.worker.fronts(), rig.worker.backs()), (0, 1));
}

#[test]
fn a_client_may_end_its_direction_before_the_answer() {
    let origin = Origin::new();
    let mut rig = Rig::to(&[&origin]);
    let mut client = rig.client();
    client.send(GET);
    client.shutdown();
    let mut back = rig.accept(&origin);
    rig.expect(&mut back, "\r\n\r\n");
    rig.settle();
    back.send(OK);
    assert!(rig.expect_end(&mut client).ends_with("ok"));
    rig.assert_at_rest();
}

#[test]
fn interim_responses_pass_and_a_100_lets_the_body_flow() {
    let origin = Origin::new();
    let mut rig = Rig::to(&[&origin]);
    let mut client = rig.client();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    let mut back = rig.accept(&origin);
    assert!(rig.expect(&mut back, "\r\n\r\n").contains("Expect: 100-continue\r\n"));
    back.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    rig.expect(&mut client, "HTTP/1.1 100 Continue\r\n\r\n");
    assert!(rig.expect(&mut client, "\r\n\r\n").contains("Link: </a>"));
    client.send("body");
    rig.expect(&mut back, "body");
    back.send(OK);
    assert!(rig.expect(&mut client, "ok").starts_with("HTTP/1.1 200"));
    exchange(&mut rig, &mut client, &mut back, GET, OK, "ok");
    rig.assert_at_rest();
}

#[test]
fn a_refused_expectation_ends_the_connection() {
    let origin = Origin::new();
    let mut rig = Rig::to(&[&origin]);
    let mut client = rig.client();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    let mut back = rig.accept(&origin);
    rig.expect(&mut back, "\r\n\r\n");
    back.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
    let answer = rig.expect(&mut client, "\r\n\r\n");
    assert!(answer.contains("Connection: close\r\n"), "{answer}");
    drop(client);
    drop(back);
    rig.until(|rig| rig.worker.fronts() == 0 && rig.worker.backs() == 0);
    rig.assert_at_rest();
}

#[test]
fn an_early_answer_goes_out_while_the_request_still_comes_in() {
    let origin = Origin::new();
    let mut rig = Rig::to(&[&origin]);
    let mut client = rig.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234");
    let mut back = rig.accept(&origin);
    rig.expect(&mut back, "01234");
    back.send(OK);
    rig.expect(&mut client, "ok");
    client.send("56789");
    rig.expect(&mut back, "56789");
    exchange(&mut rig, &mut client, &mut back, GET, OK, "ok");
    rig.assert_at_rest();
    assert_eq!((rig.worker.fronts(), rig.worker.backs()), (1, 1));
}

#[test]
fn an_early_answer_survives_the_reset_that_follows_it() {
    let origin = Origin::new();
    let mut rig = Rig::to(&[&origin]);
    let mut client = rig.client();
    let length = 4 << 20;
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
    let mut back = rig.accept(&origin);
    rig.expect(&mut back, "\r\n\r\n");
    back.send(
        "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig",
    );
    drop(back);
    let body = vec![b'x'; length];
    let mut sent = 0;
    rig.until(|_| {
        sent += client.push(&body[sent..(sent + 65_536).min(length)]);
        client.pull();
        client.got.ends_with(b"big")
    });
    assert!(client.got.starts_with(b"HTTP/1.1 413"));
    drop(client);
    rig.until(|rig| rig.worker.fronts() == 0);
    rig.assert_at_rest();
}

#[test]
fn an_upgrade_becomes_a_tunnel_that_closes_half_by_half() {
    let origin = Origin::new();
    let mut rig = Rig::to(&[&origin]);
    let mut client = rig.client();
    client.send(
        "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\ntoo early",
    );
    let mut back = rig.accept(&origin);
    let request = rig.expect(&mut back, "\r\n\r\n");
    assert!(request.contains("Upgrade: websocket\r\n"), "{request}");
    rig.settle();
    back.pull();
    assert!(back.got.is_empty(), "nothing belongs to the tunnel before the 101");
    back.send(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhi",
    );
    let answer = rig.expect(&mut client, "\r\n\r\nhi");
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    rig.expect(&mut back, "too early");
    client.send("ping");
    rig.expect(&mut back, "ping");
    back.send("pong");
    rig.expect(&mut client, "pong");
    client.shutdown();
    rig.until(|_| {
        back.pull();
        back.ended
    });
    back.send("last words");
    drop(back);
    assert_eq!(rig.expect_end(&mut client), "last words");
    rig.until(|rig| rig.worker.fronts() == 0);
    rig.assert_at_rest();
    assert_eq!(rig.worker.core.page.counter(Counter::Tunnels), 1);
}

/// Streams `length` bytes each way and checks each; returns the most blocks that were out.
fn stream(length: usize, splice: bool, chunked: bool) -> usize {
    let origin = Origin::new();
    let mut rig = Rig::to(&[&origin]);
    if !splice {
        rig.worker.set_splice_min(u64::MAX);
    }
    let mut client = rig.client();
    let head = match chunked {
        true => "Transfer-Encoding: chunked".to_owned(),
        false => format!("Content-Length: {length}"),
    };
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n"));
    let mut back = rig.accept(&origin);
    rig.expect(&mut back, "\r\n\r\n");
    let byte = |n: usize| (n * 31 + n / 251) as u8;
    let body: Vec<u8> = (0..length).map(byte).collect();
    let wire = |body: &[u8]| match chunked {
        true => {
            let chunk =
                |part: &[u8]| [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat();
            [body.chunks(50_000).flat_map(chunk).collect(), b"0\r\n\r\n".to_vec()].concat()
        }
        false => body.to_vec(),
    };
    let wired = wire(&body);
    let mut most = 0;
    let mut carry =
        |rig: &mut Rig, from: &mut Peer, to: &mut Peer, done: &dyn Fn(&[u8]) -> bool| {
            let mut sent = 0;
            rig.until(|rig| {
                sent += from.push(&wired[sent..]);
                most = most.max(rig.worker.core.bufs.out());
                to.pull();
                sent == wired.len() && done(&to.got)
            });
            std::mem::take(&mut to.got)
        };
    let complete =
        |got: &[u8]| if chunked { got.ends_with(b"0\r\n\r\n") } else { got.len() >= length };
    let up = carry(&mut rig, &mut client, &mut back, &complete);
    assert_eq!(unchunk(&up, chunked), body);
    back.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n"));
    rig.expect(&mut client, "\r\n\r\n");
    let down = carry(&mut rig, &mut back, &mut client, &complete);
    assert_eq!(unchunk(&down, chunked), body);
    rig.assert_at_rest();
    let spliced = rig.worker.core.page.counter(Counter::Spliced);
    assert_eq!(spliced > 0, splice && !chunked, "{spliced} bytes were spliced");
    most
}

fn unchunk(wire: &[u8], chunked: bool) -> Vec<u8> {
    if !chunked {
        return wire.to_vec();
    }
    let (mut rest, mut body) = (wire, Vec::new());
    while let Some(at) = memchr::memmem::find(rest, b"\r\n") {
        let size =
            usize::from_str_radix(std::str::from_utf8(&rest[..at]).expect("hex"), 16).expect("hex");
        body.extend_from_slice(&rest[at + 2..at + 2 + size]);
        rest = &rest[at + 2 + size + 2..];
        if size == 0 {
            break;
        }
    }
    body
}

#[test]
fn large_bodies_flow_in_bounded_memory() {
    for (splice, chunked) in [(true, false), (false, false), (false, true)] {
        let small = stream(1 << 20, splice, chunked);
        let large = stream(16 << 20, splice, chunked);
        assert!(large <= 6, "{large} blocks for one exchange, splice {splice}, chunked {chunked}");
        assert!(large <= small.max(6), "{large} against {small}");
    }
}

#[test]
fn nobody_is_waited_for_when_the_client_is_slow() {
    let origin = Origin::new();
    let mut rig = Rig::to(&[&origin]);
    rig.worker.set_splice_min(u64::MAX);
    let mut client = rig.client();
    client.send(GET);
    let mut back = rig.accept(&origin);
    rig.expect(&mut back, "\r\n\r\n");
    let length = 64 << 20;
    back.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"));
    let block = vec![b'z'; 1 << 20];
    let mut sent = 0;
    let mut stuck = 0;
    while stuck < 100 {
        let n = back.push(&block[..block.len().min(length - sent)]);
        sent += n;
        stuck = if n == 0 { stuck + 1 } else { 0 };
        rig.turn();
    }
    assert!(sent < length, "the backend was held up");
    assert!(rig.worker.core.bufs.out() <= 4, "{} blocks", rig.worker.core.bufs.out());
    let mut got = 0;
    rig.until(|_| {
        sent += back.push(&block[..block.len().min(length - sent)]);
        client.pull();
        got += client.got.len();
        client.got.clear();
        got >= length
    });
    rig.assert_at_rest();
}

#[test]
fn what_is_not_http_is_refused_and_closed() {
    let origin = Origin::new();
    let mut rig = Rig::to(&[&origin]);
    for (text, status) in [
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "400",
        ),
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/3.0\r\nHost: a\r\n\r\n", "505"),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "405"),
        ("GET /%2e%2e/x HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ] {
        let mut client = rig.client();
        client.send(text);
        let answer = rig.expect_end(&mut client);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{text:?}: {answer}");
        assert!(answer.contains("Connection: close\r\n"), "{answer}");
        drop(client);
        rig.until(|rig| rig.worker.fronts() == 0);
    }
    rig.assert_at_rest();
    assert_eq!(rig.worker.backs(), 0, "nothing of it went further");
}

#[test]
fn a_body_beyond_its_limit_is_refused() {
    let origin = Origin::new();
    let more = r#","limits":{"body_bytes":"10B"}"#;
    let mut rig = Rig::new(&document(&[origin.address], more));
    let mut client = rig.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n");
    assert!(rig.expect(&mut client, "\r\n\r\n").starts_with("HTTP/1.1 413"));
    drop(client);
    let mut client = rig.client();
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n12345678\r\n");
    let back = rig.accept(&origin);
    client.send("8\r\n12345678\r\n");
    assert!(rig.expect(&mut client, "\r\n\r\n").starts_with("HTTP/1.1 413"));
    drop((client, back));
    rig.until(|rig| rig.worker.fronts() == 0 && rig.worker.backs() == 0);
    rig.assert_at_rest();
    assert_eq!(rig.worker.core.page.counter(Counter::BodyLimit), 2);
}
