//! HTTP/1 against itself.

use crate::wire::{End, Told, show};
use cloudcup::msg::{BodySize, Head};
use cloudcup::proto::h1::{Event, Offence, Role, SendError};

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

/// A server that has read `request`, and what it told.
fn server(request: &str) -> (End, Vec<Told>) {
    let mut server = End::new(Role::Server);
    server.feed(request.as_bytes());
    let told = server.take_told();
    (server, told)
}

/// What a server writes for this response and content.
fn answer(server: &mut End, head: &Head, body: &[u8]) -> String {
    server.conn.send_head(head, &mut server.out).expect("room and order");
    assert_eq!(server.conn.send_body(body, &mut server.out), Ok(body.len()));
    server.conn.finish(None, &mut server.out).expect("in order");
    String::from_utf8(server.take_out()).expect("text")
}

#[test]
fn pipelined_requests_wait_for_their_turn() {
    let one = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n";
    let two = "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    let (mut server, told) = server(&[one, two, one].concat());
    assert_eq!(told, [Told::Head("GET /1 @a None".into()), Told::End]);
    let event = server.conn.poll(&mut server.input, &mut server.head, &server.limits);
    assert_eq!(event, Ok(Event::Paused));
    assert_eq!(server.input.len(), two.len() + one.len(), "left alone");
    answer(&mut server, &response(200, BodySize::Exact(2)), b"ok");
    server.run();
    let told = server.take_told();
    assert_eq!(told[1..], [Told::Body(b"hi".to_vec()), Told::End]);
    answer(&mut server, &response(200, BodySize::Exact(2)), b"ok");
    server.run();
    assert_eq!(server.take_told().len(), 2);
    assert!(!server.conn.is_reusable(&server.input), "the third is unanswered");
}

#[test]
fn an_early_answer_leaves_the_rest_of_the_content_to_be_read() {
    let (mut server, told) = server("PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
    assert_eq!(told[1..], [Told::Body(b"he".to_vec())]);
    let text = answer(&mut server, &response(413, BodySize::None), b"");
    assert!(text.starts_with("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n"), "{text}");
    assert!(server.conn.we_are_done() && !server.conn.peer_is_done());
    assert!(!server.conn.is_reusable(&server.input));
    assert_eq!(server.conn.body_remaining(), Some(3));
    server.feed(b"lloGET /b HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(server.take_told(), [Told::Body(b"llo".to_vec()), Told::End]);
    server.run();
    assert_eq!(server.take_told(), [Told::Head("GET /b @a None".into()), Told::End]);
}

#[test]
fn the_last_answer_says_so() {
    for (request, due) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", None),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", Some("close")),
        ("GET / HTTP/1.0\r\nHost: a\r\n\r\n", Some("close")),
        ("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", Some("keep-alive")),
        ("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n", Some("close")),
    ] {
        let (mut server, _) = server(request);
        let text = answer(&mut server, &response(200, BodySize::Exact(2)), b"ok");
        let said = text.lines().find_map(|line| line.strip_prefix("Connection: "));
        assert_eq!(said, due, "{request}");
        assert_eq!(server.conn.is_over(), due == Some("close"), "{request}");
        assert_eq!(server.conn.is_reusable(&server.input), due != Some("close"), "{request}");
    }
    let (mut server, _) = server("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    server.conn.close_after();
    let text = answer(&mut server, &response(200, BodySize::Exact(2)), b"ok");
    assert!(text.contains("\r\nConnection: close\r\n") && server.conn.is_over());
}

#[test]
fn content_of_unknown_length_is_chunked_or_ends_the_connection() {
    for (request, due) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\nHost: a\r\n\r\n", "\r\n\r\nok"),
    ] {
        let (mut server, _) = server(request);
        let text = answer(&mut server, &response(200, BodySize::Streamed), b"ok");
        assert!(text.ends_with(due), "{text}");
        assert_eq!(text.contains("Transfer-Encoding: chunked"), !request.contains("1.0"), "{text}");
        assert_eq!(server.conn.is_over(), request.contains("1.0"));
    }
}

#[test]
fn answers_without_content_swallow_it_and_keep_its_length() {
    for (method, status, due) in
        [("HEAD", 200, Some("2")), ("GET", 304, Some("2")), ("GET", 204, None), ("HEAD", 204, None)]
    {
        let (mut server, _) = server(&format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        let text = answer(&mut server, &response(status, BodySize::Exact(2)), b"ok");
        let length = text.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        assert_eq!(length, due, "{method} {status}");
        assert!(text.ends_with("\r\n\r\n"), "{text}");
        assert!(server.conn.is_reusable(&server.input));
    }
}

#[test]
fn interim_answers_come_before_the_final_one_and_not_to_http_1_0() {
    for (version, due) in [("1.1", 2), ("1.0", 0)] {
        let request = format!(
            "POST / HTTP/{version}\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        );
        let (mut server, told) = server(&request);
        let expects = matches!(&told[0], Told::Head(text) if text.contains("expect"));
        assert_eq!(expects, version == "1.1");
        server.conn.send_continue(&mut server.out).expect("in order");
        let mut hints = Head::new();
        hints.set_response(103);
        hints.push(b"Link", b"</a>").expect("valid");
        server.conn.send_head(&hints, &mut server.out).expect("in order");
        let text = String::from_utf8(server.take_out()).expect("text");
        assert_eq!(text.matches("HTTP/1.1 10").count(), due, "{text}");
        assert!(!text.contains("Content-Length"), "{text}");
        server.feed(b"ok");
        answer(&mut server, &response(200, BodySize::None), b"");
        assert_eq!(
            server.conn.send_continue(&mut server.out),
            Err(SendError::OutOfOrder),
            "the answer is out"
        );
    }
}

#[test]
fn a_switch_carries_the_bytes_behind_it() {
    for step in [1, 3, 1000] {
        let (mut client, mut server) = (End::new(Role::Client), End::new(Role::Server));
        let mut asks = request(b"GET", BodySize::None);
        asks.set_upgrade(b"websocket").expect("valid");
        client.conn.send_head(&asks, &mut client.out).expect("room");
        client.conn.finish(None, &mut client.out).expect("in order");
        let wire = [&client.take_out()[..], b"early"].concat();
        server.feed_in_steps(&wire, step);
        let told = server.take_told();
        assert_eq!(told.len(), 2, "nothing of what is behind it: {told:?}");
        assert!(matches!(&told[0], Told::Head(text) if text.contains("upgrade=websocket")));
        let mut switch = Head::new();
        switch.set_response(101);
        switch.set_upgrade(b"websocket").expect("valid");
        server.conn.send_head(&switch, &mut server.out).expect("it was offered");
        assert!(server.conn.is_switched());
        server.run();
        assert_eq!(server.take_told(), [Told::Switched(b"early".to_vec())]);
        let wire = [&server.take_out()[..], b"late"].concat();
        client.feed_in_steps(&wire, step);
        client.run();
        let told = client.take_told();
        assert!(matches!(&told[0], Told::Head(text) if text.starts_with("101 ")));
        assert_eq!(told[1], Told::Switched(b"late".to_vec()), "step {step}");
    }
}

#[test]
fn a_switch_that_was_not_offered_is_not_sent() {
    let (mut server, _) = server("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n");
    let mut switch = Head::new();
    switch.set_response(101);
    switch.set_upgrade(b"websocket").expect("valid");
    assert_eq!(server.conn.send_head(&switch, &mut server.out), Err(SendError::OutOfOrder));
    assert!(server.out.is_empty());
}

#[test]
fn trailers_pass_where_they_can() {
    let mut trailers = Head::new();
    trailers.push(b"X-Sum", b"1").expect("valid");
    for (body, due) in [(BodySize::Streamed, 1), (BodySize::Exact(2), 0)] {
        let (mut client, mut server) = (End::new(Role::Client), End::new(Role::Server));
        client.conn.send_head(&request(b"PUT", body), &mut client.out).expect("room");
        client.conn.send_body(b"ok", &mut client.out).expect("in order");
        client.conn.finish(Some(&trailers), &mut client.out).expect("room");
        server.feed_in_steps(&client.take_out(), 1);
        let told = server.take_told();
        let trailers: Vec<_> = told.iter().filter(|t| matches!(t, Told::Trailers(_))).collect();
        assert_eq!(trailers.len(), due, "{told:?}");
        assert!(trailers.iter().all(|t| **t == Told::Trailers("\nX-Sum: 1".into())));
        assert_eq!(told.last(), Some(&Told::End));
    }
}

#[test]
fn an_offence_may_be_answered_and_then_it_is_over() {
    // The request before was a HEAD of HTTP/1.0 that stays: the error must be neither's.
    let head = "HEAD / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";
    let (mut server, _) = server(head);
    answer(&mut server, &response(200, BodySize::Exact(2)), b"ok");
    server.feed(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n");
    assert_eq!(server.take_told(), [Told::Offence(Offence::SpaceBeforeColon)]);
    let text = answer(&mut server, &response(400, BodySize::Exact(3)), b"bad");
    assert!(text.contains("\r\nConnection: close\r\n") && text.ends_with("\r\n\r\nbad"), "{text}");
    assert!(server.conn.is_over() && !server.conn.is_reusable(&server.input));
}

#[test]
fn bytes_may_go_past_the_buffers() {
    let (mut client, mut server) = (End::new(Role::Client), End::new(Role::Server));
    client
        .conn
        .send_head(&request(b"PUT", BodySize::Exact(1 << 40)), &mut client.out)
        .expect("room");
    assert!(client.conn.sends_plain());
    client.conn.sent_body((1 << 40) - 3).expect("as announced");
    assert_eq!(client.conn.send_remaining(), Some(3));
    server.feed(&client.take_out());
    assert_eq!(server.conn.body_remaining(), Some(1 << 40));
    server.conn.skip_body((1 << 40) - 3);
    client.conn.send_body(b"end", &mut client.out).expect("in order");
    client.conn.finish(None, &mut client.out).expect("in order");
    server.feed(&client.take_out());
    assert_eq!(server.take_told()[1..], [Told::Body(b"end".to_vec()), Told::End]);
    assert_eq!(server.conn.body_remaining(), Some(0));
}

#[test]
fn large_content_goes_through_small_buffers() {
    let body: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
    for size in [BodySize::Exact(100_000), BodySize::Streamed] {
        let (mut client, mut server) = (End::new(Role::Client), End::new(Role::Server));
        client.conn.send_head(&request(b"PUT", size), &mut client.out).expect("room");
        let mut rest = &body[..];
        while !rest.is_empty() {
            let sent = client.conn.send_body(rest, &mut client.out).expect("in order");
            rest = &rest[sent..];
            server.feed_in_steps(&client.take_out(), 977);
        }
        client.conn.finish(None, &mut client.out).expect("in order");
        server.feed(&client.take_out());
        assert_eq!(server.take_told()[1..], [Told::Body(body.clone()), Told::End]);
    }
}

#[test]
fn a_head_that_cannot_be_sent_is_left_whole() {
    let mut client = End::new(Role::Client);
    let mut head = request(b"GET", BodySize::None);
    head.push(b"X", &[b'x'; 17_000]).expect("valid");
    assert_eq!(client.conn.send_head(&head, &mut client.out), Err(SendError::TooLarge));
    let mut head = request(b"GET", BodySize::None);
    head.push(b"X", &[b'x'; 10_000]).expect("valid");
    assert!(client.out.put(&[0; 8_000]));
    assert_eq!(client.conn.send_head(&head, &mut client.out), Err(SendError::NoRoom));
    client.out.clear();
    assert_eq!(client.conn.send_head(&head, &mut client.out), Ok(()), "nothing had changed");
}

#[test]
fn an_idle_backend_that_speaks_or_ends_is_of_no_use() {
    let mut client = End::new(Role::Client);
    client.feed(b"HTTP/1.1 408 Request Timeout\r\n\r\n");
    assert_eq!(client.take_told(), [Told::Offence(Offence::Unsolicited)]);
    let mut client = End::new(Role::Client);
    client.eof();
    assert_eq!(client.take_told(), [Told::Closed]);
    assert!(!client.conn.is_reusable(&client.input));
    let sent = client.conn.send_head(&request(b"GET", BodySize::None), &mut client.out);
    assert_eq!(sent, Err(SendError::OutOfOrder));
}

#[test]
fn a_half_closed_client_still_gets_its_answer() {
    let (mut server, _) = server("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    server.eof();
    assert_eq!(server.take_told(), []);
    let text = answer(&mut server, &response(200, BodySize::Exact(2)), b"ok");
    assert!(text.contains("\r\nConnection: close\r\n"));
    assert!(server.conn.is_over());
}
