//! The service: master, and by exec of itself its workers and helpers.

use clap::Parser;
use cloudcup::master::logs;
use cloudcup::master::options::{LogLevel, LogTarget, Options};
use cloudcup::sys::{fd, signal};
use std::os::fd::OwnedFd;
use std::process::ExitCode;

fn main() -> ExitCode {
    // A child is started as `cloudcup ROLE --link=FD`; a configuration called like a role is named by
    // `--config` or with its folder.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, link] = arguments.as_slice()
        && let Some(number) = link.strip_prefix("--link=")
    {
        return child(role, number);
    }
    cloudcup::master::start::main(Options::parse())
}

/// Runs a helper over the link that it was given at exec.
fn child(role: &str, number: &str) -> ExitCode {
    let link = match take_link(number) {
        Ok(link) => link,
        Err(error) => {
            eprintln!("cloudcup {role}: no link at {number}: {error}");
            return ExitCode::from(2);
        }
    };
    // A worker says what it has to say to its master.
    if role != "worker"
        && let Err(error) = logs::begin(LogTarget::Auto, LogLevel::Info)
    {
        eprintln!("cloudcup {role}: cannot log: {error}");
    }
    match role {
        "worker" => cloudcup::worker::main(link),
        "clerk" => cloudcup::clerk::main(link),
        "demo" => cloudcup::demo::main(link),
        _ => {
            eprintln!("cloudcup: there is no role \"{role}\"");
            ExitCode::from(2)
        }
    }
}

fn take_link(number: &str) -> std::io::Result<OwnedFd> {
    signal::ignore_in_child()?;
    let number = number.parse().map_err(std::io::Error::other)?;
    fd::inherit(number)
}
