//! Problems of a document: what is wrong, where exactly, and what would be right.
//!
//! Positions are found at the end, in one pass over the text, so that a hostile document with one
//! long line costs no more than a friendly one.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::route::unprintable;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The document is refused.
    Error,
    /// It works, but hardly as meant.
    Warning,
}

impl Severity {
    /// The word that is shown.
    pub const fn word(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// One problem of a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// Stable name of its kind, for scripts. In a seed file, the seed's own identifiers.
    pub id: String,
    /// JSON pointer (RFC 6901) of the value or key in question. Invisible characters of a key stand
    /// escaped in it, so that it can be shown and logged.
    pub pointer: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What is wrong and what is allowed.
    pub message: String,
    /// What to write or do.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { severity, id, pointer, line, column, message, hint } = self;
        write!(out, "{line}:{column}: {}: {message}", severity.word())?;
        if let Some(hint) = hint {
            write!(out, "; {hint}")?;
        }
        let pointer = if pointer.is_empty() { "the document" } else { pointer };
        write!(out, " [{id}, {pointer}]")
    }
}

/// A problem before its position is known.
#[derive(Debug)]
pub(super) struct Found {
    pub severity: Severity,
    pub id: &'static str,
    /// Byte offset in the text.
    pub at: u32,
    pub pointer: String,
    pub message: String,
    pub hint: Option<String>,
}

/// Characters of a message or hint; documents may hold texts of any length.
const TEXT_MAX: usize = 400;

/// Words of a document in a message must neither flood a log nor break its lines.
fn fit_to_show(text: String) -> String {
    if text.len() <= TEXT_MAX && !text.chars().any(unprintable) {
        return text;
    }
    let mut shown = String::new();
    for c in text.chars().take(TEXT_MAX) {
        match unprintable(c) {
            true => shown.extend(c.escape_debug()),
            false => shown.push(c),
        }
    }
    if text.chars().nth(TEXT_MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// Problems of one document, of which only so many are kept.
#[derive(Debug, Default)]
pub(super) struct Collector {
    found: Vec<Found>,
    more: usize,
    errors: usize,
}

/// Problems shown of one document; the rest is counted.
pub const SHOWN_MAX: usize = 100;

impl Collector {
    pub fn push(&mut self, mut found: Found) {
        if self.is_full() {
            return self.count(found.severity);
        }
        found.message = fit_to_show(found.message);
        found.hint = found.hint.map(fit_to_show);
        self.errors += usize::from(found.severity == Severity::Error);
        self.found.push(found);
    }

    /// Counts a problem that is not kept.
    pub fn count(&mut self, severity: Severity) {
        self.errors += usize::from(severity == Severity::Error);
        self.more += 1;
    }

    /// Whether a further problem would only be counted.
    pub fn is_full(&self) -> bool {
        self.found.len() >= SHOWN_MAX
    }

    pub fn errors(&self) -> usize {
        self.errors
    }

    /// The problems in the order of the text, with lines and columns.
    pub fn finish(mut self, text: &[u8]) -> Vec<Problem> {
        self.found.sort_by_key(|found| found.at);
        let mut line = 1u32;
        let mut column = 1u32;
        let mut done = 0usize;
        let mut problems = Vec::with_capacity(self.found.len());
        let hidden_errors =
            self.errors - self.found.iter().filter(|f| f.severity == Severity::Error).count();
        for found in self.found {
            let upto = (found.at as usize).min(text.len());
            for byte in text.get(done..upto).unwrap_or_default() {
                match byte {
                    b'\n' => (line, column) = (line + 1, 1),
                    // A continuation byte of UTF-8 starts no character.
                    0x80..0xc0 => {}
                    _ => column += 1,
                }
            }
            done = done.max(upto);
            let Found { severity, id, pointer, message, hint, .. } = found;
            let id = id.to_owned();
            problems.push(Problem { severity, id, pointer, line, column, message, hint });
        }
        if self.more > 0 {
            problems.push(Problem {
                severity: if hidden_errors > 0 { Severity::Error } else { Severity::Warning },
                id: "more".to_owned(),
                pointer: String::new(),
                line,
                column,
                message: format!("{} more problems are not shown", self.more),
                hint: None,
            });
        }
        problems
    }
}
