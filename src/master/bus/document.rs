//! Documents that callers hand over: as text or as a file descriptor, within the bound.
//!
//! Only regular files and memory files are read, from their start, so a caller can't make the
//! control thread wait for a pipe; a file system that hangs costs a helper thread and a timeout.

use super::failure::Failure;
use crate::control::names;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// Longest time that reading a document from a descriptor may take.
const READ_WAIT: Duration = Duration::from_secs(10);

/// Checks the size of a document that came as text. Error: `LimitExceeded`.
pub fn from_text(text: &str) -> Result<String, Failure> {
    if text.len() > names::DOCUMENT_BYTES_MAX {
        return Err(too_large());
    }
    Ok(text.to_owned())
}

/// Reads a document from `fd`. Errors: `InvalidArgument` (not a file, not UTF-8), `LimitExceeded`,
/// `Failed` (pread(2)), `TimedOut`.
pub async fn from_fd(fd: zbus::Fd<'_>) -> Result<String, Failure> {
    use std::os::fd::AsFd;
    let fd = fd
        .as_fd()
        .try_clone_to_owned()
        .map_err(|error| Failure::new(names::ERROR_FAILED, format!("cannot keep it: {error}")))?;
    let Ok(runtime) = zruntime::SharedRuntime::current() else { return Err(Failure::stopping()) };
    match runtime.timeout(READ_WAIT, zruntime::unblock(move || read(fd))).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Failure::new(names::ERROR_TIMED_OUT, "the document can't be read in time")),
    }
}

fn too_large() -> Failure {
    let bound = names::DOCUMENT_BYTES_MAX / (1024 * 1024);
    Failure::new(names::ERROR_LIMIT, format!("a document may have at most {bound} MiB"))
}

fn read(fd: OwnedFd) -> Result<String, Failure> {
    let failed = |error: io::Error| {
        Failure::new(names::ERROR_FAILED, format!("the document can't be read: {error}"))
    };
    let file = File::from(fd);
    let meta = file.metadata().map_err(failed)?;
    if !meta.is_file() {
        return Err(Failure::argument("the descriptor must be of a file or of memory"));
    }
    if meta.len() > names::DOCUMENT_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0) + 1);
    let mut block = vec![0; 64 * 1024];
    loop {
        let count = match file.read_at(&mut block, bytes.len() as u64) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        bytes.extend_from_slice(&block[..count]);
        if bytes.len() > names::DOCUMENT_BYTES_MAX {
            return Err(too_large());
        }
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::argument(format!("the document is not UTF-8 (byte {at})"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, SeekFrom, Write};

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn reads_from_the_start_whatever_the_offset() {
        let mut whole = file(b"{\"routes\":{}}");
        whole.seek(SeekFrom::Start(5)).unwrap();
        assert_eq!(read(whole.into()).unwrap(), "{\"routes\":{}}");
    }

    #[test]
    fn refuses_what_is_no_document() {
        let sparse = tempfile::tempfile().unwrap();
        sparse.set_len(names::DOCUMENT_BYTES_MAX as u64 + 1).unwrap();
        assert_eq!(read(sparse.into()).unwrap_err().name, names::ERROR_LIMIT);
        assert_eq!(read(file(b"a\xff").into()).unwrap_err().name, names::ERROR_INVALID_ARGUMENT);
        let (reader, _writer) = io::pipe().unwrap();
        assert_eq!(read(reader.into()).unwrap_err().name, names::ERROR_INVALID_ARGUMENT);
        let zero = File::open("/dev/zero").unwrap();
        assert_eq!(read(zero.into()).unwrap_err().name, names::ERROR_INVALID_ARGUMENT);
        let folder = File::open("/").unwrap();
        assert_eq!(read(folder.into()).unwrap_err().name, names::ERROR_INVALID_ARGUMENT);
    }

    #[test]
    fn a_document_at_the_bound_passes() {
        let text = " ".repeat(names::DOCUMENT_BYTES_MAX);
        assert_eq!(from_text(&text).unwrap().len(), names::DOCUMENT_BYTES_MAX);
        assert_eq!(from_text(&(text + " ")).unwrap_err().name, names::ERROR_LIMIT);
    }
}
