//! The rules on a single source file. Each takes a file and answers with its offences as
//! `path:line: what`, so that a planted offence in a test proves the rule awake.

use crate::layers::Room;
use crate::source::{Source, is_word, item_end, words};

/// Longest file, in lines without tests.
const FILE_LINES_MAX: usize = 600;
/// Longest function without a reason, and with one.
const FUNCTION_LINES_MAX: usize = 70;
const FUNCTION_LINES_WITH_REASON_MAX: usize = 150;
/// Longest binary: bins only call into the library.
const BIN_LINES_MAX: usize = 60;

/// Rooms on the path of traffic: an error there is handled, never a panic.
const DATA_PLANE: [&str; 4] = ["proto", "exchange", "worker", "io"];

/// What live data-plane code must not say.
const PANICS: [&str; 8] = [
    ".unwrap()",
    ".expect(",
    ".unwrap_err()",
    "panic!(",
    "unreachable!(",
    "assert!(",
    "assert_eq!(",
    "assert_ne!(",
];

/// What a room that only computes must not say.
const IMPURE: [&str; 17] = [
    "std::fs",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "UnixDatagram",
    "ToSocketAddrs",
    "mio",
    "Instant",
    "SystemTime",
    "rand",
    "RefCell",
    "Rc",
    "Mutex",
    "RwLock",
    "thread_local",
];

/// A file starts with what it is, what it is not, and its invariants.
pub fn header(source: &Source) -> Vec<String> {
    let rust = source.path.starts_with("src/") || source.path.starts_with("tests/");
    if rust && !source.text.starts_with("//!") {
        return vec![format!("{}:1: no `//!` header", source.path)];
    }
    Vec::new()
}

/// Files and functions stay short; a longer one says why (`Length: …`) and has a limit too.
pub fn sizes(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    let lines = source.live_lines();
    let reasoned = source.text.lines().take_while(|l| l.starts_with("//!")).any(has_reason);
    let bin = source.path.starts_with("src/bin/");
    let limit = if bin { BIN_LINES_MAX } else { FILE_LINES_MAX };
    if lines > limit && (bin || !reasoned) {
        found.push(format!("{}:1: {lines} lines, limit {limit}", source.path));
    }
    for at in words(&source.live, "fn") {
        let end = item_end(source.live.as_bytes(), at);
        let first = source.line(at);
        let length = source.line(end - 1) - first + 1;
        if length <= FUNCTION_LINES_MAX {
            continue;
        }
        let above = (1..first).rev().map(|n| source.line_text(n).trim());
        let reason =
            above.take_while(|l| l.starts_with("//") || l.starts_with("#[")).any(has_reason);
        if !reason || length > FUNCTION_LINES_WITH_REASON_MAX {
            let limit = if reason { FUNCTION_LINES_WITH_REASON_MAX } else { FUNCTION_LINES_MAX };
            found.push(format!(
                "{}:{first}: function of {length} lines, limit {limit}",
                source.path
            ));
        }
    }
    found
}

fn has_reason(line: &str) -> bool {
    line.split_once("Length:").is_some_and(|(_, why)| why.trim().len() > 10)
}

/// Words that the room of a file must not use.
pub fn banned(source: &Source, rooms: &[Room]) -> Vec<String> {
    let mut found = Vec::new();
    let mut ban = |word: &str, why: &str| {
        for at in words(&source.live, word) {
            let line = source.line(at);
            // An assertion in a constant is the compiler's, not the running program's.
            if !source.line_text(line).trim_start().starts_with("const _:") {
                found.push(format!("{}:{line}: `{word}`: {why}", source.path));
            }
        }
    };
    let room = source.room().unwrap_or("");
    if DATA_PLANE.contains(&room) {
        PANICS.iter().for_each(|word| ban(word, "the data plane does not panic"));
    }
    if rooms.iter().any(|r| r.name == room && r.pure) {
        IMPURE.iter().for_each(|word| ban(word, "this room only computes"));
    }
    if source.path != "src/base/clock.rs" {
        ban("Instant::now", "base::clock alone reads the clock");
    }
    if room != "sys" {
        ban("unsafe", "only `sys` speaks to the kernel unsafely");
    }
    if room == "worker" || room == "io" {
        ban("File::open", "a worker opens no files");
        ban("ToSocketAddrs", "a worker resolves no names");
        ban("Command::new", "a worker starts no programs");
    }
    for word in ["todo!", "unimplemented!", "dbg!"] {
        ban(word, "unfinished code");
    }
    found
}

/// Data-plane code asks slices (`get`), it does not index them; where the compiler or the line above
/// knows the bounds, a comment `Bounds: …` says so. A whole range and a key of text are no index.
pub fn indexing(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    if !DATA_PLANE.contains(&source.room().unwrap_or("")) {
        return found;
    }
    let code = source.live.as_bytes();
    for (at, _) in source.live.match_indices('[').filter(|(at, _)| *at > 0) {
        let before = code[at - 1];
        let rest = &source.live[at..];
        let key = source.text[at..].starts_with("[\"");
        let indexed = is_word(before) || before == b']' || before == b')';
        if !indexed || rest.starts_with("[..]") || rest.starts_with("[]") || key {
            continue;
        }
        let line = source.line(at);
        let near = [line, line.saturating_sub(1).max(1)];
        if !near.iter().any(|n| source.line_text(*n).contains("Bounds:")) {
            found.push(format!("{}:{line}: indexing; use get, or say `Bounds:`", source.path));
        }
    }
    found
}

/// Each `unsafe` says above it why it is sound.
pub fn safety(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for at in words(&source.code, "unsafe") {
        let rest = source.code[at + "unsafe".len()..].trim_start();
        let line = source.line(at);
        // An attribute, or a pointer type such as `unsafe extern "C" fn(…)`, has nothing to prove.
        if rest.starts_with(['_', ')']) || rest.starts_with("extern") || rest.starts_with("(") {
            continue;
        }
        let same = source.line_text(line).contains("SAFETY:");
        let above = (1..line).rev().map(|n| source.line_text(n).trim()).take(12);
        let mut near = above.take_while(|l| !l.is_empty() && !l.ends_with('}'));
        if !same && !near.any(|l| l.contains("SAFETY:") || l.contains("# Safety")) {
            found.push(format!("{}:{line}: `unsafe` without // SAFETY:", source.path));
        }
    }
    found
}

/// Tests wait for conditions with a deadline; only the one helper that polls may sleep.
pub fn sleeps(source: &Source) -> Vec<String> {
    if source.path == "tests/support/wait.rs" || source.path.starts_with("benches/") {
        return Vec::new();
    }
    let code =
        if source.path.starts_with("tests/") { source.code.clone() } else { tests_of(source) };
    words(&code, "thread::sleep")
        .into_iter()
        .map(|at| format!("{}:{}: a test sleeps", source.path, source.line(at)))
        .collect()
}

/// The test code of a file of the library.
fn tests_of(source: &Source) -> String {
    let pairs = source.code.chars().zip(source.live.chars());
    pairs.map(|(code, live)| if code == live && code != '\n' { ' ' } else { code }).collect()
}

/// Marks of unfinished work, anywhere in a text file.
pub fn leftovers(path: &str, text: &str) -> Vec<String> {
    let marks =
        [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:"), concat!("HA", "CK:")];
    let mut found = Vec::new();
    for mark in marks {
        for at in words(text, mark) {
            let line = text[..at].matches('\n').count() + 1;
            found.push(format!("{path}:{line}: {mark}"));
        }
    }
    found
}

/// Paths that exist on one machine only: homes, and the folder this tree was built in.
pub fn machine_paths(path: &str, text: &str, built_in: &str) -> Vec<String> {
    let top = built_in.split('/').nth(1).unwrap_or("");
    let mut needles = vec![concat!("/ro", "ot/").to_string(), concat!("/ho", "me/").to_string()];
    let shared =
        ["", "tmp", "usr", "var", "opt", "srv", "src", "mnt", "run", "etc", "root", "home"];
    if !shared.contains(&top) {
        needles.push(format!("/{top}/"));
    }
    let mut found = Vec::new();
    for (n, line) in text.lines().enumerate() {
        // Only where a path begins: a folder of that name inside another path is nobody's.
        let hit = |needle: &str| {
            line.match_indices(needle).any(|(at, _)| {
                let before = line[..at].bytes().last();
                !before.is_some_and(|b| b.is_ascii_alphanumeric() || b"._-*}".contains(&b))
            })
        };
        if let Some(needle) = needles.iter().find(|needle| hit(needle)) {
            found.push(format!("{path}:{}: machine path {needle}", n + 1));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source::new(path, text)
    }

    #[test]
    fn long_things_are_found_and_reasons_help_within_limits() {
        let long = |n: usize| format!("//! x\nfn f() {{\n{}}}\n", "    g();\n".repeat(n));
        assert_eq!(sizes(&source("src/a/b.rs", &long(68))).len(), 0);
        assert_eq!(sizes(&source("src/a/b.rs", &long(69))).len(), 1);
        let reason = long(100).replace("fn f", "// Length: one table, read in one go.\nfn f");
        assert_eq!(sizes(&source("src/a/b.rs", &reason)).len(), 0);
        let reason = long(160).replace("fn f", "// Length: one table, read in one go.\nfn f");
        assert_eq!(sizes(&source("src/a/b.rs", &reason)).len(), 1);
        let file = format!("//! x\n{}", "const A: u8 = 1;\n".repeat(600));
        assert_eq!(sizes(&source("src/a/b.rs", &file)).len(), 1);
        let with = file.replace("//! x", "//! Length: a table of constants.");
        assert_eq!(sizes(&source("src/a/b.rs", &with)).len(), 0);
        let tests =
            format!("//! x\n#[cfg(test)]\nmod t {{\n{}}}\n", "const A: u8 = 1;\n".repeat(600));
        assert_eq!(sizes(&source("src/a/b.rs", &tests)).len(), 0);
        assert_eq!(sizes(&source("src/bin/b.rs", &"//! x\nuse a;\n".repeat(31))).len(), 1);
    }

    #[test]
    fn banned_words_depend_on_the_room() {
        let pure = [Room { name: "msg".into(), layer: 1, pure: true, never: vec![] }];
        let count = |path: &str, text: &str| banned(&source(path, text), &pure).len();
        assert_eq!(count("src/worker/a.rs", "fn f() { x.unwrap(); }"), 1);
        assert_eq!(count("src/worker/a.rs", "fn f() { debug_assert!(x); x.unwrap_or(1); }"), 0);
        assert_eq!(count("src/worker/a.rs", "const _: () = assert!(X < 3);"), 0);
        assert_eq!(count("src/config/a.rs", "fn f() { x.unwrap(); }"), 0);
        assert_eq!(count("src/worker/a.rs", "#[cfg(test)]\nmod t { fn f() { x.unwrap(); } }"), 0);
        assert_eq!(count("src/msg/a.rs", "use std::sync::Mutex;"), 1);
        assert_eq!(count("src/io/a.rs", "let t = Instant::now();"), 1);
        assert_eq!(count("src/io/a.rs", "unsafe { x() }"), 1);
        assert_eq!(count("src/sys/a.rs", "unsafe { x() }"), 0);
        assert_eq!(count("src/config/a.rs", "todo!()"), 1);
    }

    #[test]
    fn indexing_is_found_where_traffic_flows() {
        let count = |path: &str, text: &str| indexing(&source(path, text)).len();
        assert_eq!(count("src/io/a.rs", "let a = b[1]; let c = d()[..2];"), 2);
        assert_eq!(count("src/io/a.rs", "#[x] fn f(a: &[u8], b: [u8; 2]) { vec![1]; &a[..]; }"), 0);
        assert_eq!(count("src/io/a.rs", "// Bounds: checked above.\nlet a = b[1];"), 0);
        assert_eq!(count("src/config/a.rs", "let a = b[1];"), 0);
    }

    #[test]
    fn unsafe_says_why() {
        let bad = "fn f() {\n    unsafe { x() }\n}\n";
        let good = "fn f() {\n    // SAFETY: x has no conditions.\n    unsafe { x() }\n}\n";
        assert_eq!(safety(&source("src/sys/a.rs", bad)).len(), 1);
        assert_eq!(safety(&source("src/sys/a.rs", good)).len(), 0);
        assert_eq!(safety(&source("src/lib.rs", "#![deny(unsafe_code)]")).len(), 0);
    }

    #[test]
    fn sleeping_tests_unfinished_work_and_machine_paths() {
        assert_eq!(sleeps(&source("tests/e2e/a.rs", "thread::sleep(d);")).len(), 1);
        let inner =
            "fn a() { thread::sleep(d) }\n#[cfg(test)]\nmod t { fn f() { thread::sleep(d) } }";
        assert_eq!(sleeps(&source("src/io/a.rs", inner)).len(), 1);
        assert_eq!(leftovers("a", concat!("x\n// TO", "DO later\n")).len(), 1);
        assert_eq!(leftovers("a", concat!("x\n// TO", "DOS\n")).len(), 0);
        let home = concat!("cd /ho", "me/me/x");
        assert_eq!(machine_paths("a", home, "/builds/x").len(), 1);
        assert_eq!(machine_paths("a", "cd /builds/x", "/builds/x").len(), 1);
        assert_eq!(machine_paths("a", "see docs/builds/x and /usr/bin", "/builds/x").len(), 0);
        assert_eq!(header(&source("src/a/b.rs", "use x;")).len(), 1);
    }
}
