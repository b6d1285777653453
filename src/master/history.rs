//! Which configurations were accepted: an append-only list and the documents themselves.
//!
//! In the state folder: `serials`, one JSON object per line, only ever appended to (a cut last line, left
//! by a crash, is ignored and mended); `documents/HASH.json`, named by the SHA-256 of their bytes, mode
//! 0600. Documents hold references to secrets, never secrets. Without a state folder all of it is kept in
//! memory, and a restart begins with the file.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Documents kept; older ones are removed, their lines stay.
const KEEP_DOCUMENTS: usize = 64;
/// Largest list of serials that is read back: beyond it the oldest lines are left out.
const MAX_LIST: u64 = 8 * 1024 * 1024;

/// One accepted configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Counted up from 1, never used twice.
    pub serial: u64,
    /// When it was accepted, in seconds since 1970.
    pub at_unix: u64,
    /// `file` or `api:UID`.
    pub source: String,
    /// SHA-256 of the document, in hex: its name in `documents`.
    pub hash: String,
}

impl Entry {
    /// Whether it came from the configuration file.
    pub fn is_from_file(&self) -> bool {
        self.source == "file"
    }
}

/// The list and where it is kept.
#[derive(Debug)]
pub struct History {
    folder: Option<PathBuf>,
    entries: Vec<Entry>,
    /// Documents that live in memory only, by hash, when there is no folder.
    unsaved: Vec<(String, String)>,
}

impl History {
    /// A history that is kept in memory only.
    pub fn in_memory() -> History {
        History { folder: None, entries: Vec::new(), unsaved: Vec::new() }
    }

    /// Opens (and makes) the history in a state folder.
    pub fn open(folder: &Path) -> io::Result<History> {
        let documents = folder.join("documents");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&documents)?;
        let mut text = String::new();
        match File::open(folder.join("serials")) {
            Ok(file) => {
                let size = file.metadata()?.len();
                if size > MAX_LIST {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "serials is too large"));
                }
                let mut bytes = Vec::new();
                file.take(MAX_LIST).read_to_end(&mut bytes)?;
                text = String::from_utf8_lossy(&bytes).into_owned();
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut entries: Vec<Entry> = Vec::new();
        for line in text.lines() {
            let Ok(entry) = serde_json::from_str::<Entry>(line) else { continue };
            let newer = entries.last().is_none_or(|last| entry.serial > last.serial);
            if newer && is_hash(&entry.hash) {
                entries.push(entry);
            }
        }
        Ok(History { folder: Some(folder.to_owned()), entries, unsaved: Vec::new() })
    }

    /// All entries, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The newest entry.
    pub fn last(&self) -> Option<&Entry> {
        self.entries.last()
    }

    /// The newest entry that came from the configuration file.
    pub fn last_from_file(&self) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.is_from_file())
    }

    /// The serial that the next accepted configuration gets.
    pub fn next_serial(&self) -> u64 {
        self.last().map_or(1, |last| last.serial.saturating_add(1))
    }

    /// The document of an entry. `InvalidData` when its bytes don't match its hash any more.
    pub fn document(&self, entry: &Entry) -> io::Result<String> {
        if let Some((_, text)) = self.unsaved.iter().find(|(hash, _)| *hash == entry.hash) {
            return Ok(text.clone());
        }
        let Some(folder) = &self.folder else {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the document was not kept"));
        };
        let text = fs::read_to_string(document_path(folder, &entry.hash))?;
        if hash_of(&text) != entry.hash {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the document was changed"));
        }
        Ok(text)
    }

    /// Records an accepted configuration. With a state folder it is durable when this returns; on an
    /// error it counts in memory only, and the caller warns.
    pub fn record(&mut self, entry: Entry, text: &str) -> io::Result<()> {
        let saved = match &self.folder {
            Some(folder) => save(folder, &entry, text),
            None => Ok(()),
        };
        if saved.is_err() || self.folder.is_none() {
            self.unsaved.retain(|(hash, _)| *hash != entry.hash);
            self.unsaved.push((entry.hash.clone(), text.to_owned()));
            if self.unsaved.len() > KEEP_DOCUMENTS {
                self.unsaved.remove(0);
            }
        }
        self.entries.push(entry);
        self.prune();
        saved
    }

    /// Removes documents that only entries older than the last [`KEEP_DOCUMENTS`] name.
    fn prune(&self) {
        let Some(folder) = &self.folder else { return };
        let Some(old) = self.entries.len().checked_sub(KEEP_DOCUMENTS + 1) else { return };
        let (before, kept) = self.entries.split_at(old + 1);
        let Some(gone) = before.last() else { return };
        if kept.iter().all(|entry| entry.hash != gone.hash) {
            // Already gone is as good.
            let _removed = fs::remove_file(document_path(folder, &gone.hash));
        }
    }
}

/// SHA-256 of a document, in hex.
pub fn hash_of(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn document_path(folder: &Path, hash: &str) -> PathBuf {
    folder.join("documents").join(format!("{hash}.json"))
}

fn save(folder: &Path, entry: &Entry, text: &str) -> io::Result<()> {
    let path = document_path(folder, &entry.hash);
    let known = fs::read_to_string(&path).is_ok_and(|old| old == text);
    if !known {
        let fresh = path.with_extension("new");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, &path)?;
    }
    let mut line = serde_json::to_string(entry).map_err(io::Error::other)?;
    line.push('\n');
    let list = folder.join("serials");
    if !ends_with_newline(&list)? {
        line.insert(0, '\n');
    }
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&list)?;
    file.write_all(line.as_bytes())?;
    file.sync_all()
}

/// Whether the list is empty or its last line is whole.
fn ends_with_newline(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::FileExt;
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    let Some(last) = file.metadata()?.len().checked_sub(1) else { return Ok(true) };
    let mut byte = [0];
    file.read_exact_at(&mut byte, last)?;
    Ok(byte == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(serial: u64, source: &str, text: &str) -> Entry {
        Entry { serial, at_unix: 1, source: source.to_owned(), hash: hash_of(text) }
    }

    #[test]
    fn entries_and_documents_survive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = History::open(folder.path()).unwrap();
        assert_eq!(history.next_serial(), 1);
        history.record(entry(1, "file", "{1}"), "{1}").unwrap();
        history.record(entry(2, "api:0", "{2}"), "{2}").unwrap();
        let again = History::open(folder.path()).unwrap();
        assert_eq!(again.entries(), history.entries());
        assert_eq!(again.next_serial(), 3);
        assert_eq!(again.last_from_file().unwrap().serial, 1);
        assert_eq!(again.document(again.last().unwrap()).unwrap(), "{2}");
    }

    #[test]
    fn a_cut_line_is_ignored_and_the_next_one_stands_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = History::open(folder.path()).unwrap();
        history.record(entry(1, "file", "a"), "a").unwrap();
        let list = folder.path().join("serials");
        let mut text = fs::read_to_string(&list).unwrap();
        text.push_str("{\"serial\":2,\"at_un");
        fs::write(&list, &text).unwrap();
        let mut again = History::open(folder.path()).unwrap();
        assert_eq!(again.next_serial(), 2);
        again.record(entry(2, "file", "b"), "b").unwrap();
        let third = History::open(folder.path()).unwrap();
        let serials: Vec<u64> = third.entries().iter().map(|entry| entry.serial).collect();
        assert_eq!(serials, [1, 2]);
    }

    #[test]
    fn a_changed_document_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = History::open(folder.path()).unwrap();
        history.record(entry(1, "file", "a"), "a").unwrap();
        let path = document_path(folder.path(), &hash_of("a"));
        fs::write(path, "b").unwrap();
        let error = history.document(history.last().unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn old_documents_go_and_shared_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = History::open(folder.path()).unwrap();
        for serial in 1..=KEEP_DOCUMENTS as u64 + 10 {
            let text = if serial % 2 == 0 { "same".to_owned() } else { format!("{serial}") };
            history.record(entry(serial, "file", &text), &text).unwrap();
        }
        assert!(history.document(&entry(1, "file", "1")).is_err());
        assert!(history.document(&entry(2, "file", "same")).is_ok());
        assert!(history.document(&entry(73, "file", "73")).is_ok());
    }

    #[test]
    fn without_a_folder_it_is_kept_in_memory() {
        let mut history = History::in_memory();
        history.record(entry(1, "file", "a"), "a").unwrap();
        assert_eq!(history.document(history.last().unwrap()).unwrap(), "a");
    }
}
