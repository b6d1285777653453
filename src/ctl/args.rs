//! The command line of cupctl, once: parsing, `--help`, the manual page and the completions all come
//! from here.
//!
//! What belongs to a later version is not in the definition; [`later`] knows its words, so that it
//! is refused as such instead of as a typing error.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand, ValueHint};
use std::path::PathBuf;

/// Look at and change a running Cloud Cup.
#[derive(Debug, Parser)]
#[command(
    name = "cupctl",
    version,
    disable_help_subcommand = true,
    after_help = "Exit status: 0 done; 1 refused or failed, the reason is on stderr; 2 wrong use; \
                  3 the service does not answer; 4 not authorised. Looking never starts a service."
)]
pub struct Cli {
    /// What applies to every verb.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Options of every verb.
#[derive(Args, Clone, Debug, Default)]
pub struct Global {
    /// Print JSON for machines
    #[arg(long, global = true)]
    pub json: bool,
    /// Where the service is: unix:PATH of a control socket, "system", "user", or the address of a
    /// bus [default: the control socket where it may be opened, else the bus]
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub address: Option<String>,
    /// Talk to the service of the calling user
    #[arg(long, global = true)]
    pub user: bool,
    /// Do not pipe long output into a pager
    #[arg(long, global = true)]
    pub no_pager: bool,
}

/// What cupctl can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Show how the service is; exits 1 when it is not fully well
    Status,
    /// Show one thing in full
    Show {
        /// What to show.
        #[command(subcommand)]
        what: Show,
    },
    /// Explain which way a request takes through routes and pools
    Why {
        /// [METHOD] URL: the method is GET unless given; the URL may be a path alone
        #[arg(required = true, num_args = 1..=2, value_names = ["METHOD", "URL"])]
        request: Vec<String>,
        /// A header of the request
        #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
        headers: Vec<String>,
    },
    /// Probe backends now; exits 1 when one is unhealthy
    Check {
        /// Only backends of these routes
        #[arg(short, long, num_args = 1.., value_name = "ROUTE")]
        routes: Vec<String>,
        /// Only these backends
        #[arg(short, long, num_args = 1.., value_name = "BACKEND")]
        backends: Vec<String>,
    },
    /// Print what happens, as it happens
    Events,
    /// Watch traffic, workers and backends
    Top {
        /// Seconds between two looks
        #[arg(short, long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=3600))]
        interval: u16,
        /// End after this many looks
        #[arg(short = 'n', long, value_name = "N")]
        count: Option<u32>,
    },
    /// Print all metrics as OpenMetrics text
    Metrics,
    /// Print the journal of the service
    Logs(Logs),
    /// Check a document and print every problem
    Validate {
        /// The document; "-" reads standard input
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Check it here, without asking the service
        #[arg(long)]
        offline: bool,
    },
    /// Show what applying a document would change
    Plan {
        /// The document; "-" reads standard input
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Apply a document over all workers, all or none
    Apply {
        /// The document; "-" reads standard input
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath, required_unless_present = "file_option")]
        file: Option<PathBuf>,
        /// The document, as an option
        #[arg(short = 'f', long = "file", value_name = "FILE", conflicts_with = "file", value_hint = ValueHint::FilePath)]
        file_option: Option<PathBuf>,
        /// Refuse unless this serial runs
        #[arg(long, value_name = "SERIAL")]
        expected_serial: Option<u64>,
    },
    /// Read the configuration file again and apply it
    Reload,
    /// Set the log filter until the next start
    LogLevel {
        /// off, error, warn, info, debug or trace
        #[arg(value_name = "FILTER")]
        filter: String,
    },
    /// Stop the service: drain first
    Stop {
        /// Close everything at once
        #[arg(long)]
        hard: bool,
    },
}

/// What can be shown in full.
#[derive(Clone, Debug, Subcommand)]
pub enum Show {
    /// As `cupctl status`
    Status,
    /// The document as applied
    Config {
        /// Write out every default
        #[arg(long)]
        effective: bool,
    },
    /// Pools and backends with their state
    Backends,
    /// Routes and what they do
    Routes,
    /// Connections of clients
    Connections {
        /// Most connections to show
        #[arg(short = 'n', long, default_value_t = 1000)]
        limit: u32,
    },
    /// Counters by route, pool and worker
    Traffic,
    /// Counters of faults, refusals and limits
    Errors,
}

/// Which records of the journal.
#[derive(Args, Clone, Debug)]
pub struct Logs {
    /// Go on with new records
    #[arg(short, long)]
    pub follow: bool,
    /// Only access records of this route
    #[arg(long, value_name = "ROUTE")]
    pub route: Option<String>,
    /// Only access records with this status
    #[arg(long, value_name = "STATUS", value_parser = clap::value_parser!(u16).range(100..=599))]
    pub status: Option<u16>,
    /// Only the last N records
    #[arg(short = 'n', long, value_name = "N")]
    pub lines: Option<u32>,
    /// Only records since this time (as journalctl reads it)
    #[arg(short = 'S', long, value_name = "TIME")]
    pub since: Option<String>,
}

/// Verbs, things to show and options of later versions.
const LATER: [&str; 9] =
    ["confirm", "rollback", "history", "backend", "state", "upgrade", "bridge", "ssl", "--confirm"];

/// The word of a later version that made parsing fail, if that is the reason.
pub fn later(error: &clap::Error) -> Option<String> {
    let kind = match error.kind() {
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        _ => return None,
    };
    match error.get(kind)? {
        ContextValue::String(word) if LATER.contains(&word.as_str()) => Some(word.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("cupctl").chain(line.split_whitespace()))
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_words_of_the_seed_are_taken() {
        for line in [
            "show status",
            "show config",
            "check",
            "check -r",
            "check -r /about.html /game/*",
            "check -b 127.0.0.1:8081",
            "apply -f site.json",
            "apply site.json",
            "why /about.html",
            "why POST http://x/y -H a:b --json",
            "--json status",
            "status --json --user",
        ] {
            let outcome = parse(line);
            assert_eq!(outcome.is_ok(), line != "check -r", "{line}: {outcome:?}");
        }
    }

    #[test]
    fn later_features_are_known_as_such_and_not_in_the_help() {
        for line in ["upgrade", "bridge list", "history", "show ssl", "apply x --confirm 60s"] {
            assert!(later(&parse(line).unwrap_err()).is_some(), "{line}");
        }
        for line in ["upgrad", "show nothing", "apply x --confrim", "stop --now"] {
            assert!(later(&parse(line).unwrap_err()).is_none(), "{line}");
        }
        let help = Cli::command().render_long_help().to_string();
        for word in ["upgrade", "bridge", "rollback", "history"] {
            assert!(!help.contains(word), "{word}");
        }
    }
}
