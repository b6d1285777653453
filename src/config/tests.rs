//! Tests of the whole check.

use super::plan::{Action, Address, Format, ListenAddress};
use super::*;
use crate::route::{ListenerIndex, Request};

fn checked(text: &str) -> Checked {
    check(text.as_bytes(), &CheckContext::default())
}

#[track_caller]
fn plan(text: &str) -> Plan {
    let checked = checked(text);
    checked.plan.unwrap_or_else(|| panic!("{:#?}", checked.problems))
}

fn ids(text: &str) -> Vec<String> {
    checked(text).problems.into_iter().map(|problem| problem.id).collect()
}

fn rule_of<'p>(plan: &'p Plan, host: &str, path: &str) -> Option<&'p str> {
    let fields: [(&str, &str); 0] = [];
    let request = Request {
        listener: ListenerIndex(0),
        client: None,
        method: b"GET",
        host: host.as_bytes(),
        path: path.as_bytes(),
        query: None,
        fields: &fields,
    };
    plan.rule(plan.routes.lookup(&request)?).map(|rule| rule.name.as_str())
}

#[test]
fn the_least_document() {
    let plan = plan(r#"{"routes": {"*": {"backends": [{"address": "127.0.0.1:8081"}]}}}"#);
    assert_eq!(plan.format, Format::Current);
    assert_eq!(plan.listeners[0].name, "http");
    assert!(plan.listeners[0].addresses.is_empty());
    assert_eq!(plan.rules[0].action, Action::Pool(plan::PoolIndex(0)));
    assert_eq!(plan.pools[0].members[0].text, "127.0.0.1:8081");
    assert_eq!(plan.pools[0].members[0].max_failures, 5);
    assert_eq!(rule_of(&plan, "any", "/x"), Some("*"));
}

#[test]
fn a_seed_document_is_valid_unchanged() {
    let text = r#"{
        "root": "127.0.0.1:8080",
        "routes": {
            "*": {"backends": [{"host": "127.0.0.1:8081", "max_failure": 3}, {"host": "127.0.0.1"}],
                  "strategy": "round-robin"},
            "/about.html": {"backends": [{"host": "127.0.0.1:8084"}]},
            "/game/*": {"backends": [{"host": "127.0.0.1:8086"}, {"host": "127.0.0.1:8086"}]},
            "/": {"backends": [{"host": "127.0.0.1:8087"}]}
        }
    }"#;
    let plan = plan(text);
    assert_eq!(plan.format, Format::Seed);
    let root = "127.0.0.1:8080".parse().expect("an address");
    assert_eq!(plan.listeners[0].addresses, [ListenAddress::Tcp(root)]);
    for (path, rule) in [
        ("/", "/"),
        ("/about.html", "/about.html"),
        ("/about.html/", "/about.html"),
        ("/about.html/x", "*"),
        ("/game", "/game/*"),
        ("/game/", "/game/*"),
        ("/game/x", "/game/*"),
        ("/a/game/x", "*"),
        ("/games", "*"),
    ] {
        assert_eq!(rule_of(&plan, "example.com:8080", path), Some(rule), "{path}");
    }
    let members = &plan.pools.iter().find(|pool| pool.name == "/game/*").expect("a pool").members;
    assert_eq!(members.len(), 2);
    assert_ne!(members[0].id, members[1].id);
    assert_eq!(ids(text), ["seed-prefix"]);
}

#[test]
fn every_identifier_of_the_seed() {
    let backend = r#"{"backends": [{"host": "127.0.0.1"}]}"#;
    let with = |routes: &str| format!(r#"{{"root": "127.0.0.1", "routes": {routes}}}"#);
    let main = |route: &str| with(&format!(r#"{{"*": {route}}}"#));
    let hosts = |host: &str| main(&format!(r#"{{"backends": [{host}]}}"#));
    for (id, text) in [
        ("SyntaxError", r#"{"root": "#.to_owned()),
        (
            "InvalidRootType",
            r#"{"root": 1, "routes": {"*": {"backends": [{"host": "a"}]}}}"#.to_owned(),
        ),
        ("InvalidRootType", format!(r#"{{"root": "example.com", "routes": {{"*": {backend}}}}}"#)),
        ("MissingRoutesField", r#"{"root": "127.0.0.1"}"#.to_owned()),
        ("InvalidRoutesField", with("[]")),
        ("DuplicateRoute", with(&format!(r#"{{"*": {backend}, "*": {backend}}}"#))),
        ("InvalidRouteEndWith", with(&format!(r#"{{"*": {backend}, "/a/": {backend}}}"#))),
        ("MissingMainRoute", with(&format!(r#"{{"/a": {backend}}}"#))),
        ("InvalidRouteStructure", main("1")),
        ("MissingBackendsField", main("{}")),
        ("InvalidBackendsArray", main(r#"{"backends": {}}"#)),
        ("EmptyBackendsArray", main(r#"{"backends": []}"#)),
        ("InvalidBackendStructure", hosts("1")),
        ("MissingBackendHost", hosts("{}")),
        ("InvalidBackendHost", hosts(r#"{"host": 1}"#)),
        ("InvalidBackendHost", hosts(r#"{"host": "1.2.3.400:80"}"#)),
        ("InvalidBackendMaxFailure", hosts(r#"{"host": "127.0.0.1", "max_failure": -1}"#)),
        ("InvalidBackendMaxFailure", hosts(r#"{"host": "127.0.0.1", "max_failure": "5"}"#)),
        ("UnsupportedStrategy", main(r#"{"backends": [{"host": "a"}], "strategy": "random"}"#)),
        ("InvalidStrategy", main(r#"{"backends": [{"host": "a"}], "strategy": 1}"#)),
        (
            "InvalidSSLConfig",
            format!(r#"{{"root": "1.1.1.1", "ssl": 1, "routes": {{"*": {backend}}}}}"#),
        ),
    ] {
        assert_eq!(ids(&text), [id], "{text}");
        assert!(checked(&text).plan.is_none(), "{text}");
    }
    let ssl =
        |ssl: &str| format!(r#"{{"root": "1.1.1.1", "ssl": {ssl}, "routes": {{"*": {backend}}}}}"#);
    assert_eq!(
        ids(&ssl("{}")),
        ["not-supported", "MissingCertificate", "MissingCertificatePrivateKey"]
    );
    let wrong = ids(&ssl(r#"{"ssl_certificate": 1, "ssl_certificate_key": 2}"#));
    assert_eq!(
        wrong,
        ["not-supported", "InvalidCertificateType", "InvalidCertificatePrivateKeyType"]
    );
}

#[test]
fn no_limit_of_the_seed_is_left() {
    let backend = r#"{"host": "127.0.0.1:8081"},"#.repeat(1_000);
    let text = format!(
        r#"{{"root": "127.0.0.1", "note": "a|b", "routes": {{"*": {{"backends": [{}]}}}}}}"#,
        backend.trim_end_matches(',')
    );
    assert_eq!(plan(&text).pools[0].members.len(), 1_000);
    assert_eq!(ids(&text), ["unknown-key"]);
}

#[test]
fn terms_come_from_the_nearest() {
    let plan = plan(
        r#"{
        "listeners": {"a": {"address": "127.0.0.1:1", "timeouts": {"connect": "2s", "request": "2s"}},
                      "b": {"address": "127.0.0.1:2"}},
        "routes": {"*": {"pool": "p", "timeouts": {"request": "off"}}, "/p/*": {"pool": "p"}},
        "pools": {"p": {"backends": [{"address": "[::1]:1"}], "timeouts": {"connect": "3s"},
                        "limits": {"waiting": 7}}},
        "timeouts": {"connect": "1s", "header": "1s", "request": "9s"},
        "limits": {"body_bytes": "1MiB", "header_fields": 50}
    }"#,
    );
    let seconds = |n| Some(std::time::Duration::from_secs(n));
    let (a, b) = (ListenerIndex(0), ListenerIndex(1));
    let star = plan.rules.iter().find(|rule| rule.name == "*").expect("a rule");
    let other = plan.rules.iter().find(|rule| rule.name == "/p/*").expect("a rule");
    let terms = |rule: &plan::Rule, listener| rule.terms(listener).expect("terms").clone();
    assert_eq!(terms(star, a).timeouts.connect, seconds(3));
    assert_eq!(terms(star, a).timeouts.request, None);
    assert_eq!(terms(other, a).timeouts.request, seconds(2));
    assert_eq!(terms(other, b).timeouts.request, seconds(9));
    assert_eq!(terms(other, b).timeouts.header, seconds(1));
    assert_eq!(terms(other, b).limits.body_bytes, Some(1 << 20));
    assert_eq!(terms(other, b).limits.waiting, 7);
    assert_eq!(plan.listeners[0].terms.timeouts.connect, seconds(2));
    assert_eq!(plan.pools[0].terms.timeouts.connect, seconds(3));
    assert_eq!(plan.terms.limits.header_fields, 50);
}

#[test]
fn places_are_exact() {
    let text = "{\n  \"routes\": {\n    \"*\": {\"bäckends\": 1, \"pool\": \"x\"}\n  },\n  \"version\": 2\n}";
    let problems = checked(text).problems;
    let places: Vec<_> =
        problems.iter().map(|p| (p.line, p.column, p.pointer.as_str(), p.id.as_str())).collect();
    assert_eq!(
        places,
        [
            (3, 11, "/routes/*/bäckends", "unknown-key"),
            (3, 34, "/routes/*/pool", "unknown-pool"),
            (5, 14, "/version", "out-of-range"),
        ]
    );
    assert_eq!(problems[0].hint.as_deref(), Some("did you mean \"backends\"?"));
}

#[test]
fn a_name_is_an_address_too() {
    let plan = plan(r#"{"routes": {"*": {"backends": [{"host": "App.internal:81"}]}}}"#);
    let wanted = Address::Name { host: "app.internal".to_owned(), port: 81 };
    assert_eq!(plan.pools[0].members[0].address, wanted);
}

#[test]
fn connections_have_to_fit() {
    let text = r#"{"routes": {}, "limits": {"connections": 1000}}"#;
    let context = CheckContext { descriptors: Some(2_511) };
    let ids: Vec<_> = check(text.as_bytes(), &context).problems.into_iter().map(|p| p.id).collect();
    assert_eq!(ids, ["no-route", "out-of-range"]);
    assert!(check(text.as_bytes(), &CheckContext { descriptors: Some(2_512) }).plan.is_some());
}
