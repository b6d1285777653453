//! The sinks of access records: opened here, written by the workers.

use crate::config::plan::AccessLog;
use crate::ipc::{FdIndex, LogSink};
use crate::sys::{fd, socket};
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// journald's socket for native records.
const JOURNAL: &str = "/run/systemd/journal/socket";

/// An open sink.
#[derive(Debug)]
pub struct AccessSink {
    /// What it was opened for.
    pub log: AccessLog,
    fd: Option<OwnedFd>,
}

impl AccessSink {
    /// Opens the sink that a configuration names. No journal is no reason to refuse a configuration: the
    /// records are then off, with a warning. A file that can't be opened is.
    pub fn open(log: &AccessLog) -> io::Result<AccessSink> {
        let fd = match log {
            AccessLog::Off => None,
            AccessLog::Journal => match socket::connect_datagram(Path::new(JOURNAL)) {
                Ok(fd) => Some(fd),
                Err(error) => {
                    tracing::info!(%error, "there is no journal here: access records are off");
                    None
                }
            },
            AccessLog::Stderr => Some(fd::duplicate(io::stderr().as_fd())?),
            AccessLog::File(path) => {
                let mut options = OpenOptions::new();
                let file = options.append(true).create(true).mode(0o640).open(path)?;
                Some(file.into())
            }
        };
        Ok(AccessSink { log: log.clone(), fd })
    }

    /// No records.
    pub fn off() -> AccessSink {
        AccessSink { log: AccessLog::Off, fd: None }
    }

    /// The sink for a message to a worker, its descriptor added to `fds`.
    pub fn grant(&self, fds: &mut Vec<OwnedFd>) -> io::Result<Option<LogSink>> {
        let Some(fd) = &self.fd else { return Ok(None) };
        let index = FdIndex(u8::try_from(fds.len()).unwrap_or(u8::MAX));
        fds.push(fd::duplicate(fd.as_fd())?);
        Ok(Some(match self.log {
            AccessLog::Journal => LogSink::Journal(index),
            _ => LogSink::Lines(index),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_made_for_appending_and_folders_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let sink = AccessSink::open(&AccessLog::File(path.display().to_string())).unwrap();
        let mut fds = Vec::new();
        assert_eq!(sink.grant(&mut fds).unwrap(), Some(LogSink::Lines(FdIndex(0))));
        assert!(path.exists());
        assert!(AccessSink::open(&AccessLog::File(folder.path().display().to_string())).is_err());
        let off = AccessSink::open(&AccessLog::Off).unwrap();
        assert_eq!(off.grant(&mut fds).unwrap(), None);
    }
}
