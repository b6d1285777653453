//! Documents that mean harm: none may panic, hang or eat memory; each gets a clear list.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use cloudcup::config::{self, CheckContext, Checked, Severity};
use proptest::prelude::*;

/// Far more than a check takes, far less than a hang.
const PATIENCE: Duration = Duration::from_secs(20);

#[track_caller]
fn check(text: &[u8]) -> Checked {
    let start = Instant::now();
    let checked = config::check(text, &CheckContext::default());
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    assert!(checked.problems.len() <= config::problem::SHOWN_MAX + 1);
    let errors = checked.problems.iter().any(|problem| problem.severity == Severity::Error);
    assert_eq!(checked.plan.is_none(), errors);
    for problem in &checked.problems {
        assert!(!problem.message.is_empty() && problem.line >= 1 && problem.column >= 1);
        let hint = problem.hint.as_deref().unwrap_or_default();
        assert!(problem.message.len() + hint.len() < 4_000, "{}", problem.message.len());
        assert!(!problem.to_string().chars().any(cloudcup::route::unprintable), "{problem}");
        assert!(problem.pointer.len() < 40_000, "{}", problem.pointer.len());
    }
    checked
}

#[track_caller]
fn only(text: &[u8], id: &str) {
    let ids: Vec<String> = check(text).problems.into_iter().map(|problem| problem.id).collect();
    assert_eq!(ids, [id]);
}

const MIB: usize = 1024 * 1024;

#[test]
fn brackets_without_end() {
    only(&vec![b'['; 10 * MIB], "too-deep");
    only("{\"a\":".repeat(2 * MIB).as_bytes(), "too-deep");
    only("[{\"a\":".repeat(MIB).as_bytes(), "too-deep");
    only(&vec![b']'; 10 * MIB], "SyntaxError");
}

#[test]
fn bytes_that_are_no_text() {
    only(&vec![0; 10 * MIB], "SyntaxError");
    only(&vec![0xff; 10 * MIB], "encoding");
    only(b"{\"routes\": {\"\xc0\xaf\": {}}}", "encoding");
    only(b"{\"routes\": {}}\0", "SyntaxError");
    only(b"\xed\xa0\x80", "encoding");
    only(&[b'{', 0x80], "encoding");
    only(b"{\"routes\": {}}\xf4\x90\x80\x80", "encoding");
}

#[test]
fn too_much_of_everything() {
    only(&vec![b' '; 16 * MIB + 1], "too-large");
    only(&vec![b' '; 16 * MIB], "SyntaxError");
    only(format!("[{}0]", "0,".repeat(3 * MIB)).as_bytes(), "too-large");
    only(format!("{{\"{}", "a".repeat(10 * MIB)).as_bytes(), "SyntaxError");
}

#[test]
fn long_names_are_shown_in_part() {
    let name = "a".repeat(10 * MIB);
    let checked = check(format!(r#"{{"routes": {{}}, "{name}": 1}}"#).as_bytes());
    let text = checked.problems.iter().map(|problem| problem.to_string()).collect::<String>();
    assert!(text.contains("unknown key") && text.len() < 2_000, "{}", text.len());
    let route = format!(r#"{{"routes": {{"/{name}": {{"respond": {{}}}}}}}}"#);
    let ids: Vec<_> = check(route.as_bytes()).problems.into_iter().map(|p| p.id).collect();
    assert_eq!(ids, ["bad-route"]);
}

#[test]
fn long_values_are_shown_in_part() {
    let value = "a:".repeat(MIB);
    for text in [
        format!(r#"{{"listeners": {{"a": {{"address": "{value}"}}}}, "routes": {{}}}}"#),
        format!(r#"{{"routes": {{"*": {{"backends": [{{"address": "{value}"}}]}}}}}}"#),
        format!(r#"{{"routes": {{"*": {{"redirect": {{"to": "{value}"}}}}}}}}"#),
        format!(
            r#"{{"routes": {{"*": {{"respond": {{}}, "match": {{"clients": ["{value}"]}}}}}}}}"#
        ),
        format!(
            r#"{{"routes": {{}}, "timeouts": {{"idle": "{value}"}}, "log": {{"access": "{value}"}}}}"#
        ),
        format!(
            r#"{{"root": "{value}", "routes": {{"*": {{"backends": [{{"host": "{value}"}}]}}}}}}"#
        ),
    ] {
        assert!(check(text.as_bytes()).plan.is_none());
    }
}

#[test]
fn many_problems_are_counted() {
    for (many, id) in [
        (
            format!(r#"{{"routes": {{}}, {} "version": 1}}"#, numbered("\"k{}\": 1, ")),
            "unknown-key",
        ),
        (format!(r#"{{"routes": {{{} "*": {{}}}}}}"#, numbered("\"/{}\": 7, ")), "wrong-type"),
        (
            format!(r#"{{"routes": {{}}, {} "version": 1}}"#, "\"x\": 1, ".repeat(100_000)),
            "duplicate-key",
        ),
        (format!(r#"{{"root": "1.1.1.1", {} "x": 1}}"#, numbered("\"k{}\": 1, ")), "unknown-key"),
        (format!("[{}1]", "1 // x\n,".repeat(100_000)), "SyntaxError"),
    ] {
        let problems = check(many.as_bytes()).problems;
        assert!(problems.iter().any(|problem| problem.id == id), "{id}: {:?}", problems.first());
        assert!(problems.len() >= config::problem::SHOWN_MAX, "{id}: {}", problems.len());
    }
}

/// 100 000 pieces with their number in place of `{}`.
fn numbered(piece: &str) -> String {
    (0..100_000).map(|number| piece.replace("{}", &number.to_string())).collect()
}

#[test]
fn many_routes_are_checked_in_time() {
    let hosts =
        (0..50_000).map(|number| format!(r#""h{number}.example/x/*": {{"respond": {{}}}},"#));
    let text =
        format!(r#"{{"routes": {{{} "*": {{"respond": {{}}}}}}}}"#, hosts.collect::<String>());
    assert_eq!(check(text.as_bytes()).plan.map(|plan| plan.rules.len()), Some(50_001));
    let rules = r#"{"respond": {}, "match": {"methods": ["GET"]}},"#.repeat(20_000);
    let text = format!(r#"{{"routes": {{"*": [{} {{"respond": {{}}}}]}}}}"#, rules);
    assert!(check(text.as_bytes()).plan.is_some());
}

#[test]
fn numbers_out_of_this_world() {
    for number in [
        "1e999",
        "-1e999",
        "1e-999",
        "99999999999999999999999999999999",
        "-0",
        "0.1",
        "1E5",
        "18446744073709551616",
        &"9".repeat(MIB),
    ] {
        for key in ["\"limits\": {\"header_fields\": N}", "\"limits\": {\"body_bytes\": N}"] {
            let text = format!(r#"{{"routes": {{}}, {}}}"#, key.replace('N', number));
            let ids: Vec<_> = check(text.as_bytes()).problems.into_iter().map(|p| p.id).collect();
            assert_eq!(ids, ["no-route", "out-of-range"], "{}", &text[..text.len().min(100)]);
        }
        let seed = format!(
            r#"{{"root": "1.1.1.1", "routes": {{"*": {{"backends": [{{"host": "a", "max_failure": {number}}}]}}}}}}"#
        );
        assert_eq!(check(seed.as_bytes()).problems[0].id, "InvalidBackendMaxFailure");
    }
}

#[test]
fn half_surrogates() {
    for escape in
        ["\\ud800", "\\udc00", "\\ud800\\ud800", "\\ud800x", "\\ud800\\u0041", "\\u12", "\\u+123"]
    {
        only(format!(r#"{{"a": "{escape}"}}"#).as_bytes(), "SyntaxError");
    }
    let good = r#"{"routes": {"*": {"respond": {"body": "\ud83d\ude00"}}}}"#;
    assert!(check(good.as_bytes()).plan.is_some());
}

/// Documents to start from: all golden ones and examples.
fn corpus() -> &'static [Vec<u8>] {
    static CORPUS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    CORPUS.get_or_init(read_corpus)
}

fn read_corpus() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for folder in ["tests/golden/config", "contrib/examples"] {
        for entry in std::fs::read_dir(super::path(folder)).expect(folder) {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|ending| ending == "json") {
                all.push(std::fs::read(path).expect("a document"));
            }
        }
    }
    assert!(all.len() > 20);
    all
}

/// One harm to a document.
#[derive(Clone, Debug)]
enum Harm {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Drop(prop::sample::Index, usize),
    Double(prop::sample::Index, usize),
    Put(prop::sample::Index, &'static str),
}

fn harm() -> impl Strategy<Value = Harm> {
    let at = || any::<prop::sample::Index>();
    let word = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "null",
        "true",
        "-1",
        "1e999",
        "\"\"",
        "{}",
        "[]",
        "\0",
        "\"*\"",
        "\"off\"",
        "\"auto\"",
        "\"root\":",
        "/",
        "..",
        "%",
        "é",
        "\u{feff}",
        "99999999999",
    ]);
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Harm::Flip(at, byte)),
        at().prop_map(Harm::Cut),
        (at(), 1..40usize).prop_map(|(at, length)| Harm::Drop(at, length)),
        (at(), 1..40usize).prop_map(|(at, length)| Harm::Double(at, length)),
        (at(), word).prop_map(|(at, word)| Harm::Put(at, word)),
    ]
}

fn apply(text: &mut Vec<u8>, harm: &Harm) {
    if text.is_empty() {
        return;
    }
    let place = |at: &prop::sample::Index| at.index(text.len());
    match harm {
        Harm::Flip(at, byte) => {
            let at = place(at);
            text[at] = *byte;
        }
        Harm::Cut(at) => text.truncate(place(at)),
        Harm::Drop(at, length) => {
            let at = place(at);
            text.drain(at..(at + length).min(text.len()));
        }
        Harm::Double(at, length) => {
            let at = place(at);
            let piece = text[at..(at + length).min(text.len())].to_vec();
            text.splice(at..at, piece);
        }
        Harm::Put(at, word) => {
            let at = place(at);
            text.splice(at..at, word.bytes());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is done to a document: a plan or a reason, and serde_json agrees on what is JSON.
    #[test]
    fn harmed_documents(pick in any::<prop::sample::Index>(), harms in prop::collection::vec(harm(), 1..6)) {
        let mut text = pick.get(corpus()).clone();
        for harm in &harms {
            apply(&mut text, harm);
        }
        let checked = check(&text);
        // One reading of serde_json takes half surrogates, the other refuses great numbers.
        let utf8 = std::str::from_utf8(&text).unwrap_or("not JSON");
        let loosely = serde_json::from_str::<serde::de::IgnoredAny>(utf8).is_ok();
        let strictly = serde_json::from_str::<serde_json::Value>(utf8).is_ok();
        let broken = checked.problems.iter().any(|p| matches!(p.id.as_str(), "SyntaxError" | "encoding"));
        let other = checked.problems.iter().any(|p| matches!(p.id.as_str(), "too-deep" | "more"));
        prop_assert!(loosely || broken || other, "not JSON, and nobody says so");
        prop_assert!(!(strictly && broken), "JSON, and we say: {:?}", checked.problems);
        if let Some(plan) = checked.plan {
            let again = config::effective(&plan);
            let twin = config::check(again.as_bytes(), &CheckContext::default());
            let seed = plan.format == config::plan::Format::Seed;
            prop_assert!(seed || twin.plan.is_some_and(|twin| twin == plan), "{again}");
            prop_assert!(config::diff(&plan, &plan).is_empty());
        }
    }

    #[test]
    fn any_bytes(text in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&text);
    }

    #[test]
    fn any_words(words in prop::collection::vec(harm(), 0..60)) {
        let mut text = Vec::new();
        for harm in &words {
            if let Harm::Put(_, word) = harm {
                text.extend_from_slice(word.as_bytes());
            }
        }
        check(&text);
    }
}
