//! Golden texts: each document of `tests/golden/config` with its problems beside it.

use cloudcup::config::{self, CheckContext, Severity};

use super::{compare, path};

fn documents() -> Vec<String> {
    let folder = std::fs::read_dir(path("tests/golden/config")).expect("the golden folder");
    let names = folder.map(|entry| entry.expect("an entry").file_name());
    let names = names.filter_map(|name| Some(name.to_str()?.strip_suffix(".json")?.to_owned()));
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn problems_have_their_golden_text() {
    let names = documents();
    assert!(names.len() >= 25, "{names:?}");
    for name in names {
        let file = format!("tests/golden/config/{name}.json");
        let text = std::fs::read(path(&file)).expect("a golden document");
        let checked = config::check(&text, &CheckContext::default());
        let mut lines = String::new();
        for problem in &checked.problems {
            lines.push_str(&format!("{name}.json:{problem}\n"));
        }
        let errors = checked.problems.iter().filter(|p| p.severity == Severity::Error).count();
        assert_eq!(checked.plan.is_some(), errors == 0, "{name}");
        compare(&format!("tests/golden/config/{name}.txt"), &lines);
    }
}

/// Each problem points at a value or a key that stands exactly there in the text.
#[test]
fn pointers_and_places_agree() {
    for name in documents() {
        let text =
            std::fs::read(path(&format!("tests/golden/config/{name}.json"))).expect("a file");
        // A document that serde_json can't read has no values to point at.
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(&text) else { continue };
        let text = String::from_utf8(text).expect("JSON is UTF-8");
        let problems = config::check(text.as_bytes(), &CheckContext::default()).problems;
        // Of a key that stands twice serde_json keeps the last.
        if problems.iter().any(|problem| problem.id == "duplicate-key") {
            continue;
        }
        for problem in problems {
            let target = value.pointer(&problem.pointer);
            let target = target.unwrap_or_else(|| panic!("{name}: no value at {problem}"));
            let line = text.lines().nth(problem.line as usize - 1).expect("the line");
            let rest: String = line.chars().skip(problem.column as usize - 1).collect();
            let key = problem.pointer.rsplit('/').next().unwrap_or_default();
            let key = key.replace("~1", "/").replace("~0", "~");
            let first = match target {
                serde_json::Value::Object(_) => "{".to_owned(),
                serde_json::Value::Array(_) => "[".to_owned(),
                serde_json::Value::Number(number) => number.to_string().chars().take(1).collect(),
                other => other.to_string(),
            };
            let at_value = rest.starts_with(&first);
            assert!(
                at_value || rest.starts_with(&format!("{key:?}")),
                "{name}: {problem}: {rest:?}"
            );
        }
    }
}
