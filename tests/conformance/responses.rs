//! Responses: a scripted origin answers with the bytes of the tables.

use crate::proxy;
use crate::read::{Case, read};
use crate::support::client::{Client, Message};
use crate::support::origin::{Origin, answer};

const REFUSED: &str = include_str!("../tables/responses-refused.tsv");
const VALID: &str = include_str!("../tables/responses-valid.tsv");

/// An answer from the table: the bytes, and whether the connection ends behind them.
struct Answer {
    bytes: Vec<u8>,
    ends: bool,
}

/// An origin that answers `/N` with the answer of that number and everything else properly.
fn origin(answers: Vec<Answer>) -> Origin {
    Origin::start(move |mut guest| {
        while let Some(request) = guest.request() {
            let number = request.line.split(['/', ' ']).nth(2).and_then(|word| word.parse().ok());
            let Some(answer) = number.and_then(|number: usize| answers.get(number)) else {
                guest.send(answer_to(&request.line));
                continue;
            };
            guest.send(&answer.bytes);
            if answer.ends {
                return;
            }
        }
    })
}

fn answer_to(line: &str) -> String {
    answer(line)
}

/// The request that a case asks for.
fn request(asked: &str, number: usize) -> String {
    let (method, more) = match asked {
        "UPGRADE" => ("GET", "Connection: Upgrade\r\nUpgrade: websocket\r\n"),
        method => (method, ""),
    };
    format!("{method} /{number} HTTP/1.1\r\nHost: a.test\r\n{more}\r\n")
}

fn method(asked: &str) -> &str {
    if asked == "HEAD" { "HEAD" } else { "GET" }
}

/// Whether what a client got is a message that was cut off, so that it can tell.
fn is_cut_off(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return true;
    };
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    match length {
        Some(length) => body.len() < length.parse().expect("a length"),
        None => head.contains("transfer-encoding: chunked") && !body.ends_with("0\r\n\r\n"),
    }
}

#[test]
fn refused_responses_reach_nobody_whole() {
    let cases: Vec<Case> =
        read(REFUSED, 4).into_iter().filter(|case| case.text(0) != "-").collect();
    let answers = cases.iter().map(|case| Answer {
        bytes: case.bytes(3).unwrap_or_default(),
        ends: case.text(2) == "eof",
    });
    let origin = origin(answers.collect());
    let proxy = proxy(&origin.address);
    let mut refused = 0;
    for (number, case) in cases.iter().enumerate() {
        let at = format!("line {}: {}", case.line, case.name);
        let mut client = Client::connect(proxy.address());
        client.send(request(case.text(0), number));
        let mut head = client.head().unwrap_or_else(|| panic!("{at}: closed without a word"));
        while head.status() < 200 {
            head = client.head().unwrap_or_else(|| panic!("{at}: nothing behind {head:?}"));
        }
        if head.status() == 502 {
            refused += 1;
        } else {
            // The head was in order and is out already: then the end must be missing.
            let lines = head.fields.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
            let mut wire = format!("{}\r\n{}\r\n", head.line, lines.collect::<String>());
            wire += &String::from_utf8_lossy(&client.rest());
            assert!(is_cut_off(wire.as_bytes()), "{at}: {wire}");
        }
        let canary = Client::connect(proxy.address()).get(&format!("/canary-{number}"));
        assert!(canary.text().contains(&format!("/canary-{number} ")), "{at}: {canary:?}");
    }
    assert!(refused >= 80, "only {refused} were refused with 502");
}

#[test]
fn valid_responses_arrive_as_they_were_meant() {
    let cases = read(VALID, 8);
    let answers = cases
        .iter()
        .map(|case| Answer { bytes: case.bytes(7).expect("bytes"), ends: case.text(6) == "eof" });
    let origin = origin(answers.collect());
    let proxy = proxy(&origin.address);
    for (number, case) in cases.iter().enumerate() {
        let at = format!("line {}: {}", case.line, case.name);
        let mut client = Client::connect(proxy.address());
        client.send(request(case.text(0), number));
        let response = final_response(&mut client, method(case.text(0)));
        assert_eq!(response.status().to_string(), case.text(1), "{at}");
        let lossy = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        for field in case.lines(3).into_iter().map(lossy) {
            let (name, value) = field.split_once(": ").expect("a field");
            assert!(response.all(name).contains(&value), "{at}: {field}: {response:?}");
        }
        assert_eq!(response.body, case.bytes(4).unwrap_or_default(), "{at}");
        for name in ["keep-alive", "proxy-connection", "proxy-authenticate", "te"] {
            assert_eq!(response.all(name), [""; 0], "{at}");
        }
        // Nothing behind the message comes through, on this connection or another.
        let again = client.get(&format!("/canary-{number}"));
        assert!(again.text().contains(&format!("/canary-{number} ")), "{at}: {again:?}");
    }
}

#[track_caller]
fn final_response(client: &mut Client, method: &str) -> Message {
    loop {
        let response = client.response(method);
        if response.status() >= 200 {
            return response;
        }
    }
}
