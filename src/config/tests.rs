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

/// A document with something of everything.
const RICH: &str = r#"{
  "listeners": {
    "http": { "addresses": ["0.0.0.0:80", "[::]:80", "unix:/run/a.sock"], "trusted_proxies": ["10.0.0.0/8"],
              "timeouts": { "idle": "5min" }, "limits": { "header_fields": 9, "header_bytes": "8KiB" } },
    "inner": { "address": "127.0.0.1:81", "protocols": ["h1"], "proxy_protocol": "off" }
  },
  "routes": {
    "*": { "backends": [ { "address": "127.0.0.1:8081", "max_failures": 0 }, { "address": "name:1" } ] },
    "api.example.com/v1/*": [
      { "name": "beta", "match": { "headers": { "X-Beta": ["1", "2"], "y": true }, "methods": ["GET"],
        "listeners": ["inner"], "query": { "q": "a b" }, "cookies": { "c": false }, "clients": ["::1"] },
        "pool": "beta" },
      { "name": "api", "pool": "api", "timeouts": { "response_header": "5s", "request": "off" },
        "limits": { "body_bytes": 5 } } ],
    "old.example.com/*": { "redirect": { "to": "https://new.example.com{path}" } },
    "/robots.txt": { "respond": { "body": "User-agent: *\n", "headers": { "X-A": "1" } } },
    "/gone": { "respond": { "status": 410 } }
  },
  "pools": {
    "api": { "backends": [ { "address": "unix:/run/b.sock" } ], "timeouts": { "connect": "1s" } },
    "beta": { "backends": [ { "address": "[::1]:9000" } ], "strategy": "round-robin" }
  },
  "limits": { "connections": 500, "body_bytes": "1GiB" },
  "log": { "access": "file:/var/log/a", "sample": 3, "query": true, "level": "warn" },
  "workers": { "count": 2, "threads": 3 }
}"#;

#[test]
fn what_is_in_effect_checks_to_the_same_plan() {
    for text in [RICH, r#"{"routes": {}}"#] {
        let first = plan(text);
        let written = effective(&first);
        assert!(plan(&written) == first, "{written}");
        assert_eq!(effective(&plan(&written)), written);
        assert!(serde_json::from_str::<serde_json::Value>(&written).is_ok(), "{written}");
    }
    let seed = r#"{"root": "1.1.1.1", "routes": {"*": {"backends": [{"host": "a"}]}}}"#;
    assert!(checked(&effective(&plan(seed))).plan.is_some());
}

#[test]
fn defaults_in_the_tables_are_those_of_the_checker() {
    for object in keys::ALL {
        for key in object.keys {
            let default = key.default.unwrap_or("null");
            assert!(serde_json::from_str::<serde_json::Value>(default).is_ok(), "{}", key.name);
        }
    }
    // A document that writes out every default of the tables is the document that writes none.
    let mut top = String::new();
    for key in keys::TOP.keys.iter().filter(|key| !matches!(key.name, "$schema" | "routes")) {
        let default = match &key.shape {
            shape::Shape::Object(object) => {
                let keys = object.keys.iter();
                let keys: Vec<String> = keys
                    .filter_map(|key| Some(format!("{:?}: {}", key.name, key.default?)))
                    .collect();
                format!("{{{}}}", keys.join(", "))
            }
            _ => key.default.expect("a default").to_owned(),
        };
        top.push_str(&format!("{:?}: {default}, ", key.name));
    }
    let written = plan(&format!(r#"{{{top} "routes": {{}}}}"#));
    assert_eq!(effective(&written), effective(&plan(r#"{"routes": {}}"#)));
}

fn sentences(old: &str, new: &str) -> Vec<String> {
    diff(&plan(old), &plan(new)).into_iter().map(|change| change.sentence).collect()
}

#[test]
fn differences_are_told() {
    assert_eq!(sentences(RICH, RICH), [""; 0]);
    let new = RICH
        .replace("\"max_failures\": 0", "\"max_failures\": 2")
        .replace("name:1", "other:1")
        .replace("\"/gone\"", "\"/away\"")
        .replace("{ \"connect\": \"1s\" }", "{ \"connect\": \"2s\", \"idle\": \"off\" }")
        .replace("\"connections\": 500", "\"connections\": \"auto\"")
        .replace("\"count\": 2", "\"count\": 4")
        .replace("unix:/run/a.sock", "unix:/run/c.sock")
        .replace("\"inner\"", "\"side\"");
    assert_eq!(
        sentences(RICH, &new),
        [
            "listener \"inner\" is removed",
            "listener \"http\" changes: addresses from [\"0.0.0.0:80\", \"[::]:80\", \
             \"unix:/run/a.sock\"] to [\"0.0.0.0:80\", \"[::]:80\", \"unix:/run/c.sock\"]",
            "listener \"side\" is added",
            "route \"/gone\" is removed",
            "route \"beta\" changes: match.listeners from [\"inner\"] to [\"side\"]",
            "route \"/away\" is added",
            "pool \"api\" changes: timeouts.connect from \"1s\" to \"2s\", timeouts.idle is now \"off\"",
            "backend name:1 of \"*\" is removed",
            "backend 127.0.0.1:8081 of \"*\" changes: max_failures from 0 to 2",
            "backend other:1 of \"*\" is added",
            "\"limits\" changes: connections from 500 to \"auto\"",
            "\"workers\" changes: count from 2 to 4",
        ]
    );
    let swapped = |a: &str, b: &str| {
        let rule = |m: &str| {
            format!(r#"{{"name": "{m}", "match": {{"methods": ["{m}"]}}, "respond": {{}}}}"#)
        };
        format!(r#"{{"routes": {{"*": [{}, {}]}}}}"#, rule(a), rule(b))
    };
    assert_eq!(
        sentences(&swapped("A", "B"), &swapped("B", "A")),
        [r#"route "*" changes: order from ["A", "B"] to ["B", "A"]"#]
    );
}

#[test]
fn a_seed_file_and_its_current_form_differ_in_nothing_but_the_slash() {
    let seed = r#"{"root": "127.0.0.1:80", "routes": {"*": {"backends": [{"host": "a"}]}}}"#;
    let current = r#"{"listeners": {"http": {"address": "127.0.0.1:80"}},
                      "routes": {"*": {"backends": [{"address": "a:80"}]}}}"#;
    assert_eq!(sentences(seed, current), [""; 0]);
}

fn explained(plan: &Plan, url: &str, headers: &[(&str, &str)], listener: &str) -> Vec<String> {
    let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let request = ExplainRequest {
        url: url.to_owned(),
        headers,
        listener: Some(listener.to_owned()),
        client: Some(std::net::Ipv6Addr::LOCALHOST.into()),
        ..ExplainRequest::default()
    };
    let steps = explain(plan, &request).steps;
    let line = |step: &Step| {
        let sign = if step.passed { '+' } else { '-' };
        format!("{sign} {} {}: {}", step.stage, step.subject, step.reason)
    };
    steps.iter().filter(|step| step.subject != "terms").map(line).collect()
}

#[test]
fn reasons_are_told() {
    let plan = plan(RICH);
    let beta = [("x-beta", "2"), ("y", "")];
    assert_eq!(
        explained(&plan, "http://API.example.com:80/v1/x?q=a+b", &beta, "http"),
        [
            "+ request GET /v1/x on host \"API.example.com:80\": it comes by the listener \"http\"",
            "+ host api.example.com: the routes of this very host",
            "+ route api.example.com/v1/*: the longest prefix that is left",
            "- rule beta: the request came by another listener, the rule wants inner",
            "+ rule api: all conditions hold"
                .replace("all conditions hold", "it asks nothing more")
                .as_str(),
            "+ action pool \"api\": round-robin over unix:/run/b.sock",
        ]
    );
    let taken = explained(&plan, "api.example.com/v1/x?q=a+b", &beta, "inner");
    assert_eq!(taken[3], "+ rule beta: all conditions hold");
    let request = ExplainRequest { url: "/x".to_owned(), ..ExplainRequest::default() };
    let terms = explain(&plan, &request).steps.pop().expect("a step");
    assert_eq!(
        terms.reason,
        "time-outs handshake 10s, header 10s, body_idle 30s, idle 5min, connect 5s, response_header \
         1min, response_idle 1min, tunnel_idle 1h, request off; limits header_bytes 8KiB, \
         header_fields 9, body_bytes 1GiB, waiting 1024, idle_connections 256"
    );
    let taken = explained(&plan, "http://old.example.com/a?b", &[], "http");
    assert_eq!(
        taken.last().map(String::as_str),
        Some("+ action redirect 308: to https://new.example.com/a?b")
    );
    let taken = explained(&plan, "/a/../b", &[], "http");
    assert_eq!(
        taken,
        [
            "- request GET /a/../b on host \"\": refused with 400: the path holds a '.' or '..' segment"
        ]
    );
    let other = checked(r#"{"routes": {"/a": {"respond": {}}}}"#).plan.expect("a plan");
    assert_eq!(
        explained(&other, "/b", &[], "http"),
        [
            "+ request GET /b on host \"\": it comes by the listener \"http\"",
            "+ host *: the routes for every host",
            "+ action 404: no rule takes the request",
        ]
    );
    assert_eq!(explained(&other, "/b", &[], "x"), ["- request x: no listener has this name"]);
}

#[test]
fn no_problem_brings_a_line_or_an_escape_of_its_own() {
    let text = r#"{"routes": {"/a\n\u001b[2J\u202e": {"x\ny": 1, "respond": {}, "name": "a\u202eb"}},
        "a\nerror: b": 1, "listeners": {"h\u0007": {"address": "1\n2"}}, "pools": {"p\n": {"q\n": 1}}}"#;
    let problems = checked(text).problems;
    assert!(problems.len() >= 7, "{problems:#?}");
    for problem in problems {
        let shown = problem.to_string();
        assert!(!shown.chars().any(crate::route::unprintable), "{shown:?}");
    }
}
