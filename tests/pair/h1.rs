//! HTTP/1 against itself.

use crate::wire::{End, Told, show};
use cloudcup::msg::{BodySize, Head};
use cloudcup::proto::h1::{Role, SendError};

fn request(method: &[u8], body: BodySize) -> Head {
    let mut head = Head::new();
    head.set_request(method, b"/p?q", b"example.org").expect("valid");
    head.push(b"Accept", b"*/*").expect("valid");
    head.body = body;
    head
}

fn response(status: u16, body: BodySize) -> Head {
    let mut head = Head::new();
    head.set_response(status);
    head.push(b"X-Kind", b"test").expect("valid");
    head.body = body;
    head
}

/// A whole exchange through two codecs; the bytes cross in pieces of `step`.
fn exchange(
    client: &mut End,
    server: &mut End,
    sent: &Head,
    answer: &Head,
    body: &[u8],
    step: usize,
) {
    client.conn.send_head(sent, &mut client.out).expect("room");
    if sent.body != BodySize::None {
        assert_eq!(client.conn.send_body(body, &mut client.out), Ok(body.len()));
    }
    client.conn.finish(None, &mut client.out).expect("room");
    server.feed_in_steps(&client.take_out(), step);
    let mut due = vec![Told::Head(show(sent))];
    if sent.body != BodySize::None && !body.is_empty() {
        due.push(Told::Body(body.to_vec()));
    }
    due.push(Told::End);
    assert_eq!(server.take_told(), due, "step {step}");

    server.conn.send_head(answer, &mut server.out).expect("room");
    if answer.body != BodySize::None {
        assert_eq!(server.conn.send_body(body, &mut server.out), Ok(body.len()));
    }
    server.conn.finish(None, &mut server.out).expect("room");
    client.feed_in_steps(&server.take_out(), step);
    let told = client.take_told();
    assert_eq!(told.last(), Some(&Told::End), "step {step}: {told:?}");
    assert!(matches!(&told[0], Told::Head(text) if text.contains("X-Kind: test")));
}

#[test]
fn exchanges_follow_each_other_on_one_connection() {
    for step in [1, 2, 3, 7, 50, 10_000] {
        let (mut client, mut server) = (End::new(Role::Client), End::new(Role::Server));
        for body in [BodySize::None, BodySize::Exact(5), BodySize::Streamed] {
            let answer_body = match body {
                BodySize::None => BodySize::Streamed,
                other => other,
            };
            let (sent, answer) = (request(b"PUT", body), response(200, answer_body));
            let sent = match body {
                BodySize::None => request(b"GET", body),
                _ => sent,
            };
            exchange(&mut client, &mut server, &sent, &answer, b"hello", step);
            assert!(client.conn.is_reusable(&client.input));
            assert!(server.conn.is_reusable(&server.input));
        }
    }
}

#[test]
fn promises_of_length_are_kept() {
    let mut client = End::new(Role::Client);
    client.conn.send_head(&request(b"PUT", BodySize::Exact(3)), &mut client.out).expect("room");
    assert_eq!(client.conn.send_body(b"four", &mut client.out), Err(SendError::TooMuch));
    assert_eq!(client.conn.send_body(b"12", &mut client.out), Ok(2));
    assert_eq!(client.conn.finish(None, &mut client.out), Err(SendError::TooLittle));
    assert_eq!(client.conn.sent_body(2), Err(SendError::TooMuch));
    assert_eq!(client.conn.sent_body(1), Ok(()));
    assert_eq!(client.conn.finish(None, &mut client.out), Ok(()));
    assert_eq!(client.conn.finish(None, &mut client.out), Err(SendError::OutOfOrder));
}

#[test]
fn a_connection_may_end_between_messages_only() {
    let mut server = End::new(Role::Server);
    server.eof();
    assert_eq!(server.take_told(), [Told::Closed]);
}
