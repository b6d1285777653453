//! What must hold for configurations and paths whatever the bytes are. Panics when it doesn't.
//!
//! - A document has a plan or an error, and every problem has a place in it.
//! - A plan written out with its defaults checks to the same plan, and differs from itself in nothing.
//! - `explain` ends where `lookup` ends.
//! - No accepted path holds a dot segment, however a server decodes it.

use cloudcup::config::{self, CheckContext, ExplainRequest, Severity};
use cloudcup::route::path;

/// Any bytes as a document.
pub fn document(bytes: &[u8]) {
    let checked = config::check(bytes, &CheckContext { descriptors: Some(1_024) });
    let refused = checked.problems.iter().any(|problem| problem.severity == Severity::Error);
    assert_eq!(checked.plan.is_none(), refused);
    let lines = bytes.split(|byte| *byte == b'\n').count();
    for problem in &checked.problems {
        let line = problem.line as usize;
        assert!((1..=lines).contains(&line), "{problem}");
        let text = bytes.split(|byte| *byte == b'\n').nth(line - 1).unwrap_or_default();
        assert!((1..=text.len() + 1).contains(&(problem.column as usize)), "{problem}");
        assert!(!problem.to_string().chars().any(cloudcup::route::unprintable), "{problem}");
    }
    let Some(plan) = checked.plan else { return };
    assert_eq!(config::diff(&plan, &plan), []);
    let written = config::effective(&plan);
    let again = config::check(written.as_bytes(), &CheckContext::default());
    if plan.format == config::plan::Format::Current {
        assert!(again.plan.as_ref() == Some(&plan), "{written}\n{:?}", again.problems);
    }
    for rule in plan.rules.iter().take(20) {
        let url = rule.key.replace('*', "x");
        let url = if url.starts_with('/') { url } else { format!("http://{url}") };
        let told = config::explain(&plan, &ExplainRequest { url, ..ExplainRequest::default() });
        let last = told.steps.iter().rev().find(|step| step.stage == "rule");
        let named = told.rule.and_then(|rule| plan.rules.get(rule as usize));
        assert_eq!(
            named.map(|rule| &rule.name),
            last.filter(|step| step.passed).map(|step| &step.subject)
        );
    }
}

/// Any bytes as a path.
pub fn a_path(bytes: &[u8]) {
    let Ok(()) = path::check(bytes) else { return };
    let mut decoded = bytes.to_vec();
    // Some servers decode twice by mistake; once is what a correct one does.
    decode(&mut decoded);
    for segment in decoded.split(|byte| matches!(byte, b'/' | b'\\')) {
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        assert!(!matches!(name, b"." | b".."), "{}", bytes.escape_ascii());
    }
    assert!(!bytes.contains(&b'%') || !decoded.contains(&0) || bytes.contains(&0));
    let mut room = [0; path::KEY_MAX + 4];
    let once = path::matched(bytes, &mut room).to_vec();
    let mut room = [0; path::KEY_MAX + 4];
    if once.len() < path::KEY_MAX && path::check(&once).is_ok() {
        assert_eq!(path::matched(&once, &mut room), once, "the compared form is its own");
    }
}

fn decode(bytes: &mut Vec<u8>) {
    let mut at = 0;
    while at + 2 < bytes.len() {
        let digits = std::str::from_utf8(&bytes[at + 1..at + 3]).unwrap_or_default();
        if bytes[at] == b'%'
            && let Ok(byte) = u8::from_str_radix(digits, 16)
        {
            bytes.splice(at..at + 3, [byte]);
        }
        at += 1;
    }
}
