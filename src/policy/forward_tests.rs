//! Tests of `forward`.

use super::*;
use crate::base::seed::Seed;
use proptest::prelude::*;

fn facts<'a>(peer: &str, trusted: &'a [IpNet]) -> Facts<'a> {
    let request_id = RequestId::new(&mut Seed::new(1));
    Facts { peer: peer.parse().ok(), secure: false, trusted_proxies: trusted, request_id }
}

fn request(fields: &[(&str, &str)]) -> Head {
    let mut head = Head::new();
    head.set_request(b"GET", b"/", b"shop.example:8080").unwrap();
    for (name, value) in fields {
        head.push(name.as_bytes(), value.as_bytes()).unwrap();
    }
    head
}

fn text(head: &Head) -> Vec<String> {
    let line = |name: &[u8], value: &[u8]| {
        format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
    };
    head.fields().map(|field| line(field.name, field.value)).collect()
}

const FORGED: &[(&str, &str)] = &[
    ("Forwarded", "for=6.6.6.6"),
    ("X-Forwarded-For", "6.6.6.6"),
    ("x_forwarded_for", "6.6.6.6"),
    ("X-FORWARDED_Proto", "https"),
    ("X-Forwarded-Host", "evil"),
    ("X-Forwarded-Port", "1"),
    ("X-Forwarded-Prefix", "/evil"),
    ("X-Forwarded-Server", "evil"),
    ("x-forwarded-anything", "evil"),
    ("X_Forwarded-Tls-Client-Cert", "evil"),
    ("X-Real-IP", "6.6.6.6"),
    ("x_real_ip", "6.6.6.6"),
    ("X-Request-ID", "evil"),
    ("X-Remote-User", "root"),
    ("x_remote_user", "root"),
    ("Any_Name", "evil"),
];

#[test]
fn a_stranger_is_not_believed_in_any_spelling() {
    let mut head = request(FORGED);
    head.push(b"Accept", b"*/*").unwrap();
    let rules =
        Forwarding { identity_fields: vec!["X-Remote-User".into()], keep_underscores: true };
    let client = apply_request(&mut head, &facts("192.0.2.7", &[]), &rules);
    assert_eq!(client, Some("192.0.2.7".parse().unwrap()));
    let id = RequestId::new(&mut Seed::new(1));
    assert_eq!(
        text(&head),
        [
            "Any_Name: evil",
            "Accept: */*",
            "X-Forwarded-For: 192.0.2.7",
            "X-Real-IP: 192.0.2.7",
            "X-Forwarded-Proto: http",
            "X-Forwarded-Host: shop.example:8080",
            "Forwarded: for=192.0.2.7;host=\"shop.example:8080\";proto=http",
            &format!("X-Request-Id: {id:?}"),
            "Via: 1.1 cloudcup",
        ]
    );
    let mut head = request(FORGED);
    apply_request(&mut head, &facts("192.0.2.7", &[]), &Forwarding::default());
    assert!(!text(&head).iter().any(|line| line.starts_with("Any_Name")));
}

#[test]
fn a_trusted_proxy_is_believed_and_hearsay_is_cut() {
    let trusted = ["10.0.0.0/8".parse().unwrap()];
    let mut head = request(&[
        ("X-Forwarded-For", "6.6.6.6, 192.0.2.9"),
        ("X-Forwarded-For", "10.0.0.2"),
        ("Forwarded", "for=7.7.7.7"),
        ("X-Forwarded-Proto", "HTTPS"),
        ("X-Forwarded-Host", "www.example"),
        ("X-Forwarded-Prefix", "/shop"),
        ("X-Request-Id", "abc-123"),
        ("X-Remote-User", "alice"),
        ("X_Forwarded_For", "6.6.6.6"),
        ("Via", "2 edge"),
    ]);
    let rules =
        Forwarding { identity_fields: vec!["X-Remote-User".into()], keep_underscores: false };
    let client = apply_request(&mut head, &facts("10.0.0.1", &trusted), &rules);
    assert_eq!(client, Some("192.0.2.9".parse().unwrap()));
    let lines = text(&head);
    for expect in [
        "X-Forwarded-For: 192.0.2.9, 10.0.0.2, 10.0.0.1",
        "X-Real-IP: 192.0.2.9",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: www.example",
        "X-Forwarded-Prefix: /shop",
        "Forwarded: for=192.0.2.9;host=\"www.example\";proto=https, for=10.0.0.2, for=10.0.0.1",
        "X-Request-Id: abc-123",
        "X-Remote-User: alice",
        "Via: 2 edge",
        "Via: 1.1 cloudcup",
    ] {
        assert!(lines.iter().any(|line| line == expect), "{expect} in {lines:#?}");
    }
    assert_eq!(lines.len(), 10, "{lines:#?}");
}

#[test]
fn a_trusted_proxy_may_use_the_standard_field() {
    let trusted = ["10.0.0.1/32".parse().unwrap()];
    let mut head = request(&[("Forwarded", "for=6.6.6.6, for=\"[2001:db8::1]:99\";proto=https")]);
    let client = apply_request(&mut head, &facts("10.0.0.1", &trusted), &Forwarding::default());
    assert_eq!(client, Some("2001:db8::1".parse().unwrap()));
    assert_eq!(head.get_known(Known::XForwardedFor), Some(&b"2001:db8::1, 10.0.0.1"[..]));
    let forwarded = "for=\"[2001:db8::1]\";host=\"shop.example:8080\";proto=http, for=10.0.0.1";
    assert_eq!(head.get_known(Known::Forwarded), Some(forwarded.as_bytes()));
}

#[test]
fn a_trusted_proxy_with_strange_values_is_not_repeated() {
    let trusted = ["10.0.0.1/32".parse().unwrap()];
    let mut head = request(&[
        ("X-Forwarded-Proto", "https, http"),
        ("X-Forwarded-Host", "a, b"),
        ("X-Request-Id", "a b"),
        ("X-Forwarded-For", "unknown"),
    ]);
    apply_request(&mut head, &facts("10.0.0.1", &trusted), &Forwarding::default());
    assert_eq!(head.get_known(Known::XForwardedProto), Some(&b"http"[..]));
    assert_eq!(head.get_known(Known::XForwardedHost), Some(&b"shop.example:8080"[..]));
    assert_eq!(head.get_known(Known::XRequestId).unwrap().len(), 26);
    assert_eq!(head.get_known(Known::XForwardedFor), Some(&b"10.0.0.1"[..]));
}

#[test]
fn a_unix_peer_has_no_address() {
    let mut head = request(&[("X-Forwarded-For", "6.6.6.6"), ("X-Real-IP", "6.6.6.6")]);
    assert_eq!(apply_request(&mut head, &facts("", &[]), &Forwarding::default()), None);
    assert_eq!(head.get_known(Known::XForwardedFor), None);
    assert_eq!(head.get_known(Known::XRealIp), None);
    let forwarded = "for=unknown;host=\"shop.example:8080\";proto=http";
    assert_eq!(head.get_known(Known::Forwarded), Some(forwarded.as_bytes()));
}

#[test]
fn responses_pass_with_a_via() {
    let mut head = Head::new();
    head.set_response(200);
    head.push(b"Via", b"1.0 inner").unwrap();
    apply_response(&mut head);
    assert_eq!(text(&head), ["Via: 1.0 inner", "Via: 1.1 cloudcup"]);
}

proptest! {
    /// Whatever a stranger sends, the backend sees one of each field, with our words.
    #[test]
    fn no_value_of_a_stranger_survives(
        fields in prop::collection::vec(("(?i-u:x[-_]forwarded[-_](for|host|proto|by|[a-z]{1,9})|x[-_]real[-_]ip|forwarded|x[-_]request[-_]id)", "[ -~]{0,40}"), 0..12),
    ) {
        let mut head = request(&[]);
        for (name, value) in &fields {
            let marked = format!("MARK{value}");
            prop_assert!(head.push(name.as_bytes(), marked.as_bytes()).is_ok());
        }
        apply_request(&mut head, &facts("192.0.2.7", &[]), &Forwarding::default());
        prop_assert!(!text(&head).iter().any(|line| line.contains("MARK")));
        prop_assert_eq!(head.field_count(), 7);
    }

    /// Whatever a trusted proxy sends, there is one of each, and the client is an address.
    #[test]
    fn any_value_of_a_proxy_is_survived(
        fields in prop::collection::vec((0usize..4, "[ -~]{0,60}"), 0..12),
    ) {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let names = ["X-Forwarded-For", "Forwarded", "X-Forwarded-Host", "X-Forwarded-Proto"];
        let mut head = request(&[]);
        for (name, value) in &fields {
            prop_assert!(head.push(names[*name].as_bytes(), value.as_bytes()).is_ok());
        }
        let client = apply_request(&mut head, &facts("10.0.0.1", &trusted), &Forwarding::default());
        prop_assert!(client.is_some());
        for name in names {
            let count = head.fields().filter(|f| f.name.eq_ignore_ascii_case(name.as_bytes())).count();
            prop_assert_eq!(count, 1, "{}", name);
        }
    }
}

/// The short way for a peer of its own says what the long way would.
#[test]
fn the_short_way_and_the_long_way_agree() {
    let long = "x".repeat(300);
    for peer in [None, Some("192.0.2.7".parse().unwrap()), Some("2001:db8::1".parse().unwrap())] {
        for authority in ["", "a.example:8080", "[2001:db8::2]", "odd\"host", long.as_str()] {
            for secure in [false, true] {
                let mut short = Head::new();
                short.set_request(b"GET", b"/", authority.as_bytes()).unwrap();
                let mut whole = short.clone();
                let hops = Chain::of_peer(peer);
                tell_alone(&mut short, hops.client(), secure);
                tell_addresses(&mut whole, &hops);
                tell_origin(&mut whole, &hops, secure, false);
                let told = |head: &Head| -> Vec<(Known, Vec<u8>)> {
                    head.fields().map(|field| (field.known, field.value.to_vec())).collect()
                };
                assert_eq!(told(&short), told(&whole), "{peer:?} {authority}");
            }
        }
    }
}
