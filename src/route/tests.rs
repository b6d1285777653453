//! Tests of the table against a plain reading of the rules.

use super::*;

fn table(keys: &[&str]) -> RouteTable {
    let mut builder = TableBuilder::new();
    for (at, key) in keys.iter().enumerate() {
        let pattern = Pattern::parse(key).expect("a key of a test");
        builder.add(pattern, vec![(RuleId(at as u32), Condition::default())]);
    }
    builder.build()
}

fn request<'a>(host: &'a str, path: &'a str) -> Request<'a> {
    const NONE: [(&str, &str); 0] = [];
    Request {
        listener: ListenerIndex(0),
        client: Some(std::net::Ipv4Addr::LOCALHOST.into()),
        method: b"GET",
        host: host.as_bytes(),
        path: path.as_bytes(),
        query: None,
        fields: &NONE,
    }
}

#[track_caller]
fn check(keys: &[&str], cases: &[(&str, &str, Option<&str>)]) {
    let table = table(keys);
    for (host, path, wanted) in cases {
        let request = request(host, path);
        let found = table.lookup(&request).and_then(|rule| keys.get(rule.0 as usize)).copied();
        assert_eq!(found, *wanted, "{host} {path}");
        assert_eq!(table.explain(&request).0, table.lookup(&request));
    }
}

#[test]
fn paths() {
    check(
        &["*", "/", "/about.html", "/game/*", "/game/a/b/*", "/game/a", "/s/"],
        &[
            ("h", "/", Some("/")),
            ("h", "", Some("*")),
            ("h", "*", Some("*")),
            ("h", "/about.html", Some("/about.html")),
            ("h", "/about.html/", Some("*")),
            ("h", "/game", Some("/game/*")),
            ("h", "/game/", Some("/game/*")),
            ("h", "/games", Some("*")),
            ("h", "/game/x/y", Some("/game/*")),
            ("h", "/game/a", Some("/game/a")),
            ("h", "/game/a/", Some("/game/*")),
            ("h", "/game/a/b", Some("/game/a/b/*")),
            ("h", "/game/a/b/c/d/e/f", Some("/game/a/b/*")),
            ("h", "/game/a/c", Some("/game/*")),
            ("h", "/a/game/x", Some("*")),
            ("h", "/s/", Some("/s/")),
            ("h", "/s", Some("*")),
            ("h", "/%67ame/x", Some("/game/*")),
            ("h", "/game%2Fx", Some("*")),
            ("h", "//game", Some("*")),
            ("h", "/GAME", Some("*")),
            ("h", "/about.html2", Some("*")),
            ("h", "/game/aaaaaaaaaaaaaaaaaaaaaaaaaaa/b", Some("/game/*")),
            ("h", "/game/a/b/ccccccccccccccccccccccccc", Some("/game/a/b/*")),
        ],
    );
}

#[test]
fn hosts() {
    let keys = [
        "/only/*",
        "example.com/*",
        "*.example.com/*",
        "*.a.example.com/deep/*",
        "b.a.example.com/x",
        "[::1]/*",
    ];
    check(
        &keys,
        &[
            ("example.com", "/", Some("example.com/*")),
            ("EXAMPLE.com:8080", "/", Some("example.com/*")),
            ("example.com.", "/only/x", Some("example.com/*")),
            ("www.example.com", "/", Some("*.example.com/*")),
            ("c.a.example.com", "/deep/x", Some("*.a.example.com/deep/*")),
            ("c.a.example.com", "/", Some("*.example.com/*")),
            ("b.a.example.com", "/x", Some("b.a.example.com/x")),
            ("b.a.example.com", "/deep", Some("*.a.example.com/deep/*")),
            ("b.a.example.com", "/y", Some("*.example.com/*")),
            ("notexample.com", "/", None),
            ("com", "/only", Some("/only/*")),
            ("x.y.z.a.example.com", "/deep", Some("*.a.example.com/deep/*")),
            ("[::1]:80", "/", Some("[::1]/*")),
            ("", "/only", Some("/only/*")),
            ("", "/", None),
        ],
    );
}

#[test]
fn conditions_in_order_and_falling_back() {
    let pattern = |key: &str| Pattern::parse(key).expect("a key of a test");
    let mut builder = TableBuilder::new();
    let methods = Condition { methods: vec!["POST".into()], ..Condition::default() };
    let header = Condition {
        headers: vec![NamedTest {
            name: "x-beta".into(),
            test: FieldTest::OneOf(vec!["1".into()]),
        }],
        ..Condition::default()
    };
    builder.add(pattern("*"), vec![(RuleId(0), Condition::default())]);
    builder.add(pattern("/a/*"), vec![(RuleId(1), methods), (RuleId(2), header)]);
    let table = builder.build();
    let fields = [("X-Beta", "0"), ("x-beta", "1")];
    let mut request = request("h", "/a/b");
    assert_eq!(table.lookup(&request), Some(RuleId(0)));
    request.fields = &fields;
    assert_eq!(table.lookup(&request), Some(RuleId(2)));
    request.method = b"POST";
    assert_eq!(table.lookup(&request), Some(RuleId(1)));
    request.method = b"post";
    let (rule, steps) = table.explain(&request);
    assert_eq!(rule, Some(RuleId(2)));
    assert_eq!(
        steps[2],
        Step::Rule {
            rule: RuleId(1),
            verdict: Err(Mismatch::Method),
            reason: "the method is post, the rule wants POST".into()
        }
    );
}

#[test]
fn every_kind_of_condition() {
    let fields = [("cookie", "a=1; beta=yes"), ("cookie", "c"), ("x", "1")];
    let mut request = request("h", "/");
    request.fields = &fields;
    request.query = Some(b"q=a+b&&flag&x=%31");
    let named = |name: &str, test| vec![NamedTest { name: name.into(), test }];
    let one_of = |word: &str| FieldTest::OneOf(vec![word.into()]);
    let empty = Condition::default;
    let net = |text: &str| vec![text.parse().expect("a network of a test")];
    for (condition, wanted) in [
        (Condition { listeners: Some(vec![ListenerIndex(0)]), ..empty() }, Ok(())),
        (Condition { listeners: Some(vec![]), ..empty() }, Err(Mismatch::Listener)),
        (Condition { clients: net("127.0.0.0/8"), ..empty() }, Ok(())),
        (Condition { clients: net("::/0"), ..empty() }, Err(Mismatch::Client)),
        (Condition { cookies: named("beta", one_of("yes")), ..empty() }, Ok(())),
        (Condition { cookies: named("c", FieldTest::Present), ..empty() }, Ok(())),
        (Condition { cookies: named("a", FieldTest::Absent), ..empty() }, Err(Mismatch::Cookie(0))),
        (Condition { query: named("q", one_of("a b")), ..empty() }, Ok(())),
        (Condition { query: named("x", one_of("1")), ..empty() }, Ok(())),
        (Condition { query: named("flag", FieldTest::Present), ..empty() }, Ok(())),
        (Condition { query: named("flag", one_of("1")), ..empty() }, Err(Mismatch::Query(0))),
        (Condition { headers: named("y", FieldTest::Absent), ..empty() }, Ok(())),
        (
            Condition { headers: named("y", FieldTest::Present), ..empty() },
            Err(Mismatch::Header(0)),
        ),
    ] {
        assert_eq!(condition.test(&request), wanted, "{condition:?}");
    }
    let mapped: std::net::IpAddr = "::ffff:127.0.0.1".parse().expect("an address");
    request.client = Some(mapped);
    let condition = Condition { clients: net("127.0.0.0/8"), ..empty() };
    assert_eq!(condition.test(&request), Ok(()));
}

/// The same answer as trying every key in the order of the rule in the manual.
#[test]
fn agrees_with_a_plain_search() {
    let hosts = ["", "a.b", "*.b", "*.a.b", "c.a.b", "*.c"];
    let paths = ["/", "/*", "/x", "/x/*", "/x/y", "/x/y/*", "/x/y/z/*", "/x/", "/y/*"];
    let mut seed = crate::base::seed::Seed::new(7);
    for _ in 0..300 {
        let mut keys = Vec::new();
        for host in hosts {
            for path in paths {
                if seed.one_in(4) {
                    keys.push(if host.is_empty() && path == "/*" {
                        "*".to_owned()
                    } else {
                        format!("{host}{path}")
                    });
                }
            }
        }
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let table = table(&keys);
        for host in ["a.b", "c.a.b", "d.a.b", "d.b", "b", "x.c", "c", "q.c.a.b"] {
            for path in ["/", "/x", "/x/", "/x/y", "/x/y/", "/x/y/z", "/x/y/z/w", "/y", "/q", "*"] {
                let wanted = plain_search(&keys, host, path);
                let found = table.lookup(&request(host, path));
                let found = found.and_then(|rule| keys.get(rule.0 as usize)).copied();
                assert_eq!(found, wanted, "{host} {path} in {keys:?}");
            }
        }
    }
}

fn plain_search<'k>(keys: &[&'k str], host: &str, path: &str) -> Option<&'k str> {
    let rank = |key: &str| {
        let key = if key == "*" { "/*" } else { key };
        let (own, pattern) = key.split_at(key.find('/')?);
        let host_rank = match own.strip_prefix("*.") {
            None if own.is_empty() => (0, 0),
            None => (own == host).then_some((2, 0))?,
            Some(rest) => host.ends_with(&format!(".{rest}")).then_some((1, rest.len()))?,
        };
        let path_rank = match pattern.strip_suffix("/*") {
            None => (pattern == path).then_some((1, 0))?,
            Some("") => (0, 0),
            Some(rest) => (path == rest || path.starts_with(&format!("{rest}/")))
                .then_some((0, rest.len()))?,
        };
        Some((host_rank, path_rank))
    };
    keys.iter().filter(|key| rank(key).is_some()).max_by_key(|key| rank(key)).copied()
}
