//! Where life-cycle records go: the journal with its fields, or lines on standard error.

use super::options::{LogLevel, LogTarget};
use std::fmt;
use std::io;
use tracing::field::Field;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::{self, Writer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

/// Changes the level while the program runs.
#[derive(Clone, Debug)]
pub struct LogHandle {
    filter: reload::Handle<LevelFilter, Registry>,
}

impl LogHandle {
    /// Sets the level from now on.
    pub fn set(&self, level: LogLevel) {
        if let Err(error) = self.filter.modify(|filter| *filter = filter_of(level)) {
            tracing::warn!(%error, "cannot change the log level");
        }
    }
}

/// Begins to log. Call it once in a process, before anything logs.
pub fn begin(target: LogTarget, level: LogLevel) -> io::Result<LogHandle> {
    let (filter, handle) = reload::Layer::new(filter_of(level));
    let to_journal = match target {
        LogTarget::Journal => true,
        LogTarget::Stderr => false,
        LogTarget::Auto => libsystemd::logging::connected_to_journal(),
    };
    let output: Box<dyn Layer<_> + Send + Sync> = match journal(to_journal) {
        Some(Ok(layer)) => layer.boxed(),
        Some(Err(error)) if target == LogTarget::Journal => return Err(error),
        Some(Err(_)) | None => {
            let plain = tracing_subscriber::fmt::layer()
                .with_writer(io::stderr)
                .with_target(false)
                .fmt_fields(format::debug_fn(write_field));
            let terminal = io::IsTerminal::is_terminal(&io::stderr());
            if to_journal || !terminal {
                plain.with_ansi(false).without_time().boxed()
            } else {
                plain.boxed()
            }
        }
    };
    let registry = tracing_subscriber::registry().with(filter).with(output);
    registry.try_init().map_err(io::Error::other)?;
    Ok(LogHandle { filter: handle })
}

/// Lines for people: the message, then the fields that aren't the journal's (those are upper case and
/// repeat what the message says).
fn write_field(out: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let name = field.name();
    if name == "message" {
        write!(out, "{value:?}")
    } else if name.chars().next().is_some_and(char::is_uppercase) {
        Ok(())
    } else {
        write!(out, " {name}={value:?}")
    }
}

fn journal(wanted: bool) -> Option<io::Result<tracing_journald::Layer>> {
    use tracing_journald::{Priority, PriorityMappings};
    let layer = wanted.then(tracing_journald::layer)?;
    Some(layer.map(|layer| {
        layer
            .with_field_prefix(None)
            .with_syslog_identifier("cloudcup".to_owned())
            .with_priority_mappings(PriorityMappings {
                error: Priority::Error,
                warn: Priority::Warning,
                info: Priority::Informational,
                debug: Priority::Debug,
                trace: Priority::Debug,
            })
    }))
}

fn filter_of(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
