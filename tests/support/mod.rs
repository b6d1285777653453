//! What tests with real processes share: a proxy in a folder of its own, scripted origins and clients
//! that speak in raw bytes, real origins. Not a test itself. Everything binds port 0 or a unix socket
//! in a temporary folder, waits for conditions with a deadline, and ends what it started.
#![allow(dead_code)] // Each test target uses its part.

pub mod client;
pub mod load;
pub mod origin;
pub mod proxy;
pub mod real;
pub mod store;
pub mod wait;

use std::io::Write;
use std::sync::Mutex;

/// Reports that a test cannot run on this machine, and why. `tests/run` counts these.
pub fn skip(test: &str, reason: &str) {
    static LOCK: Mutex<()> = Mutex::new(());
    let _guard = LOCK.lock().unwrap_or_else(|e| e.into_inner());
    eprintln!("SKIPPED {test}: {reason}");
    if let Some(path) = std::env::var_os("CLOUDCUP_SKIPS") {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        writeln!(file, "{test}: {reason}").unwrap();
    }
}
