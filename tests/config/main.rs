//! The configuration from outside: golden texts of problems, hostile documents, examples, and the
//! files that are written from the key tables.
//!
//! `UPDATE_GOLDEN=1 cargo test --test config` writes the golden files anew; read the difference.

mod golden;
mod hostile;
mod shipped;

use std::path::{Path, PathBuf};

/// A path of the tree.
fn path(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below)
}

/// Compares a file of the tree with what it should hold, or writes it when that was asked for.
#[track_caller]
fn compare(below: &str, wanted: &str) {
    let file = path(below);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).expect("a folder for golden files");
        }
        std::fs::write(&file, wanted).expect("write a golden file");
        return;
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    let differs = found.lines().zip(wanted.lines()).position(|(a, b)| a != b);
    let line = differs.unwrap_or(found.lines().count().min(wanted.lines().count()));
    assert!(
        found == wanted,
        "{below} differs from line {}:\n  file: {:?}\n  now:  {:?}\n(UPDATE_GOLDEN=1 writes it anew)",
        line + 1,
        found.lines().nth(line),
        wanted.lines().nth(line)
    );
}
