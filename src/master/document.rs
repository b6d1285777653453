//! Documents: read from the file, checked, and their problems put into lines.

use super::command::{ControlError, ErrorKind};
use super::sockets::BindError;
use crate::config::{self, CheckContext, Plan, Problem};
use crate::ipc::{Finding, MAX_DOCUMENT, Severity};
use crate::sys::process;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// A document without errors.
#[derive(Debug)]
pub struct Checked {
    /// Its text.
    pub text: String,
    /// What it means.
    pub plan: Arc<Plan>,
    /// Its warnings, one line each.
    pub warnings: Vec<String>,
}

/// Reads a configuration file of at most [`MAX_DOCUMENT`] bytes; the error is one line for a person.
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error| format!("cannot read {}: {error}", path.display());
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(MAX_DOCUMENT as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > MAX_DOCUMENT {
        return Err(format!("{} is larger than 16 MiB", path.display()));
    }
    Ok(bytes)
}

/// What the check may know of this process.
pub fn context() -> CheckContext {
    CheckContext { descriptors: process::descriptor_limits().ok().map(|(_, hard)| hard) }
}

/// All problems of a document, and its plan when none of them is an error.
pub fn findings(bytes: &[u8]) -> (Option<Plan>, Vec<Finding>) {
    let checked = config::check(bytes, &context());
    (checked.plan, checked.problems.iter().map(finding).collect())
}

/// Checks a document. A refusal names the first error, with `file` when it came from one.
pub fn check(bytes: &[u8], file: Option<&Path>) -> Result<Checked, ControlError> {
    let (plan, findings) = findings(bytes);
    let text = std::str::from_utf8(bytes);
    let (Some(plan), Ok(text)) = (plan, text) else {
        let errors: Vec<&Finding> =
            findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
        let mut message = errors
            .first()
            .map_or_else(|| "the document is not valid UTF-8".to_owned(), |f| line(f, file));
        if errors.len() > 1 {
            message.push_str(&format!(" (and {} more)", errors.len() - 1));
        }
        return Err(ControlError { kind: ErrorKind::Refused, message, findings });
    };
    let warnings = findings.iter().map(|finding| line(finding, file)).collect();
    Ok(Checked { text: text.to_owned(), plan: Arc::new(plan), warnings })
}

/// A problem of the checker as every answer shows it.
fn finding(problem: &Problem) -> Finding {
    let mut message = problem.message.clone();
    if let Some(hint) = &problem.hint {
        message.push_str("; ");
        message.push_str(hint);
    }
    Finding {
        severity: match problem.severity {
            config::Severity::Error => Severity::Error,
            config::Severity::Warning => Severity::Warning,
        },
        id: problem.id.clone(),
        line: problem.line,
        column: problem.column,
        pointer: problem.pointer.clone(),
        message,
    }
}

/// A socket that can't be bound, as a problem of the document.
pub fn bind_finding(error: &BindError) -> Finding {
    Finding {
        severity: Severity::Error,
        id: "cannot-listen".to_owned(),
        line: 0,
        column: 0,
        pointer: format!("/listeners/{}", error.listener.replace('~', "~0").replace('/', "~1")),
        message: error.to_string(),
    }
}

/// A problem as one line: `FILE:LINE:COLUMN: message`.
pub fn line(finding: &Finding, file: Option<&Path>) -> String {
    let place = file.map(|file| format!("{}:", file.display())).unwrap_or_default();
    let word = match finding.severity {
        Severity::Error => "",
        Severity::Warning => "warning: ",
    };
    if finding.line == 0 {
        return format!(
            "{place}{}{word}{}",
            if place.is_empty() { "" } else { " " },
            finding.message
        );
    }
    format!("{place}{}:{}: {word}{}", finding.line, finding.column, finding.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_file_place_and_number_of_problems() {
        let file = Path::new("/etc/x.json");
        let error = check(b"{\"rotes\": 1, \"versio\": 2}", Some(file)).unwrap_err();
        assert!(error.message.starts_with("/etc/x.json:1:"), "{}", error.message);
        assert!(error.message.ends_with("more)"), "{}", error.message);
        assert!(error.findings.len() > 1);
        let error = check(b"\xff", None).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Refused);
    }

    #[test]
    fn files_are_read_within_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.json");
        assert!(read(&path).unwrap_err().contains("cannot read"));
        std::fs::write(&path, "{}").unwrap();
        assert_eq!(read(&path).unwrap(), b"{}");
        let file = File::create(&path).unwrap();
        file.set_len(MAX_DOCUMENT as u64 + 1).unwrap();
        assert!(read(&path).unwrap_err().contains("larger"));
    }
}
