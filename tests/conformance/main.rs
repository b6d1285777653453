//! The tables of malformed and of unusual valid messages through the live proxy: real processes, and
//! in front of real origins. A malformed message is refused and reaches nobody; a valid one means to
//! the origin what it means when the origin is asked directly.

#[path = "../tables/read.rs"]
mod read;
#[path = "../support/mod.rs"]
mod support;

mod attacks;
mod requests;
mod responses;

use support::proxy::{Proxy, Setup};

/// A proxy before this one backend, which it never gives up.
#[track_caller]
fn proxy(backend: &str) -> Proxy {
    let text = format!(
        r#"{{"version": 1, "listeners": {{"http": {{"address": "127.0.0.1:0"}}}},
            "workers": {{"count": 1}}, "log": {{"access": "off"}}, "routes": {{"*":
            {{"backends": [{{"address": "{backend}", "max_failures": 1000000}}]}}}}}}"#
    );
    Setup::new(&text).start()
}
