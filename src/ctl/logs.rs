//! `cupctl logs`: journalctl with the right matches.

use super::Outcome;
use super::args::{Global, Logs};
use super::fault::{Exit, Fault};
use std::process::Command;

/// The unit that is shipped.
const UNIT: &str = "cloudcup.service";

fn arguments(global: &Global, which: &Logs) -> Vec<String> {
    let mut arguments = Vec::new();
    if global.user {
        arguments.push("--user".to_owned());
    }
    arguments.push(format!("--unit={UNIT}"));
    if which.follow {
        arguments.push("--follow".to_owned());
    }
    if global.json {
        arguments.push("--output=json".to_owned());
    }
    if global.no_pager {
        arguments.push("--no-pager".to_owned());
    }
    if let Some(lines) = which.lines {
        arguments.push(format!("--lines={lines}"));
    }
    if let Some(since) = &which.since {
        arguments.push(format!("--since={since}"));
    }
    if let Some(route) = &which.route {
        arguments.push(format!("CUP_ROUTE={route}"));
    }
    if let Some(status) = which.status {
        arguments.push(format!("CUP_STATUS={status}"));
    }
    arguments
}

/// Runs journalctl. Error: it cannot be started.
pub fn logs(global: &Global, which: &Logs) -> Outcome {
    let status = Command::new("journalctl")
        .args(arguments(global, which))
        .status()
        .map_err(|error| Fault::io("journalctl", &error))?;
    Ok(if status.success() { Exit::Done } else { Exit::Failed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_are_whole_arguments() {
        let which = Logs {
            follow: true,
            route: Some("--since=x /a b".into()),
            status: Some(502),
            lines: Some(3),
            since: None,
        };
        let global = Global { user: true, ..Global::default() };
        let expected = [
            "--user",
            "--unit=cloudcup.service",
            "--follow",
            "--lines=3",
            "CUP_ROUTE=--since=x /a b",
            "CUP_STATUS=502",
        ];
        assert_eq!(arguments(&global, &which), expected);
    }
}
