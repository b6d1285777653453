//! Which configuration a start runs, and why.
//!
//! The file, when it has changed since it was last accepted; else the last accepted serial, live changes
//! included; the last good one when the file is bad; 503 at passed sockets when there is none.

use super::document::{self, Checked};
use super::history::{Entry, History, hash_of};
use super::options::Options;
use super::start::{Fatal, fatal};
use crate::observe::ids;

/// The configuration to start with.
#[derive(Debug)]
pub struct Chosen {
    /// The document.
    pub checked: Checked,
    /// Its serial; 0 for the emergency one.
    pub serial: u64,
    /// Where it came from.
    pub source: String,
    /// It isn't in the history yet.
    pub fresh: bool,
    /// Why it isn't what was meant; empty when it is.
    pub reason: String,
}

impl Chosen {
    /// The demo's own.
    pub fn demo(text: &str) -> Result<Chosen, Fatal> {
        let checked =
            document::check(text.as_bytes(), None).map_err(fatal("the demo's configuration"))?;
        let source = "demo".to_owned();
        Ok(Chosen { checked, serial: 1, source, fresh: true, reason: String::new() })
    }
}

/// Which configuration runs: the file when it has changed since it last was accepted, else the last
/// accepted serial; the last good one when the file is bad; 503 at passed sockets when there is none.
pub fn choose(
    options: &Options,
    history: &History,
    passed: &[String],
    managed: bool,
) -> Result<Chosen, Fatal> {
    let path = options.config_path();
    let read = document::read(path);
    let unchanged = match (&read, history.last_from_file()) {
        (Ok(bytes), Some(entry)) => {
            std::str::from_utf8(bytes).is_ok_and(|text| hash_of(text) == entry.hash)
        }
        _ => false,
    };
    if unchanged && let Some(chosen) = last_good(history, String::new()) {
        return Ok(chosen);
    }
    let refusal = match read.map(|bytes| document::check(&bytes, Some(path))) {
        Ok(Ok(checked)) => {
            let serial = history.next_serial();
            warn_of_replaced(history);
            let source = "file".to_owned();
            return Ok(Chosen { checked, serial, source, fresh: true, reason: String::new() });
        }
        Ok(Err(error)) => {
            for finding in &error.findings {
                tracing::error!("{}", document::line(finding, Some(path)));
            }
            error.message
        }
        Err(message) => message,
    };
    if !managed {
        return Err(Fatal(refusal));
    }
    tracing::error!(MESSAGE_ID = ids::CONFIG_FALLBACK, "{refusal}");
    if let Some(chosen) = last_good(history, refusal.clone()) {
        return Ok(chosen);
    }
    if passed.is_empty() {
        return Err(Fatal(refusal));
    }
    let text = emergency(passed);
    let checked =
        document::check(text.as_bytes(), None).map_err(fatal("the emergency configuration"))?;
    Ok(Chosen { checked, serial: 0, source: "start".to_owned(), fresh: false, reason: refusal })
}

/// Live changes that the file now replaces are told, never dropped silently.
fn warn_of_replaced(history: &History) {
    if let Some(last) = history.last().filter(|last| !last.is_from_file()) {
        tracing::warn!(
            MESSAGE_ID = ids::CONFIG_REPLACED,
            CUP_SERIAL = last.serial,
            "the configuration file has changed and replaces serial {}, which was applied live ({})",
            last.serial,
            last.source
        );
    }
}

/// The newest accepted configuration that this program still accepts.
fn last_good(history: &History, reason: String) -> Option<Chosen> {
    for entry in history.entries().iter().rev().take(64) {
        let Ok(text) = history.document(entry) else { continue };
        match document::check(text.as_bytes(), None) {
            Ok(checked) => {
                let Entry { serial, source, .. } = entry.clone();
                return Some(Chosen { checked, serial, source, fresh: false, reason });
            }
            Err(error) => {
                tracing::warn!(CUP_SERIAL = entry.serial, "an accepted serial is refused: {error}");
            }
        }
    }
    None
}

/// A document that answers 503 at every passed socket.
fn emergency(passed: &[String]) -> String {
    let listeners: serde_json::Map<String, serde_json::Value> =
        passed.iter().map(|name| (name.clone(), serde_json::json!({}))).collect();
    serde_json::json!({
        "listeners": listeners,
        "routes": { "*": { "respond": {
            "status": 503,
            "headers": { "retry-after": "10" },
            "body": "503 Service Unavailable: no valid configuration yet\n",
        } } },
    })
    .to_string()
}
