//! Generated messages: whatever a head may hold arrives as it was sent, split as it may be.

use crate::wire::{End, Told, show};
use cloudcup::msg::{BodySize, Head, Known};
use cloudcup::proto::h1::Role;
use proptest::prelude::*;

fn field_name() -> impl Strategy<Value = Vec<u8>> {
    "[A-Za-z0-9!#$%&'*+.^`|~-]{1,24}"
        .prop_map(String::into_bytes)
        .prop_filter("connection-level names are not fields", |name| {
            !Known::of(name).is_connection_level()
        })
}

fn field_value() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(
        prop_oneof![4 => 0x21u8..0x7f, 1 => 0x80u8.., 1 => Just(b' '), 1 => Just(b'\t')],
        0..60,
    )
    .prop_map(|value| value.trim_ascii().to_vec())
}

fn fields() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
    prop::collection::vec((field_name(), field_value()), 0..12)
}

fn body() -> impl Strategy<Value = (BodySize, Vec<u8>)> {
    (0..3u8, prop::collection::vec(any::<u8>(), 0..400)).prop_map(|(kind, bytes)| match kind {
        0 => (BodySize::None, Vec::new()),
        1 => (BodySize::Exact(bytes.len() as u64), bytes),
        _ => (BodySize::Streamed, bytes),
    })
}

fn request() -> impl Strategy<Value = (Head, Vec<u8>)> {
    let start = ("[A-Z]{1,12}", "/[a-z0-9/%=&.~|-]{0,40}", "[a-z0-9.-]{1,20}(:[1-9][0-9]{0,3})?");
    (start, fields(), body())
        .prop_filter("their content is refused", |((method, ..), ..)| {
            !matches!(method.as_str(), "TRACE" | "CONNECT")
        })
        .prop_map(|((method, target, authority), fields, (size, body))| {
            let mut head = Head::new();
            let set = head.set_request(method.as_bytes(), target.as_bytes(), authority.as_bytes());
            set.expect("valid");
            finish(&mut head, &fields, size);
            (head, body)
        })
}

fn response() -> impl Strategy<Value = (Head, Vec<u8>)> {
    (200..600u16, fields(), body()).prop_map(|(status, fields, (size, body))| {
        let mut head = Head::new();
        head.set_response(status);
        finish(&mut head, &fields, size);
        (head, body)
    })
}

fn finish(head: &mut Head, fields: &[(Vec<u8>, Vec<u8>)], size: BodySize) {
    for (name, value) in fields {
        head.push(name, value).expect("valid");
    }
    head.body = size;
}

/// Sends a message by `from`, feeds it to `to` in steps, and returns what that told.
fn cross(from: &mut End, to: &mut End, head: &Head, body: &[u8], steps: &[usize]) -> Vec<Told> {
    from.conn.send_head(head, &mut from.out).expect("room");
    assert_eq!(from.conn.send_body(body, &mut from.out), Ok(body.len()));
    from.conn.finish(None, &mut from.out).expect("in order");
    let wire = from.take_out();
    let mut rest = &wire[..];
    for step in steps.iter().cycle() {
        let (piece, more) = rest.split_at((*step).min(rest.len()));
        to.feed(piece);
        rest = more;
        if rest.is_empty() {
            break;
        }
    }
    to.take_told()
}

/// What is told of a message: its head as `shown`, its content, its end.
fn due(shown: String, body: &[u8]) -> Vec<Told> {
    let content = (!body.is_empty()).then(|| Told::Body(body.to_vec()));
    [Some(Told::Head(shown)), content, Some(Told::End)].into_iter().flatten().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn exchanges_arrive_as_they_were_sent(
        (asks, sent) in request(),
        (answers, back) in response(),
        steps in prop::collection::vec(1usize..80, 1..6),
    ) {
        let (mut client, mut server) = (End::new(Role::Client), End::new(Role::Server));
        let told = cross(&mut client, &mut server, &asks, &sent, &steps);
        let mut shown = asks.clone();
        // Methods that anticipate content say that there is none.
        if asks.body == BodySize::None && asks.method().expects_content() {
            shown.body = BodySize::Exact(0);
        }
        prop_assert_eq!(told, due(show(&shown), &sent));

        let told = cross(&mut server, &mut client, &answers, &back, &steps);
        let mut shown = answers.clone();
        let bodiless = asks.method_text() == b"HEAD" || matches!(answers.status(), 204 | 304);
        match (bodiless, answers.body) {
            (true, size) => {
                shown.body = BodySize::None;
                shown.declared_length = match size {
                    BodySize::Exact(length) if answers.status() != 204 => Some(length),
                    _ => None,
                };
            }
            (false, BodySize::None) => shown.body = BodySize::Exact(0),
            _ => {}
        }
        let content = if bodiless { &[][..] } else { &back };
        prop_assert_eq!(told, due(show(&shown), content));
        prop_assert!(client.conn.is_reusable(&client.input));
        prop_assert!(server.conn.is_reusable(&server.input));
    }
}
