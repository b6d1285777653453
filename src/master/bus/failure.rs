//! Refusals on the wire: a name below `org.cloudcup1.Error`, a message for people, and the rows of a
//! document's problems.
//!
//! It is not the error type of the master (that is `ControlError`); this one only knows how it is
//! sent.

use crate::control::names;
use crate::control::rows::ProblemRow;
use crate::ipc::{Finding, Severity};
use crate::master::command::{ControlError, ErrorKind};
use zbus::message::{Header, Message};
use zbus::names::ErrorName;

/// An error reply: body `s`, or `sa(ssuuss)` when a document was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The full D-Bus error name, one of [`names`].
    pub name: &'static str,
    /// What went wrong, for people.
    pub message: String,
    /// The problems of the document.
    pub rows: Vec<ProblemRow>,
}

impl Failure {
    /// An error reply named `name`, one of the constants in [`names`].
    pub fn new(name: &'static str, message: impl Into<String>) -> Failure {
        Failure { name, message: message.into(), rows: Vec::new() }
    }

    /// An argument is wrong.
    pub fn argument(message: impl Into<String>) -> Failure {
        Failure::new(names::ERROR_INVALID_ARGUMENT, message)
    }

    /// The master no longer takes commands.
    pub fn stopping() -> Failure {
        Failure::new(names::ERROR_STOPPING, "the service is stopping")
    }
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Failure {
        let name = match error.kind {
            ErrorKind::Refused => names::ERROR_REFUSED,
            ErrorKind::Conflict => names::ERROR_CONFLICT,
            ErrorKind::Busy => names::ERROR_BUSY,
            ErrorKind::NotFound => names::ERROR_NOT_FOUND,
            ErrorKind::InvalidArgument => names::ERROR_INVALID_ARGUMENT,
            ErrorKind::NotSupported => names::ERROR_NOT_SUPPORTED,
            ErrorKind::TimedOut => names::ERROR_TIMED_OUT,
            ErrorKind::Stopping => names::ERROR_STOPPING,
            ErrorKind::Failed => names::ERROR_FAILED,
        };
        Failure {
            name,
            message: with_problems(error.message, &error.findings),
            rows: rows(&error.findings),
        }
    }
}

/// Most problems that the message itself tells; the rows hold all.
const TOLD_MAX: usize = 20;

/// `message` and, a line each, the problems behind it: tools like busctl show nothing else.
fn with_problems(message: String, findings: &[Finding]) -> String {
    let mut out = message;
    for finding in findings.iter().take(TOLD_MAX) {
        out.push_str(&format!("\n{}:{}: {}", finding.line, finding.column, finding.message));
    }
    if findings.len() > TOLD_MAX {
        out.push_str(&format!("\nand {} more", findings.len() - TOLD_MAX));
    }
    out
}

/// The wire form of `findings`.
pub fn rows(findings: &[Finding]) -> Vec<ProblemRow> {
    findings.iter().map(row).collect()
}

fn row(finding: &Finding) -> ProblemRow {
    let severity = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    (
        severity.to_owned(),
        finding.id.clone(),
        finding.line,
        finding.column,
        finding.pointer.clone(),
        finding.message.clone(),
    )
}

impl zbus::DBusError for Failure {
    fn create_reply(&self, call: &Header<'_>) -> zbus::Result<Message> {
        let reply = Message::error(call, self.name);
        if self.rows.is_empty() {
            reply.build(&(self.message.as_str(),))
        } else {
            reply.build(&(self.message.as_str(), &self.rows))
        }
    }

    fn name(&self) -> ErrorName<'_> {
        ErrorName::from_static_str_unchecked(self.name)
    }

    fn description(&self) -> Option<&str> {
        Some(&self.message)
    }
}

impl From<Failure> for zbus::BoxDBusError {
    fn from(failure: Failure) -> Self {
        Box::new(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zbus::DBusError;

    #[test]
    fn every_kind_of_the_master_has_its_name_on_the_wire() {
        for kind in [
            ErrorKind::Refused,
            ErrorKind::Conflict,
            ErrorKind::Busy,
            ErrorKind::NotFound,
            ErrorKind::InvalidArgument,
            ErrorKind::NotSupported,
            ErrorKind::TimedOut,
            ErrorKind::Stopping,
            ErrorKind::Failed,
        ] {
            let failure = Failure::from(ControlError::new(kind, "why"));
            assert_eq!(failure.name, format!("{}{}", names::ERROR_PREFIX, kind.name()));
            assert!(ErrorName::try_from(failure.name).is_ok());
            assert_eq!(failure.description(), Some("why"));
        }
    }

    #[test]
    fn a_refused_document_carries_its_problems() {
        let mut error = ControlError::new(ErrorKind::Refused, "1 problem");
        error.findings.push(Finding {
            severity: Severity::Error,
            id: "unknown-key".into(),
            line: 3,
            column: 5,
            pointer: "/pools".into(),
            message: "no such key".into(),
        });
        let call = Message::method_call("/", "Apply").build(&()).unwrap();
        let reply = Failure::from(error).create_reply(&call.header()).unwrap();
        let (message, rows): (String, Vec<ProblemRow>) = reply.body().deserialize().unwrap();
        assert_eq!(message, "1 problem\n3:5: no such key");
        let expected = ("error", "unknown-key", 3, 5, "/pools", "no such key");
        let got = &rows[0];
        assert_eq!((&*got.0, &*got.1, got.2, got.3, &*got.4, &*got.5), expected);
    }
}
