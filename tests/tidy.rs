//! The style of the house, held by a test: layers, sizes, words, documents. Reads the tree as text;
//! what it does not cover (names, prose, design) is for people.

#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;

use source::Source;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Folders that hold no text of ours.
const SKIPPED: [&str; 6] = ["target", ".git", ".cache", "node_modules", "corpus", "artifacts"];

/// Every file of the tree, by its path from the root.
fn files() -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(ROOT)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let name = entry.file_name().to_string_lossy().into_owned();
            if SKIPPED.contains(&name.as_str()) {
                continue;
            }
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                let path = entry.path();
                found.push(path.strip_prefix(ROOT).unwrap().to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

fn read(path: &str) -> String {
    let full = Path::new(ROOT).join(path);
    std::fs::read_to_string(&full).unwrap_or_else(|e| panic!("{}: {e}", full.display()))
}

/// The Rust files under these folders.
fn sources(folders: &[&str]) -> Vec<Source> {
    let of_rust = |p: &String| p.ends_with(".rs") && folders.iter().any(|f| p.starts_with(f));
    files().iter().filter(|p| of_rust(p)).map(|p| Source::new(p, &read(p))).collect()
}

fn none(offences: Vec<String>) {
    assert!(offences.is_empty(), "{} offences:\n{}", offences.len(), offences.join("\n"));
}

fn rooms() -> Vec<layers::Room> {
    layers::table(&read("docs/ARCHITECTURE.md")).unwrap()
}

#[test]
fn arrows_point_down_the_layers() {
    let rooms = rooms();
    none(sources(&["src/"]).iter().flat_map(|s| layers::check(s, &rooms)).collect());
}

#[test]
fn the_table_names_the_rooms_that_exist() {
    let root = Source::new("src/lib.rs", &read("src/lib.rs"));
    let mut declared: Vec<String> = Vec::new();
    for line in root.live.lines().filter_map(|l| l.trim().strip_prefix("pub mod ")) {
        declared.push(line.trim_end_matches(';').to_string());
    }
    let mut listed: Vec<String> = rooms().into_iter().map(|r| r.name).collect();
    listed.retain(|name| name != "bin");
    declared.sort();
    listed.sort();
    assert_eq!(declared, listed, "src/lib.rs and docs/ARCHITECTURE.md");
}

#[test]
fn files_and_functions_are_short() {
    none(sources(&["src/", "tests/", "benches/"]).iter().flat_map(rules::sizes).collect());
}

#[test]
fn files_say_what_they_are() {
    none(sources(&["src/", "tests/"]).iter().flat_map(rules::header).collect());
}

#[test]
fn rooms_keep_to_their_words() {
    let rooms = rooms();
    none(sources(&["src/"]).iter().flat_map(|s| rules::banned(s, &rooms)).collect());
}

#[test]
fn the_data_plane_does_not_index() {
    none(sources(&["src/"]).iter().flat_map(rules::indexing).collect());
}

#[test]
fn unsafe_code_says_why_it_is_sound() {
    none(sources(&["src/", "tests/", "benches/"]).iter().flat_map(rules::safety).collect());
}

#[test]
fn tests_do_not_sleep() {
    none(sources(&["src/", "tests/"]).iter().flat_map(rules::sleeps).collect());
}

#[test]
fn public_items_are_documented() {
    let root = read("src/lib.rs");
    assert!(root.contains("#![deny(missing_docs)]"), "the compiler checks it, if it is asked to");
    let mut offences = Vec::new();
    for source in sources(&["src/"]) {
        if source.live.contains("allow(missing_docs)") {
            offences.push(format!("{}: allows missing_docs", source.path));
        }
    }
    none(offences);
}

#[test]
fn no_unfinished_work_and_no_machine_paths() {
    let text = [
        "rs", "md", "toml", "sh", "json", "xml", "conf", "service", "socket", "policy", "py",
        "tsv", "catalog", "preset", "c", "js", "yml", "run",
    ];
    let mut offences = Vec::new();
    for path in files() {
        let name = path.rsplit('/').next().unwrap();
        let suffix = name.rsplit_once('.').map_or("run", |(_, suffix)| suffix);
        if !text.contains(&suffix) || name == "LICENSE" {
            continue;
        }
        // Files without a suffix may be binaries; those are not ours to read.
        let Ok(content) = std::fs::read_to_string(Path::new(ROOT).join(&path)) else { continue };
        offences.extend(rules::leftovers(&path, &content));
        offences.extend(rules::machine_paths(&path, &content, ROOT));
    }
    none(offences);
}

/// The names under these headings of `Cargo.toml`.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut inside = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.contains("dependencies]");
        } else if inside && let Some((name, _)) = line.split_once('=') {
            names.push(name.trim().to_string());
        }
    }
    names.retain(|n| !n.is_empty() && !n.starts_with('#'));
    names
}

#[test]
fn dependencies_have_a_reason() {
    let names = dependencies(&read("Cargo.toml"));
    assert!(names.len() > 10, "the manifest was read: {names:?}");
    let reasons = read("docs/decisions/0002-dependencies.md");
    let missing: Vec<String> =
        names.into_iter().filter(|n| !reasons.contains(&format!("| `{n}` |"))).collect();
    none(missing);
}

#[test]
fn every_test_file_is_registered() {
    let manifest = read("Cargo.toml");
    let mut offences = Vec::new();
    for path in files() {
        let Some(rest) = path.strip_prefix("tests/") else { continue };
        let target = rest.ends_with("/main.rs") || (rest.ends_with(".rs") && !rest.contains('/'));
        if target && !manifest.contains(&format!("\"{path}\"")) {
            offences.push(format!("{path} is not a [[test]] of Cargo.toml"));
        }
    }
    none(offences);
}

#[test]
fn decisions_are_numbered_once() {
    let mut numbers: Vec<String> = Vec::new();
    for path in files() {
        if let Some(name) = path.strip_prefix("docs/decisions/") {
            let number = name.split('-').next().unwrap_or("").to_string();
            assert!(number.len() == 4 && number.parse::<u16>().is_ok(), "{path}: NNNN-title.md");
            numbers.push(number);
        }
    }
    let all = numbers.len();
    numbers.dedup();
    assert!(all > 1 && numbers.len() == all, "a number of docs/decisions stands twice");
}

/// The variants of `enum Offence` in a file, by name.
fn offence_variants(source: &Source) -> Vec<String> {
    let Some(at) = source.live.find("enum Offence") else { return Vec::new() };
    let end = source::item_end(source.live.as_bytes(), at);
    let open = at + source.live[at..end].find('{').unwrap_or(0);
    let mut names = Vec::new();
    for line in source.live[open + 1..end].lines() {
        let word: String = line.trim().chars().take_while(|c| c.is_alphanumeric()).collect();
        if word.starts_with(char::is_uppercase) {
            names.push(word);
        }
    }
    names
}

#[test]
fn every_offence_is_tested() {
    let sample =
        Source::new("src/a/b.rs", "pub enum Offence {\n    /// x\n    Bad,\n    Worse(u8),\n}\n");
    assert_eq!(offence_variants(&sample), ["Bad", "Worse"]);

    let all = sources(&["src/", "tests/", "fuzz/"]);
    let mut tested = String::new();
    for source in &all {
        let live: Vec<&str> = source.live.lines().collect();
        let test_lines = source.code.lines().enumerate().filter(|(n, line)| live[*n] != *line);
        tested.extend(test_lines.map(|(n, _)| format!("{}\n", source.line_text(n + 1))));
    }
    for path in files().iter().filter(|p| p.starts_with("tests/") && p.ends_with(".tsv")) {
        tested.push_str(&read(path));
    }
    let mut untested = Vec::new();
    for source in all.iter().filter(|s| s.path.starts_with("src/proto/")) {
        for name in offence_variants(source) {
            if source::words(&tested, &name).is_empty() {
                untested.push(format!("{}: no test names Offence::{name}", source.path));
            }
        }
    }
    none(untested);
}

#[test]
fn the_changelog_names_this_version() {
    let manifest = read("Cargo.toml");
    let version = manifest.lines().find_map(|l| l.strip_prefix("version = ")).unwrap();
    let version = version.trim_matches('"');
    let log = read("CHANGELOG.md");
    assert!(log.contains(&format!("## {version}")), "CHANGELOG.md has no entry for {version}");
}
