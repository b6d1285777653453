//! The command line of `cloudcup`.

use clap::{Parser, ValueEnum};
use std::path::{Path, PathBuf};

/// Where the configuration is when nothing else is said.
pub const DEFAULT_CONFIG: &str = "/etc/cloudcup/cloudcup.json";

/// Where life-cycle records go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogTarget {
    /// The journal when standard error is connected to it, else standard error.
    #[default]
    Auto,
    /// The journal, with native fields.
    Journal,
    /// Standard error, one line each.
    Stderr,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What needs an operator.
    Error,
    /// What may need one.
    Warn,
    /// Life-cycle events.
    Info,
    /// Details of decisions.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The word of the command line.
    pub fn word(self) -> &'static str {
        match self {
            LogLevel::Off => "off",
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }

    /// The level that a word names, in any case.
    pub fn parse(word: &str) -> Option<LogLevel> {
        LogLevel::from_str(word.trim(), true).ok()
    }
}

/// Cloud Cup: a systemd-native, socket-activated HTTP reverse proxy.
///
/// Listening sockets come from systemd when it passes any, else the addresses of the configuration are
/// bound. SIGHUP reads the configuration again, SIGTERM and SIGINT stop softly, SIGQUIT stops at once,
/// SIGUSR1 reopens log files. Exit status: 0 done, 1 refused or failed, 2 wrong use.
#[derive(Clone, Debug, Default, Parser)]
#[command(name = "cloudcup", version, max_term_width = 100)]
pub struct Options {
    /// Configuration file [default: /etc/cloudcup/cloudcup.json]
    #[arg(value_name = "CONFIG", conflicts_with_all = ["config", "demo"])]
    pub positional: Option<PathBuf>,
    /// Configuration file, the same as CONFIG
    #[arg(long, value_name = "FILE", conflicts_with = "demo")]
    pub config: Option<PathBuf>,
    /// Show the proxy at work: two embedded backends behind 127.0.0.1:8080 or the next free port
    #[arg(long, conflicts_with_all = ["check", "schema"])]
    pub demo: bool,
    /// Check the configuration, print every problem, and exit with 0 (valid) or 1
    #[arg(long, conflicts_with = "schema")]
    pub check: bool,
    /// Print the JSON Schema of the configuration and exit
    #[arg(long)]
    pub schema: bool,
    /// Number of worker processes [default: from the configuration, else one per usable CPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=32))]
    pub workers: Option<u16>,
    /// Where life-cycle records go
    #[arg(long, value_enum, value_name = "TARGET", default_value = "auto")]
    pub log_target: LogTarget,
    /// How much is logged [default: from the configuration, else info]
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub log_level: Option<LogLevel>,
    /// Control socket for cupctl [default: in the service's runtime directory]
    #[arg(long, value_name = "PATH")]
    pub control: Option<PathBuf>,
    /// Also serve the control protocol of the first Cloud Cup at this socket
    #[arg(long, value_name = "PATH")]
    pub compat_socket: Option<PathBuf>,
}

impl Options {
    /// The configuration file that is meant.
    pub fn config_path(&self) -> &Path {
        let named = self.config.as_deref().or(self.positional.as_deref());
        named.unwrap_or(Path::new(DEFAULT_CONFIG))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(words: &[&str]) -> Result<Options, clap::Error> {
        Options::try_parse_from(std::iter::once(&"cloudcup").chain(words))
    }

    #[test]
    fn the_definition_is_sound() {
        Options::command().debug_assert();
    }

    #[test]
    fn the_file_is_named_in_two_ways_or_by_default() {
        assert_eq!(parse(&[]).unwrap().config_path(), Path::new(DEFAULT_CONFIG));
        assert_eq!(parse(&["a.json"]).unwrap().config_path(), Path::new("a.json"));
        assert_eq!(parse(&["--config", "a.json"]).unwrap().config_path(), Path::new("a.json"));
        assert!(parse(&["--config", "a.json", "b.json"]).is_err());
        assert!(parse(&["--demo", "b.json"]).is_err());
    }

    #[test]
    fn wrong_use_exits_with_two() {
        for words in [["--workers", "0"], ["--workers", "33"], ["--log-target", "paper"]] {
            assert_eq!(parse(&words).unwrap_err().exit_code(), 2);
        }
        assert_eq!(parse(&["--log-level", "debug"]).unwrap().log_level, Some(LogLevel::Debug));
        assert_eq!(LogLevel::parse(" WARN "), Some(LogLevel::Warn));
    }
}
