//! Why a verb failed, and the exit status that says so.

use crate::control::names;
use crate::control::rows::ProblemRow;
use std::fmt;
use std::process::ExitCode;

/// Exit status of cupctl.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Refused or failed; the reason is on stderr.
    Failed = 1,
    /// Wrong use.
    Usage = 2,
    /// The service does not answer.
    NoService = 3,
    /// Not authorised.
    NotAuthorized = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// A failure, ready to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What the process exits with.
    pub exit: Exit,
    /// Full D-Bus error name; empty when the failure is not the service's.
    pub name: String,
    /// One sentence.
    pub message: String,
    /// Problems of the refused document.
    pub rows: Vec<ProblemRow>,
}

impl Fault {
    /// A failure on this side.
    pub fn new(exit: Exit, message: impl Into<String>) -> Fault {
        Fault { exit, name: String::new(), message: message.into(), rows: Vec::new() }
    }

    /// A failure of reading or writing `what` here.
    pub fn io(what: impl fmt::Display, error: &std::io::Error) -> Fault {
        Fault::new(Exit::Failed, format!("{what}: {error}"))
    }
}

impl From<zbus::Error> for Fault {
    fn from(error: zbus::Error) -> Fault {
        match error {
            zbus::Error::MethodError(name, message, reply) => {
                let message = message.unwrap_or_default();
                let rows = reply.body().deserialize::<(String, Vec<ProblemRow>)>();
                let rows = rows.map(|(_, rows)| rows).unwrap_or_default();
                // The further lines of a refusal are the problems, which the rows tell better.
                let message = match message.split_once('\n') {
                    Some((first, _)) if !rows.is_empty() => first.to_owned(),
                    _ => message,
                };
                Fault { exit: exit_of(&name), name: name.to_string(), message, rows }
            }
            zbus::Error::FDO(error) => Fault::from_fdo(&error),
            other => Fault::new(Exit::NoService, format!("the service does not answer: {other}")),
        }
    }
}

impl From<zbus::fdo::Error> for Fault {
    fn from(error: zbus::fdo::Error) -> Fault {
        match error {
            zbus::fdo::Error::ZBus(error) => Fault::from(error),
            other => Fault::from_fdo(&other),
        }
    }
}

impl Fault {
    fn from_fdo(error: &zbus::fdo::Error) -> Fault {
        use zbus::DBusError;
        let message = error.description().unwrap_or("no reason given").to_owned();
        Fault {
            exit: exit_of(error.name().as_str()),
            name: error.name().to_string(),
            message,
            rows: Vec::new(),
        }
    }
}

/// The exit status for an error of the wire.
fn exit_of(name: &str) -> Exit {
    match name {
        names::ERROR_NOT_AUTHORIZED
        | "org.freedesktop.DBus.Error.AccessDenied"
        | "org.freedesktop.DBus.Error.AuthFailed"
        | "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired" => Exit::NotAuthorized,
        "org.freedesktop.DBus.Error.ServiceUnknown"
        | "org.freedesktop.DBus.Error.NameHasNoOwner"
        | "org.freedesktop.DBus.Error.NoReply"
        | "org.freedesktop.DBus.Error.Disconnected"
        | "org.freedesktop.DBus.Error.NoServer"
        | "org.freedesktop.DBus.Error.Timeout" => Exit::NoService,
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_their_exit_status() {
        for (name, exit) in [
            (names::ERROR_REFUSED, Exit::Failed),
            (names::ERROR_CONFLICT, Exit::Failed),
            (names::ERROR_NOT_AUTHORIZED, Exit::NotAuthorized),
            ("org.freedesktop.DBus.Error.AccessDenied", Exit::NotAuthorized),
            ("org.freedesktop.DBus.Error.ServiceUnknown", Exit::NoService),
        ] {
            assert_eq!(exit_of(name), exit, "{name}");
        }
        let gone = zbus::Error::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert_eq!(Fault::from(gone).exit, Exit::NoService);
    }
}
