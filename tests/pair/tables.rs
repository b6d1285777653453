//! The tables of refused and of unusual valid messages, against the codec: whole, in small steps
//! and, where that is affordable, split at every byte.

use std::collections::BTreeSet;

use crate::read::{Case, read};
use crate::wire::{End, Told};
use cloudcup::base::buf::{Buf, BufPool};
use cloudcup::msg::{BodySize, Head};
use cloudcup::proto::h1::{Conn, Offence, Role};

const REQUESTS_REFUSED: &str = include_str!("../tables/requests-refused.tsv");
const REQUESTS_VALID: &str = include_str!("../tables/requests-valid.tsv");
const RESPONSES_REFUSED: &str = include_str!("../tables/responses-refused.tsv");
const RESPONSES_VALID: &str = include_str!("../tables/responses-valid.tsv");

/// Ways to cut `bytes` into two or more pieces.
fn cuts(bytes: &[u8]) -> Vec<Vec<&[u8]>> {
    let mut ways = vec![vec![bytes]];
    for step in [1, 2, 3, 7, 64] {
        if bytes.len() / step < 3000 {
            ways.push(bytes.chunks(step).collect());
        }
    }
    if bytes.len() < 600 {
        ways.extend((1..bytes.len()).map(|at| vec![&bytes[..at], &bytes[at..]]));
    }
    ways
}

/// An end that has asked what the table says.
fn asked(how: &str) -> End {
    let mut client = End::new(Role::Client);
    ask(&mut client, how);
    client
}

/// Makes `client` ask what the table says, afresh.
fn ask(client: &mut End, how: &str) {
    client.renew();
    let mut head = Head::new();
    let method = match how {
        "-" => return,
        "UPGRADE" => "GET",
        method => method,
    };
    head.set_request(method.as_bytes(), b"/", b"a.test").expect("valid");
    if how == "UPGRADE" {
        head.set_upgrade(b"websocket").expect("valid");
    }
    client.conn.send_head(&head, &mut client.out).expect("room");
    client.conn.finish(None, &mut client.out).expect("in order");
}

fn feed(end: &mut End, pieces: &[&[u8]]) {
    for piece in pieces {
        end.feed(piece);
        while matches!(end.told.last(), Some(Told::End)) && end.conn.role() == Role::Server {
            return;
        }
    }
}

/// What the end told at last, which must be the offence.
fn assert_offence(end: &mut End, case: &Case, due: &str, pieces: usize) {
    let told = end.take_told();
    match told.last() {
        Some(Told::Offence(offence)) if format!("{offence:?}") == due => {}
        other => {
            panic!("line {}: {}: {other:?} in {pieces} pieces, not {due}", case.line, case.name)
        }
    }
    let over = end.conn.poll(&mut end.input, &mut end.head, &end.limits);
    assert_eq!(over, Ok(cloudcup::proto::h1::Event::Closed), "{}: reads on", case.name);
    assert!(!end.conn.is_reusable(&end.input), "{}: reusable", case.name);
}

#[test]
fn refused_requests_are_refused_however_they_are_split() {
    let cases = read(REQUESTS_REFUSED, 2);
    assert!(cases.len() >= 300, "{}", cases.len());
    let mut server = End::new(Role::Server);
    for case in &cases {
        let bytes = case.bytes(1).expect("bytes");
        for pieces in cuts(&bytes) {
            server.renew();
            feed(&mut server, &pieces);
            assert_offence(&mut server, case, case.text(0), pieces.len());
        }
    }
}

#[test]
fn refused_responses_are_refused_however_they_are_split() {
    let mut client = End::new(Role::Client);
    for case in &read(RESPONSES_REFUSED, 4) {
        let bytes = case.bytes(3).unwrap_or_default();
        for pieces in cuts(&bytes) {
            ask(&mut client, case.text(0));
            feed(&mut client, &pieces);
            if case.text(2) == "eof" {
                client.eof();
            }
            assert_offence(&mut client, case, case.text(1), pieces.len());
        }
    }
}

#[test]
fn every_offence_has_a_case() {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    seen.extend(read(REQUESTS_REFUSED, 2).iter().map(|case| case.text(0).to_owned()));
    seen.extend(read(RESPONSES_REFUSED, 4).iter().map(|case| case.text(1).to_owned()));
    let all: BTreeSet<String> = Offence::ALL.iter().map(|o| format!("{o:?}")).collect();
    let without: Vec<_> = all.difference(&seen).collect();
    assert!(without.is_empty(), "no case for {without:?}");
    let unknown: Vec<_> = seen.difference(&all).collect();
    assert!(unknown.is_empty(), "no such offence: {unknown:?}");
}

fn fields(head: &Head) -> Vec<Vec<u8>> {
    head.fields().map(|field| [field.name, b": ", field.value].concat()).collect()
}

/// Polls one message out of `pieces`: its head, its content, and whether its end was told.
fn message(end: &mut End, pieces: &[&[u8]], eof: bool) -> (Head, Vec<u8>, bool) {
    let mut head = Head::new();
    let mut body = Vec::new();
    let mut scratch = Head::new();
    let mut rest = pieces.iter();
    loop {
        use cloudcup::proto::h1::Event;
        match end.conn.poll(&mut end.input, &mut scratch, &end.limits) {
            Ok(Event::Head) => std::mem::swap(&mut head, &mut scratch),
            Ok(Event::Body(len)) => {
                body.extend_from_slice(&end.input.data()[..len]);
                end.conn.take_body(len, &mut end.input);
            }
            Ok(Event::Interim | Event::Trailers) => {}
            Ok(Event::NeedMore) => match rest.next() {
                Some(piece) => {
                    assert_eq!(end.input.append(piece, &mut end.pool), piece.len());
                }
                None if eof => return (head, body, end.conn.on_eof(&end.input) == Ok(Event::End)),
                None => return (head, body, false),
            },
            Ok(Event::End) => {
                for piece in rest {
                    end.input.append(piece, &mut end.pool);
                }
                return (head, body, true);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn valid_requests_keep_their_meaning() {
    let cases = read(REQUESTS_VALID, 6);
    assert!(cases.len() >= 100, "{}", cases.len());
    let mut server = End::new(Role::Server);
    for case in &cases {
        let at = format!("line {}: {}", case.line, case.name);
        let bytes = case.bytes(5).expect("bytes");
        for (way, pieces) in cuts(&bytes).into_iter().enumerate() {
            server.renew();
            let (head, body, whole) = message(&mut server, &pieces, false);
            assert!(whole, "{at}");
            assert_eq!(head.method_text(), case.bytes(0).unwrap_or_default(), "{at}");
            assert_eq!(head.target(), case.bytes(1).unwrap_or_default(), "{at}");
            assert_eq!(head.authority(), case.bytes(2).unwrap_or_default(), "{at}");
            assert_eq!(fields(&head), case.lines(3), "{at}");
            assert_eq!(body, case.bytes(4).unwrap_or_default(), "{at}");
            assert!(server.input.is_empty(), "{at}: {:?}", server.input.data());
            // Without an authority the proxy's policy must name one first.
            if way == 0 && !head.authority().is_empty() {
                assert_meaning_crosses(&head, &body, &at);
            }
        }
    }
}

/// Sends the message on by a client codec and reads it with another server: nothing changes.
fn assert_meaning_crosses(head: &Head, body: &[u8], at: &str) {
    let mut client = End::new(Role::Client);
    client.conn.send_head(head, &mut client.out).expect(at);
    if head.body != BodySize::None {
        assert_eq!(client.conn.send_body(body, &mut client.out), Ok(body.len()), "{at}");
    }
    client.conn.finish(None, &mut client.out).expect(at);
    let wire = client.take_out();
    let mut origin = End::new(Role::Server);
    let (there, content, whole) = message(&mut origin, &[&wire], false);
    assert!(whole && origin.input.is_empty(), "{at}");
    assert_eq!(there.method_text(), head.method_text(), "{at}");
    assert_eq!(there.target(), head.target(), "{at}");
    assert_eq!(there.authority(), head.authority(), "{at}");
    assert_eq!(fields(&there), fields(head), "{at}");
    assert_eq!(content, body, "{at}");
    assert_eq!(there.upgrade(), head.upgrade(), "{at}");
    assert_eq!(there.expect_continue, head.expect_continue, "{at}");
    assert_eq!(there.accepts_trailers, head.accepts_trailers, "{at}");
}

#[test]
fn valid_responses_keep_their_meaning() {
    let mut client = End::new(Role::Client);
    for case in &read(RESPONSES_VALID, 8) {
        let at = format!("line {}: {}", case.line, case.name);
        let bytes = case.bytes(7).expect("bytes");
        for pieces in cuts(&bytes) {
            ask(&mut client, case.text(0));
            let (head, body, whole) = message(&mut client, &pieces, case.text(6) == "eof");
            assert!(whole, "{at}");
            assert_eq!(head.status().to_string(), case.text(1), "{at}");
            assert_eq!(head.reason(), case.bytes(2).unwrap_or_default(), "{at}");
            assert_eq!(fields(&head), case.lines(3), "{at}");
            assert_eq!(body, case.bytes(4).unwrap_or_default(), "{at}");
            let fit = if client.conn.is_reusable(&client.input) { "reuse" } else { "close" };
            assert_eq!(fit, case.text(5), "{at}");
        }
    }
}

/// A response read, sent on to a client of the other version, and read again.
#[test]
fn valid_responses_cross_to_both_versions() {
    for case in &read(RESPONSES_VALID, 8) {
        for version in ["HTTP/1.0", "HTTP/1.1"] {
            let at = format!("line {}: {} to {version}", case.line, case.name);
            let bytes = case.bytes(7).expect("bytes");
            let mut back = asked(case.text(0));
            let (head, body, _) = message(&mut back, &[&bytes], case.text(6) == "eof");
            let method = if case.text(0) == "HEAD" { "HEAD" } else { "GET" };
            let mut front = End::new(Role::Server);
            front.feed(format!("{method} / {version}\r\nHost: a.test\r\n\r\n").as_bytes());
            front.conn.send_head(&head, &mut front.out).expect(&at);
            assert_eq!(front.conn.send_body(&body, &mut front.out), Ok(body.len()), "{at}");
            front.conn.finish(None, &mut front.out).expect(&at);
            let closes = front.conn.is_over();
            let wire = front.take_out();
            let mut client = asked(method);
            let (there, content, whole) = message(&mut client, &[&wire], closes);
            assert!(whole, "{at}: {}", String::from_utf8_lossy(&wire));
            assert_eq!(there.status(), head.status(), "{at}");
            assert_eq!(fields(&there), fields(&head), "{at}");
            assert_eq!(content, body, "{at}");
            assert_eq!(there.declared_length, head.declared_length, "{at}");
            assert_eq!(client.conn.is_reusable(&client.input), !closes, "{at}");
        }
    }
}

#[test]
fn a_codec_needs_no_block_to_be_idle() {
    let pool = BufPool::new(1);
    let (conn, input) = (Conn::new(Role::Server), Buf::new());
    assert!(conn.is_reusable(&input) && !input.has_block() && pool.out() == 0);
    assert!(size_of::<Conn>() <= 64);
}
