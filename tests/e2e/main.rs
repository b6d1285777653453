//! End to end: real processes, real sockets, scripted and real origins. What a user would notice
//! belongs here; what can be shown in memory is shown in memory.

#[path = "../support/mod.rs"]
mod support;

mod adoption;
mod backends;
mod bodies;
mod control_plane;
mod demo;
mod failover;
mod forwarding;
mod http;
mod interim;
mod life;
mod limits;
mod origins;
mod routing;
mod timeouts;
mod tunnel;

/// A configuration with one listener and these routes (the inside of the object).
fn routes(routes: &str) -> String {
    with(routes, "")
}

/// The same with more top-level keys, each with a comma before it.
fn with(routes: &str, more: &str) -> String {
    format!(
        "{{\"version\": 1, \"listeners\": {{\"http\": {{\"address\": \"127.0.0.1:0\"}}}}, \
         \"workers\": {{\"count\": 2}}, \"log\": {{\"access\": \"off\"}}, \
         \"routes\": {{{routes}}}{more}}}"
    )
}

/// The route `*` to these backends.
fn to(backends: &[&str]) -> String {
    let list: Vec<String> = backends.iter().map(|b| format!("{{\"address\": \"{b}\"}}")).collect();
    format!("\"*\": {{\"backends\": [{}]}}", list.join(", "))
}

/// A proxy before one origin.
#[track_caller]
fn before(origin: &support::origin::Origin) -> support::proxy::Proxy {
    support::proxy::Setup::new(&routes(&to(&[&origin.address]))).start()
}
