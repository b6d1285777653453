//! The kinds of addresses a backend or a listener may have.

use crate::support::client::{Client, get};
use crate::support::origin::Origin;
use crate::support::proxy::Setup;
use crate::support::skip;
use crate::{routes, to};

#[test]
fn a_unix_socket_backend() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::unix(&folder.path().join("origin.sock"), |mut guest| {
        while guest.request().is_some() {
            guest.send(crate::support::origin::answer("unix"));
        }
    });
    let proxy = Setup::new(&routes(&to(&[&origin.address]))).start();
    let mut client = Client::connect(proxy.address());
    for _ in 0..5 {
        assert_eq!(client.get("/").text(), "unix");
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn an_ipv6_backend_and_an_ipv6_listener() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        skip("e2e::backends::ipv6", "this machine has no ::1");
        return;
    }
    let origin = Origin::at("[::1]:0".parse().unwrap(), |mut guest| {
        while guest.request().is_some() {
            guest.send(crate::support::origin::answer("six"));
        }
    });
    let config = routes(&to(&[&origin.address]));
    let proxy = Setup::bare(&config).tcp("http", "[::1]:0").start();
    let response = get(proxy.address(), "/");
    assert_eq!(response.text(), "six");
    assert_eq!(origin.last().field("x-forwarded-for"), Some("::1"));
}

#[test]
fn a_backend_by_name_is_resolved_at_run_time() {
    let origin = Origin::saying("named");
    let port = origin.address.rsplit(':').next().unwrap();
    let proxy = Setup::new(&routes(&to(&[&format!("localhost:{port}")]))).start();
    // Ready does not wait for names; the first answers may have to.
    crate::support::wait::until("answer by name", || {
        let response = get(proxy.address(), "/");
        (response.status() == 200).then(|| assert_eq!(response.text(), "named"))
    });
}

#[test]
fn a_name_that_does_not_exist_never_stops_the_start() {
    let origin = Origin::saying("good");
    let list = format!(
        "\"*\": {{\"backends\": [{{\"address\": \"{}\"}}]}}, \
         \"/lost/*\": {{\"backends\": [{{\"address\": \"no-such-host.invalid:80\"}}]}}",
        origin.address
    );
    let proxy = Setup::new(&routes(&list)).start();
    assert_eq!(get(proxy.address(), "/").text(), "good");
    let lost = get(proxy.address(), "/lost/x").status();
    assert!([502, 503].contains(&lost), "{lost}");
}

#[test]
fn several_sockets_of_one_name_and_a_unix_listener() {
    let origin = Origin::saying("all");
    let proxy = Setup::new(&routes(&to(&[&origin.address])))
        .tcp("http", "127.0.0.1:0")
        .unix("http")
        .start();
    let path = proxy.folder().join("http.sock");
    for _ in 0..4 {
        assert_eq!(get(proxy.address(), "/").text(), "all");
        assert_eq!(Client::connect_unix(&path).get("/").text(), "all");
    }
}

#[test]
fn routes_by_host_and_path() {
    let words = ["any", "page", "game", "api"];
    let origins: Vec<Origin> = words.iter().map(|w| Origin::saying(w)).collect();
    let one = |n: usize| format!("{{\"backends\": [{{\"address\": \"{}\"}}]}}", origins[n].address);
    let list = format!(
        "\"*\": {}, \"/about.html\": {}, \"/game/*\": {}, \"api.example.com/v1/*\": {}, \
         \"old.example.com/*\": {{\"redirect\": {{\"to\": \"https://new.example.com{{path}}\", \"status\": 308}}}}",
        one(0),
        one(1),
        one(2),
        one(3)
    );
    let proxy = Setup::new(&routes(&list)).start();
    let mut client = Client::connect(proxy.address());
    let mut ask = |host: &str, path: &str| {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        client.response("GET")
    };
    for (host, path, word) in [
        ("x", "/", "any"),
        ("x", "/about.html", "page"),
        ("x", "/about.html?q=1", "page"),
        ("x", "/about.htm", "any"),
        ("x", "/game/a/b", "game"),
        ("x", "/games", "any"),
        ("api.example.com", "/v1/x", "api"),
        ("API.example.com:80", "/v1/x", "api"),
        ("api.example.com", "/v2/x", "any"),
    ] {
        assert_eq!(ask(host, path).text(), word, "{host}{path}");
    }
    let moved = ask("old.example.com", "/a/b");
    assert_eq!(
        (moved.status(), moved.field("location")),
        (308, Some("https://new.example.com/a/b"))
    );
}
