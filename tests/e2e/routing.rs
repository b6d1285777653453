//! Routing through the live proxy: hosts, paths, conditions, answers of the proxy's own, and that
//! `explain` tells beforehand what a worker then does.

use crate::support::client::Client;
use crate::support::origin::Origin;
use crate::support::proxy::{Proxy, Setup};
use crate::{routes, to, with};
use cloudcup::config::{self, CheckContext, ExplainRequest};

/// A route that answers with its own key.
fn echo(key: &str) -> String {
    format!("\"{key}\": {{\"respond\": {{\"body\": \"{key}\"}}}}")
}

fn answer(proxy: &Proxy, request: &str) -> (u16, String) {
    let mut client = Client::connect(proxy.address());
    client.send(request);
    let response = client.response(request.split(' ').next().unwrap_or_default());
    (response.status(), response.text().to_string())
}

fn get(proxy: &Proxy, host: &str, target: &str) -> (u16, String) {
    answer(proxy, &format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
}

#[test]
fn the_most_specific_route_wins() {
    let keys =
        ["*", "/x/*", "/x/y", "a.example/*", "a.example/x/*", "*.example/x/*", "*.b.example/*"];
    let list: Vec<String> = keys.iter().map(|key| echo(key)).collect();
    let proxy = Setup::new(&routes(&list.join(", "))).start();
    for (host, target, key) in [
        ("other", "/", "*"),
        ("other", "/x", "/x/*"),
        ("other", "/x/y?q=/z", "/x/y"),
        ("other", "/x/y/", "/x/*"),
        ("other", "/%78/z", "/x/*"),
        ("A.Example:8080", "/", "a.example/*"),
        ("a.example.", "/x/y", "a.example/x/*"),
        ("c.example", "/x/y", "*.example/x/*"),
        ("c.example", "/y", "*"),
        ("c.b.example", "/x/y", "*.b.example/*"),
        ("c.b.example", "http://c.b.example/x", "*.b.example/*"),
    ] {
        assert_eq!(get(&proxy, host, target), (200, key.to_string()), "{host} {target}");
    }
}

#[test]
fn conditions_choose_among_rules() {
    let rule = |name: &str, condition: &str| {
        format!(
            "{{\"name\": \"{name}\", \"match\": {condition}, \"respond\": {{\"body\": \"{name}\"}}}}"
        )
    };
    let rules = [
        rule("post", r#"{"methods": ["POST"]}"#),
        rule("beta", r#"{"cookies": {"beta": "yes"}, "headers": {"x-off": false}}"#),
        rule("query", r#"{"query": {"q": ["a b", "c"]}}"#),
        rule("far", r#"{"clients": ["192.0.2.0/24"]}"#),
        rule("near", r#"{"clients": ["127.0.0.0/8"], "listeners": ["http"]}"#),
    ];
    let proxy = Setup::new(&routes(&format!("\"*\": [{}]", rules.join(", ")))).start();
    for (request, name) in [
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "post"),
        ("GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b; beta=yes\r\n\r\n", "beta"),
        ("GET / HTTP/1.1\r\nHost: a\r\nCookie: beta=yes\r\nX-Off: 1\r\n\r\n", "near"),
        ("GET /?x&q=a+b HTTP/1.1\r\nHost: a\r\n\r\n", "query"),
        ("GET /?q=a%20b HTTP/1.1\r\nHost: a\r\n\r\n", "query"),
        ("GET /?q=d HTTP/1.1\r\nHost: a\r\n\r\n", "near"),
    ] {
        assert_eq!(answer(&proxy, request), (200, name.to_string()), "{request}");
    }
}

#[test]
fn what_no_rule_takes_is_not_found() {
    let proxy = Setup::new(&routes(&echo("/only"))).start();
    assert_eq!(get(&proxy, "a", "/only").0, 200);
    assert_eq!(get(&proxy, "a", "/other").0, 404);
}

#[test]
fn redirects_carry_path_and_query() {
    let route = r#""old.example/*": {"redirect": {"to": "https://new.example{path}"}},
        "/uri/*": {"redirect": {"to": "http://{host}/to?was={uri}", "status": 302}}"#;
    let proxy = Setup::new(&routes(route)).start();
    for (host, target, status, location) in [
        ("old.example:81", "/a%2Fb?c=d", 308, "https://new.example/a%2Fb?c=d"),
        ("h.example:81", "/uri/x?y", 302, "http://h.example/to?was=/uri/x?y"),
    ] {
        let mut client = Client::connect(proxy.address());
        client.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let response = client.response("GET");
        assert_eq!(response.status(), status);
        assert_eq!(response.field("location"), Some(location));
    }
}

#[test]
fn answers_of_its_own_keep_the_connection() {
    let route =
        r#""*": {"respond": {"status": 410, "headers": {"X-Why": "gone"}, "body": "no more\n"}}"#;
    let proxy = Setup::new(&routes(route)).start();
    let mut client = Client::connect(proxy.address());
    for method in ["GET", "HEAD", "GET"] {
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        let response = client.response(method);
        assert_eq!(response.status(), 410);
        assert_eq!(response.field("x-why"), Some("gone"));
        assert_eq!(response.field("content-length"), Some("8"));
        assert_eq!(response.field("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(response.text(), if method == "HEAD" { "" } else { "no more\n" });
    }
}

#[test]
fn paths_are_forwarded_as_sent() {
    let origin = Origin::saying("x");
    let proxy = Setup::new(&routes(&to(&[&origin.address]))).start();
    for target in [
        "/",
        "/a%2Fb",
        "/%7euser",
        "/%7Euser",
        "//a//b/",
        "/a;v=1/b?x=%zz&y=..",
        "/caf%C3%A9",
        "/...",
        "/a.b/.well-known",
        "/?",
        "/%25",
        "/a/?b=c?d",
    ] {
        assert_eq!(get(&proxy, "a", target).0, 200, "{target}");
        let seen = origin.last();
        assert!(
            seen.line.starts_with(&format!("GET {target} HTTP/1.1")),
            "{target}: {}",
            seen.line
        );
    }
}

#[test]
fn paths_with_two_readings_are_refused() {
    let origin = Origin::saying("x");
    let proxy = Setup::new(&routes(&to(&[&origin.address]))).start();
    for target in [
        "/..",
        "/a/../b",
        "/a/./b",
        "/%2e%2e/b",
        "/a/..%2fb",
        "/a%5c..%5cb",
        "/..;/a",
        "/%",
        "/%zz",
        "/a%00b",
        "/a\\b",
        "/a#b",
    ] {
        assert_eq!(get(&proxy, "a", target).0, 400, "{target}");
    }
    assert!(origin.requests().is_empty());
}

#[test]
fn a_seed_file_serves() {
    let (main, game) = (Origin::saying("main"), Origin::saying("game"));
    let config = format!(
        r#"{{"root": "127.0.0.1:0", "routes": {{
            "*": {{"backends": [{{"host": "{}", "max_failure": 3}}], "strategy": "round-robin"}},
            "/game/*": {{"backends": [{{"host": "{}"}}]}},
            "/about.html": {{"backends": [{{"host": "{}"}}]}}}}}}"#,
        main.address, game.address, game.address
    );
    let proxy = Setup::new(&config).start();
    for (target, word) in [
        ("/", "main"),
        ("/game", "game"),
        ("/game/x?y", "game"),
        ("/a/game/x", "main"),
        ("/about.html", "game"),
        ("/about.html/", "game"),
        ("/about.html/x", "main"),
    ] {
        assert_eq!(get(&proxy, "a", target), (200, word.to_string()), "{target}");
    }
}

/// Ruling: what `why` says is compared with what a worker does, for 1 000 requests.
#[test]
fn explain_tells_what_the_worker_does() {
    let mut seed = cloudcup::base::seed::Seed::new(0x5eed);
    let hosts = ["", "a.example", "*.example", "b.a.example", "*.a.example"];
    let paths = ["/", "/*", "/x", "/x/*", "/x/y", "/x/y/*", "/x/", "/z/*"];
    let mut list = Vec::new();
    for host in hosts {
        for path in paths {
            if seed.one_in(2) {
                let key = format!("{host}{path}");
                let method = if seed.one_in(2) { "GET" } else { "PUT" };
                let rule = |name: &str, condition: &str| {
                    format!(
                        "{{\"name\": \"{name}\", {condition} \"respond\": {{\"body\": \"{name}\"}}}}"
                    )
                };
                let first = rule(
                    &format!("{key} {method}"),
                    &format!("\"match\": {{\"methods\": [\"{method}\"]}},"),
                );
                let second =
                    rule(&format!("{key} beta"), "\"match\": {\"headers\": {\"x-beta\": true}},");
                list.push(format!("\"{key}\": [{first}, {second}]"));
            }
        }
    }
    let text = with(&list.join(", "), "");
    let plan = config::check(text.as_bytes(), &CheckContext::default()).plan.expect("a plan");
    let proxy = Setup::new(&text).start();
    let mut client = Client::connect(proxy.address());
    let mut pick = |from: &[&'static str]| from[seed.below(from.len() as u64) as usize];
    let (mut taken, mut left) = (0, 0);
    for _ in 0..1_000 {
        let method = pick(&["GET", "PUT", "DELETE"]);
        let host =
            pick(&["a.example", "B.A.Example:80", "c.a.example.", "c.example", "other", "example"]);
        let path =
            pick(&["/", "/x", "/x/", "/x/y", "/x/y/z", "/%78/y", "/z/q", "/q", "//x", "/x%2Fy"]);
        let beta = pick(&["", "X-Beta: 1\r\n"]);
        client.send(format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{beta}Content-Length: 0\r\n\r\n"
        ));
        let response = client.response(method);
        let mut headers = vec![("host".to_string(), host.to_string())];
        if !beta.is_empty() {
            headers.push(("x-beta".to_string(), "1".to_string()));
        }
        let asked = ExplainRequest {
            method: method.to_string(),
            url: path.to_string(),
            headers,
            ..ExplainRequest::default()
        };
        let told = config::explain(&plan, &asked);
        match told.rule.and_then(|rule| plan.rules.get(rule as usize)) {
            Some(rule) => {
                assert_eq!(
                    (response.status(), response.text()),
                    (200, rule.name.as_str()),
                    "{asked:?}"
                );
                taken += 1;
            }
            None => {
                assert_eq!(response.status(), 404, "{asked:?}");
                left += 1;
            }
        }
    }
    assert!(taken > 300 && left > 100, "{taken} taken, {left} left");
}
