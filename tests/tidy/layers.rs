//! The layer law: which room may name which, read from the table in `docs/ARCHITECTURE.md`, so
//! that the document and the check cannot drift apart.

use crate::source::{Source, is_word, words};

/// A row of the table.
pub struct Room {
    /// Folder under `src/`.
    pub name: String,
    /// Its layer; a room may name only rooms of a lower one, and itself.
    pub layer: u32,
    /// Computes only: no files, sockets, clocks, locks.
    pub pure: bool,
    /// Lower rooms which it must not name all the same.
    pub never: Vec<String>,
}

/// Reads the table between the markers of `docs/ARCHITECTURE.md`.
pub fn table(document: &str) -> Result<Vec<Room>, String> {
    let begin = document.find("<!-- layers -->").ok_or("no <!-- layers --> marker")?;
    let end = document.find("<!-- /layers -->").ok_or("no <!-- /layers --> marker")?;
    let mut rooms = Vec::new();
    for line in document[begin..end].lines().filter(|l| l.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let Ok(layer) = cells[0].parse() else { continue };
        let [_, name, pure, never, _what] = cells[..] else {
            return Err(format!("a row of the layer table has {} cells: {line}", cells.len()));
        };
        rooms.push(Room {
            name: name.trim_matches('`').to_string(),
            layer,
            pure: pure == "pure",
            never: never.split_whitespace().map(|w| w.trim_matches('`').to_string()).collect(),
        });
    }
    Ok(rooms)
}

/// Every path of `source` that points where the table does not let it.
pub fn check(source: &Source, rooms: &[Room]) -> Vec<String> {
    let Some(own) = source.room() else { return Vec::new() };
    let find = |name: &str| rooms.iter().find(|r| r.name == name);
    let Some(room) = find(own) else {
        return vec![format!("{}: room `{own}` is not in the layer table", source.path)];
    };
    let mut found = Vec::new();
    for (at, target) in targets(source) {
        if target == own {
            continue;
        }
        // Only rooms matter: `crate::Name` of the root is nobody's (the root exports none).
        let Some(other) = find(&target) else { continue };
        let why = if other.layer >= room.layer {
            format!("layer {} must not name layer {} (`{target}`)", room.layer, other.layer)
        } else if room.never.contains(&target) {
            format!("`{own}` must never name `{target}`")
        } else {
            continue;
        };
        found.push(format!("{}:{}: {why}", source.path, source.line(at)));
    }
    found
}

/// The rooms that live code names, with the offset of each mention.
fn targets(source: &Source) -> Vec<(usize, String)> {
    let code = &source.live;
    let mut found = Vec::new();
    for root in ["crate::", "cloudcup::"] {
        for at in words(code, root) {
            found.extend(heads(code, at + root.len()).into_iter().map(|name| (at, name)));
        }
    }
    // `super::` climbs out of the crate's root module when repeated often enough.
    let depth = depth(&source.path);
    let climb = "super::".repeat(depth);
    for at in words(code, &climb) {
        found.extend(heads(code, at + climb.len()).into_iter().map(|name| (at, name)));
    }
    found
}

/// How many `super::` lead from a file's module to the crate root.
fn depth(path: &str) -> usize {
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs");
    let parts = inner.split('/').count();
    if inner.ends_with("/mod") { parts - 1 } else { parts }
}

/// The first identifiers of the path, or of each path of the group, at `at`.
fn heads(code: &str, at: usize) -> Vec<String> {
    let bytes = code.as_bytes();
    let word = |from: usize| -> String {
        code[from..].bytes().take_while(|b| is_word(*b)).map(char::from).collect()
    };
    if bytes.get(at) != Some(&b'{') {
        return vec![word(at)];
    }
    let (mut names, mut depth, mut fresh) = (Vec::new(), 0usize, true);
    for (n, byte) in bytes[at..].iter().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            b',' if depth == 1 => fresh = true,
            b if is_word(*b) && depth == 1 && fresh => {
                names.push(word(at + n));
                fresh = false;
            }
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "<!-- layers -->\n| L | room | kind | never | what |\n|---|---|---|---|---|\n\
        | 0 | `base` | | | x |\n| 1 | `msg` | pure | | x |\n| 2 | `proto` | pure | | x |\n\
        | 2 | `route` | pure | | x |\n| 5 | `master` | | `proto` | x |\n<!-- /layers -->";

    fn offences(path: &str, text: &str) -> usize {
        check(&Source::new(path, text), &table(TABLE).unwrap()).len()
    }

    #[test]
    fn arrows_point_down() {
        assert_eq!(table(TABLE).unwrap().len(), 5);
        assert_eq!(offences("src/proto/a.rs", "use crate::msg::Head; use crate::proto::b;"), 0);
        assert_eq!(offences("src/proto/a.rs", "use crate::route::Table;"), 1);
        assert_eq!(offences("src/msg/a.rs", "use crate::{base::ids, proto::{x, y}};"), 1);
        assert_eq!(offences("src/msg/a.rs", "fn f() { crate::master::run() }"), 1);
        assert_eq!(
            offences("src/msg/a.rs", "// crate::master\nconst A: &str = \"crate::master\";"),
            0
        );
        assert_eq!(offences("src/msg/mod.rs", "use super::proto::x;"), 1);
        assert_eq!(offences("src/msg/a.rs", "use super::super::proto::x;"), 1);
        assert_eq!(offences("src/msg/a.rs", "use super::proto;"), 0);
        assert_eq!(offences("src/master/a.rs", "use crate::proto::h1;"), 1);
        assert_eq!(offences("src/msg/a.rs", "#[cfg(test)] mod t { use crate::proto::x; }"), 0);
        assert_eq!(offences("src/other/a.rs", ""), 1);
    }
}
