//! The control socket of the first Cloud Cup (`--compat-socket PATH`), for its own `cup` program.
//!
//! One command per connection, at most 1024 bytes, one answer; the texts are the old ones to the
//! byte, spelling included. Three things are better than they were: a refused configuration is not
//! followed by a line of success, callers need the same rights as everywhere, and a silent caller
//! is dropped. It runs on a thread of its own and knows the master only by the command door.

use super::bus::ControlFile;
use super::command::{Answer, Command, CommandSender, ControlError, Probe};
use super::snapshot::{ServiceState, Snapshot};
use crate::control::names;
use crate::control::rights::{Caller, Mode, Right, Rules, Verdict};
use crate::ipc::Severity;
use futures_channel::oneshot;
use serde::Serialize;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;
use zruntime::{AsyncIo, Shared, SharedRuntime};

/// Longest command, as the old program read it.
const COMMAND_MAX: usize = 1024;
/// Longest time for a command to arrive, and for an answer to be taken.
const PEER_WAIT: Duration = Duration::from_secs(5);
/// Longest time that a caller may take to close after its answer.
const LINGER: Duration = Duration::from_millis(500);
/// Most bytes that are taken of a caller after its command, and thrown away.
const DRAIN_MAX: usize = 64 * 1024;
/// Most connections at a time; one more waits in the socket's queue.
const PEERS_MAX: usize = 8;

/// The open socket; dropping it ends the thread and removes the file.
#[derive(Debug)]
pub struct Compat {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _file: ControlFile,
}

impl Drop for Compat {
    fn drop(&mut self) {
        // Dropping the sender is the signal.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the compatibility socket panicked");
        }
    }
}

/// Opens the socket at `path`. Errors: those of the control socket (`PermissionDenied`, `AddrInUse`,
/// bind(2)) and of starting a thread.
pub fn start(path: &Path, mode: Mode, commands: CommandSender) -> io::Result<Compat> {
    let rules = super::bus::rules(mode);
    let group = if mode == Mode::System { rules.admin_gid } else { None };
    let (listener, file) = super::bus::bind_control(path, group)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let desk = Desk { rules, commands };
    let thread = std::thread::Builder::new()
        .name("compat".to_owned())
        .spawn(move || zbus::block_on(serve(desk, listener, stopped)))?;
    Ok(Compat { stop: Some(stop), thread: Some(thread), _file: file })
}

async fn serve(desk: Desk, listener: UnixListener, stopped: oneshot::Receiver<()>) {
    let accepting = zruntime::spawn(async move {
        let Ok(runtime) = SharedRuntime::current() else { return };
        let listener = match AsyncIo::new(&runtime, listener) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "the compatibility socket cannot be served");
                return;
            }
        };
        let mut tasks: Vec<zruntime::Task<(), Shared>> = Vec::new();
        loop {
            match listener.read_with(UnixListener::accept).await {
                Ok((stream, _)) => {
                    let (desk, runtime) = (desk.clone(), runtime.clone());
                    tasks.push(zruntime::spawn(async move {
                        if let Err(error) = desk.attend(stream, &runtime).await {
                            tracing::debug!(%error, "a caller of the compatibility socket is lost");
                        }
                    }));
                }
                Err(error) => {
                    tracing::warn!(%error, "a caller of the compatibility socket is lost");
                    runtime.sleep(Duration::from_millis(100)).await;
                }
            }
            tasks.retain(|task| !task.is_finished());
            if tasks.len() >= PEERS_MAX {
                // Each ends within its own bounds.
                let _ = tasks.remove(0).await;
            }
        }
    });
    // An error means that the owner is gone, which is a stop as well.
    let _ = stopped.await;
    drop(accepting);
}

/// Answers commands.
#[derive(Clone, Debug)]
struct Desk {
    rules: Rules,
    commands: CommandSender,
}

/// The commands of the first Cloud Cup.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Status,
    Config,
    Check,
    Apply(Option<PathBuf>),
    Unknown,
}

fn parse(command: &[u8]) -> Asked {
    let command = command.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let Ok(text) = std::str::from_utf8(command) else { return Asked::Unknown };
    match text.split_once('|') {
        None if text == "show-status" => Asked::Status,
        None if text == "show-config" => Asked::Config,
        None if text == "check-all" => Asked::Check,
        None if text == "apply-config" => Asked::Apply(None),
        Some(("apply-config", "")) => Asked::Apply(None),
        Some(("apply-config", path)) => Asked::Apply(Some(PathBuf::from(path))),
        _ => Asked::Unknown,
    }
}

impl Desk {
    async fn attend(&self, stream: UnixStream, runtime: &SharedRuntime) -> io::Result<()> {
        let caller = super::bus::caller_of(&stream)?;
        let stream = AsyncIo::new(runtime, stream)?;
        let command = runtime
            .timeout(PEER_WAIT, read_command(&stream))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let answer = self.answer(&caller, parse(&command)).await;
        runtime
            .timeout(PEER_WAIT, write_answer(&stream, answer.as_bytes()))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        // Closing with bytes unread would take the answer away from the caller again.
        let _ = runtime.timeout(LINGER, drain(&stream)).await;
        Ok(())
    }

    async fn answer(&self, caller: &Caller, asked: Asked) -> String {
        let right = if asked == Asked::Status { Right::Inspect } else { Right::Manage };
        if asked == Asked::Unknown {
            return "Unknown command\n".to_owned();
        }
        if self.rules.decide(caller, right) != Verdict::Allowed {
            return "Not authorized\n".to_owned();
        }
        match asked {
            Asked::Status => self.status().await,
            Asked::Config => match self.ask(Command::Config { effective: false }).await {
                Ok(Answer::Text(text)) => text,
                outcome => failure(outcome),
            },
            Asked::Check => self.check().await,
            Asked::Apply(None) => "File path for new config required\n".to_owned(),
            Asked::Apply(Some(path)) => self.apply(caller, path).await,
            Asked::Unknown => "Unknown command\n".to_owned(),
        }
    }

    async fn ask(&self, command: Command) -> Result<Answer, ControlError> {
        let gone = |_| {
            let kind = super::command::ErrorKind::Stopping;
            ControlError::new(kind, "the service is stopping")
        };
        self.commands.call(command).await.map_err(gone)?
    }

    async fn status(&self) -> String {
        match self.ask(Command::Snapshot).await {
            Ok(Answer::Snapshot(snapshot)) if snapshot.state == ServiceState::Running => {
                "Cloud-Cup is running".to_owned()
            }
            Ok(Answer::Snapshot(snapshot)) => {
                let reason =
                    if snapshot.reason.is_empty() { "" } else { &format!(": {}", snapshot.reason) };
                format!("Cloud-Cup is {}{reason}", snapshot.state.name())
            }
            outcome => failure(outcome),
        }
    }

    async fn check(&self) -> String {
        let all = Command::Check { backends: Vec::new(), routes: Vec::new() };
        let probes = match self.ask(all).await {
            Ok(Answer::Probes(probes)) => probes,
            outcome => return failure(outcome),
        };
        match self.ask(Command::Snapshot).await {
            Ok(Answer::Snapshot(snapshot)) => rows(&probes, &snapshot),
            outcome => failure(outcome),
        }
    }

    async fn apply(&self, caller: &Caller, path: PathBuf) -> String {
        let text = match zruntime::unblock(move || read_file(&path)).await {
            Ok(text) => text,
            Err(word) => return format!("Invaild Config, '{word}'"),
        };
        let source = format!("api:{}", caller.uid);
        let command = Command::Apply { text, expected_serial: None, source };
        match self.ask(command).await {
            Ok(Answer::Serial(_)) => "New config applied successfully\n".to_owned(),
            Err(error) => refusal(&error),
            outcome => failure(outcome),
        }
    }
}

/// What the old program never said: that the master could not answer.
fn failure(outcome: Result<Answer, ControlError>) -> String {
    match outcome {
        Ok(_) => "Failed: an answer of another kind\n".to_owned(),
        Err(error) => format!("Failed: {}\n", error.message),
    }
}

/// The old words for a refused document: the first error's identifier.
fn refusal(error: &ControlError) -> String {
    let first = error.findings.iter().find(|finding| finding.severity == Severity::Error);
    match first.map(|finding| finding.id.as_str()) {
        Some("SyntaxError") => "Invaild Config, 'SyntaxError'".to_owned(),
        Some(id) => format!("Invaild json, '{id}'"),
        None => format!("Failed: {}\n", error.message),
    }
}

/// Reads a document by its path. Errors in the old words.
fn read_file(path: &Path) -> Result<String, &'static str> {
    let word = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => "FileNotFound",
        io::ErrorKind::PermissionDenied => "AccessDenied",
        io::ErrorKind::IsADirectory => "IsDir",
        io::ErrorKind::InvalidData => "SyntaxError",
        _ => "InputOutput",
    };
    let file = File::open(path).map_err(word)?;
    let meta = file.metadata().map_err(word)?;
    if !meta.is_file() {
        return Err("NotAFile");
    }
    let limit = names::DOCUMENT_BYTES_MAX as u64;
    if meta.len() > limit {
        return Err("FileTooBig");
    }
    let mut text = String::new();
    file.take(limit + 1).read_to_string(&mut text).map_err(word)?;
    if text.len() as u64 > limit { Err("FileTooBig") } else { Ok(text) }
}

/// A row of `check-all`, its fields in the old order.
#[derive(Serialize)]
struct Row<'a> {
    host: &'a str,
    route: &'a str,
    is_healthy: bool,
    error_message: Option<&'static str>,
    error_name: Option<String>,
}

/// `check-all`: one row for each route of each backend. As of old, only status 200 is healthy.
fn rows(probes: &[Probe], snapshot: &Snapshot) -> String {
    let mut rows = Vec::new();
    for probe in probes {
        let action = format!("pool {}", probe.pool);
        let routes = snapshot.routes.iter().filter(|route| route.action == action);
        let (message, name) = match probe.status {
            200 => (None, None),
            0 => (Some("Failed to connect to backend"), Some(error_name(&probe.detail))),
            status => (Some("Backend responded with non-OK status"), Some(status.to_string())),
        };
        for route in routes {
            rows.push(Row {
                host: &probe.backend,
                route: &route.key,
                is_healthy: message.is_none(),
                error_message: message,
                error_name: name.clone(),
            });
        }
    }
    // Plain texts and booleans always have a JSON form.
    serde_json::to_string(&rows).unwrap_or_default()
}

/// The old names of connection errors.
fn error_name(detail: &str) -> String {
    let names = [
        ("refused", "ConnectionRefused"),
        ("in time", "ConnectionTimedOut"),
        ("unreachable", "NetworkUnreachable"),
        ("reset", "ConnectionResetByPeer"),
        ("no such socket", "FileNotFound"),
    ];
    let known = names.iter().find(|(part, _)| detail.contains(part));
    known.map_or("Unexpected", |(_, name)| name).to_owned()
}

/// Reads until a line's end, the end of the input, or the longest command.
async fn read_command(stream: &AsyncIo<UnixStream, Shared>) -> io::Result<Vec<u8>> {
    let mut command = Vec::with_capacity(COMMAND_MAX);
    let mut block = [0; COMMAND_MAX];
    while command.len() < COMMAND_MAX && !command.contains(&b'\n') {
        let room = COMMAND_MAX - command.len();
        let count = stream
            .read_with(|stream| {
                let mut stream: &UnixStream = stream;
                stream.read(&mut block[..room])
            })
            .await?;
        if count == 0 {
            break;
        }
        command.extend_from_slice(&block[..count]);
    }
    Ok(command)
}

async fn write_answer(stream: &AsyncIo<UnixStream, Shared>, mut answer: &[u8]) -> io::Result<()> {
    while !answer.is_empty() {
        let count = stream
            .write_with(|stream| {
                let mut stream: &UnixStream = stream;
                stream.write(answer)
            })
            .await?;
        answer = answer.get(count..).unwrap_or_default();
    }
    stream.get_ref().shutdown(std::net::Shutdown::Write)
}

/// Reads until the caller closes.
async fn drain(stream: &AsyncIo<UnixStream, Shared>) -> io::Result<()> {
    let mut block = [0; 4096];
    let mut taken = 0;
    while taken < DRAIN_MAX {
        let count = stream
            .read_with(|stream| {
                let mut stream: &UnixStream = stream;
                stream.read(&mut block)
            })
            .await?;
        if count == 0 {
            break;
        }
        taken += count;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::Finding;
    use crate::master::command::{ErrorKind, Request, channel};
    use crate::master::snapshot::RouteView;
    use std::sync::Arc;

    const CONFIG: &str = r#"{"root":"127.0.0.1:8080","routes":{"*":{}}}"#;

    fn snapshot() -> Snapshot {
        let route = |key: &str, action: &str| RouteView {
            key: key.into(),
            action: action.into(),
            ..RouteView::default()
        };
        Snapshot {
            state: ServiceState::Running,
            routes: vec![route("*", "pool *"), route("/game/*", "pool /game/*")],
            ..Snapshot::default()
        }
    }

    fn probe(pool: &str, backend: &str, status: u16, detail: &str) -> Probe {
        Probe {
            pool: pool.into(),
            backend: backend.into(),
            healthy: status != 0 && status < 500,
            status,
            micros: 5,
            detail: detail.into(),
        }
    }

    fn reply(command: &Command) -> Result<Answer, ControlError> {
        match command {
            Command::Snapshot => Ok(Answer::Snapshot(Box::new(snapshot()))),
            Command::Config { effective: false } => Ok(Answer::Text(CONFIG.into())),
            Command::Check { .. } => Ok(Answer::Probes(vec![
                probe("*", "127.0.0.1:8081", 200, "answered 200"),
                probe("*", "127.0.0.1:8082", 0, "connection refused"),
                probe("/game/*", "127.0.0.1:8086", 404, "answered 404"),
            ])),
            Command::Apply { text, .. } if text == CONFIG => Ok(Answer::Serial(2)),
            Command::Apply { text, .. } => {
                let id = if text == "{" { "SyntaxError" } else { "MissingMainRoute" };
                let mut error = ControlError::new(ErrorKind::Refused, "1 problem");
                error.findings.push(Finding {
                    severity: Severity::Error,
                    id: id.into(),
                    line: 1,
                    column: 1,
                    pointer: String::new(),
                    message: String::new(),
                });
                Err(error)
            }
            _ => Ok(Answer::Done),
        }
    }

    fn say(path: &Path, command: &[u8]) -> String {
        let mut stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(command).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn answers_are_the_old_ones_to_the_byte() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cloud-cup.sock");
        let file = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
            format!("apply-config|{}\n", folder.path().join(name).display())
        };
        let poll = mio::Poll::new().unwrap();
        let waker = Arc::new(mio::Waker::new(poll.registry(), mio::Token(0)).unwrap());
        let (commands, requests) = channel(waker);
        let master = std::thread::spawn(move || {
            while let Ok(Request { command, reply: to, .. }) = requests.recv() {
                let _ = to.send(reply(&command));
            }
        });
        let compat = start(&path, Mode::User, commands).unwrap();
        let rows = concat!(
            r#"[{"host":"127.0.0.1:8081","route":"*","is_healthy":true,"error_message":null,"#,
            r#""error_name":null},{"host":"127.0.0.1:8082","route":"*","is_healthy":false,"#,
            r#""error_message":"Failed to connect to backend","error_name":"ConnectionRefused"},"#,
            r#"{"host":"127.0.0.1:8086","route":"/game/*","is_healthy":false,"#,
            r#""error_message":"Backend responded with non-OK status","error_name":"404"}]"#
        );
        for (command, answer) in [
            ("show-status\n".to_owned(), "Cloud-Cup is running"),
            ("show-config\n".to_owned(), CONFIG),
            ("check-all\n".to_owned(), rows),
            ("apply-config|\n".to_owned(), "File path for new config required\n"),
            ("apply-config|/no/such/file\n".to_owned(), "Invaild Config, 'FileNotFound'"),
            (file("good", CONFIG), "New config applied successfully\n"),
            (file("syntax", "{"), "Invaild Config, 'SyntaxError'"),
            (file("content", "{}"), "Invaild json, 'MissingMainRoute'"),
            ("reboot\n".to_owned(), "Unknown command\n"),
            ("x".repeat(5000), "Unknown command\n"),
        ] {
            assert_eq!(say(&path, command.as_bytes()), answer, "{command}");
        }
        drop(compat);
        assert!(!path.exists());
        master.join().unwrap();
    }

    #[test]
    fn strangers_get_nothing() {
        let poll = mio::Poll::new().unwrap();
        let waker = Arc::new(mio::Waker::new(poll.registry(), mio::Token(0)).unwrap());
        let (commands, _requests) = channel(waker);
        let rules = Rules { mode: Mode::System, own_uid: 990, admin_gid: Some(980) };
        let desk = Desk { rules, commands };
        let stranger = Caller { uid: 1000, gids: vec![1000] };
        for asked in [Asked::Status, Asked::Config, Asked::Check, Asked::Apply(None)] {
            let answer = zbus::block_on(desk.answer(&stranger, asked));
            assert_eq!(answer, "Not authorized\n");
        }
    }
}
