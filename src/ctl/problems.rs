//! Problems of a document, as people read them: place, source line, caret, and what to do.

use super::term::{Screen, Tone, plain, tone};
use crate::config::{Problem, Severity};
use crate::control::rows::ProblemRow;
use crate::ipc::{Finding, Severity as FindingSeverity};
use serde_json::{Value, json};

/// Longest part of a source line that is shown, in characters.
const EXCERPT: usize = 100;

/// One problem, from the service or from a check here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// `error` or `warning`.
    pub severity: String,
    /// Stable name of its kind.
    pub id: String,
    /// From 1; 0 for none.
    pub line: u32,
    /// In characters, from 1; 0 for none.
    pub column: u32,
    /// JSON pointer.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
    /// What to write or do.
    pub hint: Option<String>,
}

impl From<&ProblemRow> for Shown {
    fn from((severity, id, line, column, pointer, message): &ProblemRow) -> Shown {
        Shown {
            severity: severity.clone(),
            id: id.clone(),
            line: *line,
            column: *column,
            pointer: pointer.clone(),
            message: message.clone(),
            hint: None,
        }
    }
}

impl From<&Problem> for Shown {
    fn from(problem: &Problem) -> Shown {
        Shown {
            severity: problem.severity.word().to_owned(),
            id: problem.id.clone(),
            line: problem.line,
            column: problem.column,
            pointer: problem.pointer.clone(),
            message: problem.message.clone(),
            hint: problem.hint.clone(),
        }
    }
}

impl From<&Finding> for Shown {
    fn from(finding: &Finding) -> Shown {
        let severity = match finding.severity {
            FindingSeverity::Error => Severity::Error,
            FindingSeverity::Warning => Severity::Warning,
        };
        Shown {
            severity: severity.word().to_owned(),
            id: finding.id.clone(),
            line: finding.line,
            column: finding.column,
            pointer: finding.pointer.clone(),
            message: finding.message.clone(),
            hint: None,
        }
    }
}

impl Shown {
    /// Whether it makes the document unacceptable.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error.word()
    }

    /// For machines.
    pub fn json(&self) -> Value {
        json!({
            "severity": self.severity,
            "id": self.id,
            "line": self.line,
            "column": self.column,
            "pointer": self.pointer,
            "message": self.message,
            "hint": self.hint,
        })
    }
}

/// Adds `problems` of the document `text`, known to the reader as `name`, to `screen`. Without a text
/// only the places are told.
pub fn render(screen: &mut Screen, name: &str, text: Option<&str>, problems: &[Shown]) {
    for problem in problems {
        let mood = if problem.is_error() { Tone::Bad } else { Tone::Warn };
        let head = tone(mood, format!("{}[{}]", problem.severity, plain(&problem.id)));
        screen.line(format!("{head}: {}", tone(Tone::Strong, plain(&problem.message))));
        let pointer = if problem.pointer.is_empty() {
            String::new()
        } else {
            format!(" ({})", plain(&problem.pointer))
        };
        let place = match problem.line {
            0 => plain(name),
            line => format!("{}:{line}:{}", plain(name), problem.column),
        };
        let width = problem.line.to_string().len();
        screen.line(format!("{:width$}{} {place}{pointer}", "", tone(Tone::Dim, "-->")));
        if let Some(line) = text.and_then(|text| source_line(text, problem.line)) {
            let (excerpt, before) = excerpt(line, problem.column);
            let bar = tone(Tone::Dim, "|");
            screen.line(format!("{:width$} {bar}", ""));
            screen.line(format!("{} {bar} {excerpt}", tone(Tone::Dim, problem.line.to_string())));
            screen.line(format!("{:width$} {bar} {before}{}", "", tone(mood, "^")));
        }
        if let Some(hint) = &problem.hint {
            screen.line(format!("{:width$} {} {}", "", tone(Tone::Dim, "="), plain(hint)));
        }
        screen.line("");
    }
}

fn source_line(text: &str, line: u32) -> Option<&str> {
    text.split('\n').nth(usize::try_from(line).ok()?.checked_sub(1)?)
}

/// The part of `line` around `column`, made harmless, and the blanks that lead to its column.
fn excerpt(line: &str, column: u32) -> (String, String) {
    let at = usize::try_from(column).unwrap_or(1).saturating_sub(1);
    let start = if at < EXCERPT * 3 / 4 { 0 } else { at - EXCERPT / 2 };
    let shown = |text: String| plain(&text.replace('\t', " "));
    let tail: String = line.trim_end().chars().skip(start).take(EXCERPT).collect();
    let lead: String = line.chars().skip(start).take(at - start).collect();
    // Wide letters take two cells; a caret below them would need their width, so blanks keep the
    // letters' count and the usual case (ASCII) is exact.
    let blanks = " ".repeat(shown(lead).chars().count());
    let dots = if start > 0 { "…" } else { "" };
    (format!("{dots}{}", shown(tail)), format!("{}{blanks}", if start > 0 { " " } else { "" }))
}

/// `2 errors, 1 warning`.
pub fn summary(problems: &[Shown]) -> String {
    let errors = problems.iter().filter(|problem| problem.is_error()).count();
    let count = |count: usize, noun: &str| match count {
        0 => None,
        1 => Some(format!("1 {noun}")),
        _ => Some(format!("{count} {noun}s")),
    };
    let parts = [count(errors, "error"), count(problems.len() - errors, "warning")];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "no problems".to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: u32, column: u32) -> Shown {
        Shown {
            severity: "error".into(),
            id: "unknown-key".into(),
            line,
            column,
            pointer: "/routs".into(),
            message: "unknown key \"routs\"".into(),
            hint: Some("did you mean \"routes\"?".into()),
        }
    }

    #[test]
    fn a_problem_shows_its_line_and_a_caret() {
        let text = "{\n\t\"routs\": {}\n}\n";
        let mut screen = Screen::quiet();
        render(&mut screen, "site.json", Some(text), &[shown(2, 2)]);
        let expected = "error[unknown-key]: unknown key \"routs\"\n \
                        --> site.json:2:2 (/routs)\n  \
                        |\n\
                        2 |  \"routs\": {}\n  \
                        |  ^\n  \
                        = did you mean \"routes\"?\n\n";
        assert_eq!(screen.take(), expected);
    }

    #[test]
    fn places_that_are_not_in_the_text_do_no_harm() {
        for (line, column) in [(0, 0), (9, 1), (1, 4000), (u32::MAX, u32::MAX)] {
            let mut screen = Screen::quiet();
            render(&mut screen, "x", Some("{}"), &[shown(line, column)]);
            assert!(screen.take().starts_with("error[unknown-key]"));
        }
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let text = format!("{}X{}", "a".repeat(5000), "b".repeat(5000));
        let mut screen = Screen::quiet();
        render(&mut screen, "x", Some(&text), &[shown(1, 5001)]);
        let out = screen.take();
        let lines: Vec<&str> = out.lines().collect();
        let at = |line: &str, letter| line.chars().position(|c| c == letter).unwrap();
        assert_eq!(at(lines[3], 'X'), at(lines[4], '^'));
        assert!(lines[3].chars().count() < 120);
    }

    #[test]
    fn sums() {
        let warning = Shown { severity: "warning".into(), ..shown(1, 1) };
        assert_eq!(summary(&[]), "no problems");
        assert_eq!(summary(&[shown(1, 1), shown(2, 1), warning]), "2 errors, 1 warning");
    }
}
