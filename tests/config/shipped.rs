//! Files that are shipped: the schema, the manual and the examples.

use cloudcup::config::{self, CheckContext, manual};
use serde_json::Value;

use super::{compare, path};

#[test]
fn the_schema_is_written_from_the_tables() {
    compare("contrib/schema/cloudcup.schema.json", &config::schema());
    let schema: Value = serde_json::from_str(&config::schema()).expect("JSON");
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    references(&schema, &schema);
}

/// Every reference of the schema leads somewhere.
fn references(whole: &Value, part: &Value) {
    match part {
        Value::Object(members) => {
            for (name, value) in members {
                if let ("$ref", Some(target)) = (name.as_str(), value.as_str()) {
                    let pointer = target.strip_prefix('#').expect("a local reference");
                    assert!(whole.pointer(pointer).is_some(), "{target}");
                }
                references(whole, value);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(whole, item)),
        _ => {}
    }
}

#[test]
fn the_manual_is_written_from_the_tables() {
    compare("docs/configuration.md", &manual::markdown());
    compare("docs/man/cloudcup.json.5", &manual::man_page());
}

#[test]
fn examples_are_right() {
    let mut seen = Vec::new();
    for entry in std::fs::read_dir(path("contrib/examples")).expect("the examples") {
        let file = entry.expect("an entry").path();
        let text = std::fs::read(&file).expect("an example");
        let checked = config::check(&text, &CheckContext::default());
        let seed = file.to_string_lossy().contains("seed");
        let problems: Vec<_> = checked.problems.iter().map(|p| p.id.as_str()).collect();
        let wanted: &[&str] = if seed { &["seed-prefix"] } else { &[] };
        assert_eq!(problems, wanted, "{}", file.display());
        assert!(checked.plan.is_some());
        seen.push(file);
    }
    assert!(seen.len() >= 6, "{seen:?}");
}

/// Configurations in documents are right too.
#[test]
fn documents_show_what_works() {
    let mut seen = 0;
    for file in ["README.md", "docs/ARCHITECTURE.md", "docs/THREATS.md", "CONTRIBUTING.md"] {
        let text = std::fs::read_to_string(path(file)).expect(file);
        for block in text.split("```json\n").skip(1) {
            let block = block.split("```").next().unwrap_or_default();
            let checked = config::check(block.as_bytes(), &CheckContext::default());
            assert_eq!(checked.problems, [], "{file}");
            seen += 1;
        }
    }
    assert!(seen > 0);
}
