//! What origins are told of the client, and what clients may not forge.

use crate::support::client::Client;
use crate::support::origin::Origin;
use crate::support::proxy::Setup;
use crate::{before, routes, to};

const FORGED: &str = "GET / HTTP/1.1\r\nHost: shop.example\r\nX-Forwarded-For: 6.6.6.6\r\n\
    x-forwarded-proto: https\r\nX-Forwarded-Host: evil.example\r\nForwarded: for=6.6.6.6\r\n\
    X-Real-IP: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nX-Request-Id: forged\r\n\r\n";

#[test]
fn a_client_cannot_forge_who_it_is() {
    let origin = Origin::saying("x");
    let proxy = before(&origin);
    let mut client = Client::connect(proxy.address());
    client.send(FORGED);
    assert_eq!(client.response("GET").status(), 200);
    let seen = origin.last();
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.field("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.field("x-forwarded-host"), Some("shop.example"));
    assert_eq!(seen.field("host"), Some("shop.example"));
    assert_eq!(seen.field("x_forwarded_for"), None, "underscores are the same name to many");
    assert!(seen.field("x-real-ip").is_none_or(|ip| ip == "127.0.0.1"));
    let id = seen.field("x-request-id").expect("each request has an id");
    assert_ne!(id, "forged");
    for (name, value) in &seen.fields {
        assert!(!value.contains("6.6.6.6"), "{name}: {value}");
    }
}

#[test]
fn a_trusted_proxy_is_believed_up_to_the_first_stranger() {
    let origin = Origin::saying("x");
    let config = routes(&to(&[&origin.address])).replacen(
        "\"address\": \"127.0.0.1:0\"",
        "\"address\": \"127.0.0.1:0\", \"trusted_proxies\": [\"127.0.0.0/8\", \"10.0.0.0/8\"]",
        1,
    );
    let proxy = Setup::new(&config).start();
    let mut client = Client::connect(proxy.address());
    client.send(
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.1.1.1\r\n\
         X-Forwarded-Proto: https\r\nX-Request-Id: known-7\r\n\r\n",
    );
    assert_eq!(client.response("GET").status(), 200);
    let seen = origin.last();
    let chain = seen.all("x-forwarded-for").join(", ");
    assert!(chain.ends_with("127.0.0.1"), "the peer is added: {chain}");
    assert!(chain.contains("203.0.113.9"), "{chain}");
    assert_eq!(seen.field("x-forwarded-proto"), Some("https"));
    assert_eq!(seen.field("x-request-id"), Some("known-7"));
}

#[test]
fn fields_that_name_the_user_come_from_trusted_proxies_only() {
    let origin = Origin::saying("x");
    let listener = |trusted: &str| {
        let keys = format!(
            "\"address\": \"127.0.0.1:0\", \"identity_fields\": [\"X-Remote-User\"], \
             \"trusted_proxies\": [{trusted}]"
        );
        routes(&to(&[&origin.address])).replacen("\"address\": \"127.0.0.1:0\"", &keys, 1)
    };
    for (trusted, expect) in [("", None), ("\"127.0.0.0/8\"", Some("alice"))] {
        let proxy = Setup::new(&listener(trusted)).start();
        let mut client = Client::connect(proxy.address());
        client.send(
            "GET / HTTP/1.1\r\nHost: a\r\nX-REMOTE-User: alice\r\nx_remote_user: root\r\n\r\n",
        );
        assert_eq!(client.response("GET").status(), 200);
        assert_eq!(origin.last().field("x-remote-user"), expect);
        assert_eq!(origin.last().field("x_remote_user"), None);
    }
}

#[test]
fn via_names_the_proxy_on_both_ways() {
    let origin = Origin::saying("x");
    let proxy = before(&origin);
    let mut client = Client::connect(proxy.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\nVia: 1.0 first\r\n\r\n");
    let response = client.response("GET");
    assert!(response.all("via").join(",").contains("1.1 "), "{response:?}");
    let via = origin.last().all("via").join(", ");
    assert!(via.starts_with("1.0 first") && via.contains("1.1 "), "{via}");
}
