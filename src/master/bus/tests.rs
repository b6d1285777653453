//! The control surface on a real control socket, with a master that answers from a table.

use super::{Bus, Settings, start};
use crate::control::client::ManagerProxy;
use crate::control::names;
use crate::control::rights::Mode;
use crate::control::rows::{Options, option};
use crate::ipc::{Finding, Severity};
use crate::master::command::{
    Answer, Command, ControlError, ErrorKind, PlanAnswer, Probe, Request, channel,
};
use crate::master::events::{Event, EventHub};
use crate::master::snapshot::{BackendView, PoolView, ServiceState, Snapshot, WorkerView};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use zbus::connection::Builder;
use zbus::fdo::{IntrospectableProxy, ObjectManagerProxy, PropertiesProxy};
use zbus::{Connection, Variant};
use zruntime::SharedRuntime;

/// Longest wait for something that must happen.
const DEADLINE: Duration = Duration::from_secs(10);

/// A control surface over a master that answers from a table.
struct House {
    bus: Option<Bus>,
    hub: EventHub,
    snapshot: Arc<Mutex<Snapshot>>,
    /// Commands that the table holds back: their reply is sent when the guard is dropped.
    held: Arc<Mutex<mpsc::Receiver<Request>>>,
    path: PathBuf,
    _folder: tempfile::TempDir,
    _poll: mio::Poll,
    master: Option<JoinHandle<()>>,
}

fn snapshot() -> Snapshot {
    let backend = |address: &str| BackendView {
        pool: "/game/*".into(),
        address: address.into(),
        state: "up".into(),
        weight: 1,
        max_failures: 5,
        ..BackendView::default()
    };
    Snapshot {
        version: "1.2.3".into(),
        state: ServiceState::Running,
        serial: 7,
        config_file: "/etc/cloudcup/cloudcup.json".into(),
        workers: vec![WorkerView { pid: 4711, state: "ready".into(), ..WorkerView::default() }],
        pools: vec![PoolView {
            name: "/game/*".into(),
            strategy: "round-robin".into(),
            backends: vec![backend("127.0.0.1:8086"), backend("127.0.0.1:8087")],
        }],
        ..Snapshot::default()
    }
}

fn finding() -> Finding {
    Finding {
        severity: Severity::Error,
        id: "unknown-key".into(),
        line: 2,
        column: 3,
        pointer: "/routs".into(),
        message: "unknown key \"routs\"".into(),
    }
}

fn answer(command: &Command, snapshot: &Snapshot) -> Result<Answer, ControlError> {
    match command {
        Command::Snapshot => Ok(Answer::Snapshot(Box::new(snapshot.clone()))),
        Command::Reload => Ok(Answer::Serial(8)),
        Command::Validate { text } if text.contains("routs") => {
            Ok(Answer::Findings(vec![finding()]))
        }
        Command::Validate { .. } => Ok(Answer::Findings(Vec::new())),
        Command::Plan { .. } => Ok(Answer::Plan(PlanAnswer { valid: true, ..Default::default() })),
        Command::Apply { expected_serial: Some(serial), .. } if *serial != snapshot.serial => {
            Err(ControlError::new(ErrorKind::Conflict, "serial 7 runs"))
        }
        Command::Apply { text, .. } if text.contains("routs") => {
            let mut error = ControlError::new(ErrorKind::Refused, "1 problem");
            error.findings.push(finding());
            Err(error)
        }
        Command::Apply { .. } => Ok(Answer::Serial(8)),
        Command::Check { .. } => Ok(Answer::Probes(vec![Probe {
            pool: "/game/*".into(),
            backend: "127.0.0.1:8086".into(),
            healthy: true,
            status: 200,
            micros: 321,
            detail: String::new(),
        }])),
        Command::Metrics => Ok(Answer::Text("# EOF\n".into())),
        Command::SetLogLevel { filter } if filter == "loud" => {
            Err(ControlError::new(ErrorKind::InvalidArgument, "no such level"))
        }
        _ => Ok(Answer::Done),
    }
}

impl House {
    fn new(mode: Mode) -> House {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        let poll = mio::Poll::new().unwrap();
        let waker = Arc::new(mio::Waker::new(poll.registry(), mio::Token(0)).unwrap());
        let (commands, requests) = channel(waker);
        let snapshot = Arc::new(Mutex::new(snapshot()));
        let (hold, held) = mpsc::channel();
        let facts = Arc::clone(&snapshot);
        let master = std::thread::spawn(move || {
            while let Ok(request) = requests.recv() {
                if matches!(request.command, Command::Why { .. }) {
                    let _ = hold.send(request);
                    continue;
                }
                let reply = answer(&request.command, &facts.lock().unwrap());
                let _ = request.reply.send(reply);
            }
        });
        let mut hub = EventHub::default();
        let settings = Settings { bus: None, control: Some(path.clone()), mode };
        let bus = start(&settings, commands, hub.listen()).unwrap();
        let (bus, master) = (Some(bus), Some(master));
        let held = Arc::new(Mutex::new(held));
        House { bus, hub, snapshot, held, path, _folder: folder, _poll: poll, master }
    }

    fn counter(&self, name: &str) -> u64 {
        let samples = self.bus.as_ref().unwrap().shared.samples();
        let named = samples.iter().find(|sample| sample.family == format!("cloudcup_{name}"));
        named.unwrap().value
    }

    fn eventually(&self, name: &str, value: u64) {
        let runtime = SharedRuntime::new().unwrap();
        let wait = async {
            while self.counter(name) != value {
                runtime.sleep(Duration::from_millis(2)).await;
            }
        };
        let outcome = runtime.block_on(runtime.timeout(DEADLINE, wait));
        assert!(outcome.is_ok(), "{name} is {}, not {value}", self.counter(name));
    }
}

impl Drop for House {
    fn drop(&mut self) {
        drop(self.bus.take());
        assert!(!self.path.exists(), "the control socket stays behind");
        if let Some(master) = self.master.take() {
            master.join().unwrap();
        }
    }
}

async fn connect(path: &Path) -> Connection {
    let stream = UnixStream::connect(path).unwrap();
    Builder::unix_stream(stream).p2p().build().await.unwrap()
}

async fn manager(connection: &Connection) -> ManagerProxy<'_> {
    ManagerProxy::builder(connection)
        .cache_properties(zbus::proxy::CacheProperties::No)
        .build()
        .await
        .unwrap()
}

fn error_name(error: zbus::Error) -> String {
    match error {
        zbus::Error::MethodError(name, ..) => name.to_string(),
        other => panic!("not an error reply: {other}"),
    }
}

#[test]
fn members_answer_over_the_control_socket() {
    let house = House::new(Mode::User);
    zbus::block_on(async {
        let connection = connect(&house.path).await;
        let manager = manager(&connection).await;
        let none = Options::new;
        assert_eq!(manager.reload(none()).await.unwrap(), 8);
        assert_eq!(manager.version().await.unwrap(), "1.2.3");
        assert_eq!(manager.serial().await.unwrap(), 7);
        assert_eq!(manager.state().await.unwrap(), "running");
        assert!(manager.validate("{}", none()).await.unwrap().is_empty());
        let rows = manager.validate("{\"routs\":{}}", none()).await.unwrap();
        assert_eq!((rows[0].1.as_str(), rows[0].2, rows[0].3), ("unknown-key", 2, 3));
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"{\"routs\":{}}").unwrap();
        assert_eq!(manager.validate_fd((&file).into(), none()).await.unwrap(), rows);
        assert_eq!(
            manager.apply_fd((&tempfile::tempfile().unwrap()).into(), none()).await.unwrap(),
            8
        );
        let expected = Options::from([(option::EXPECTED_SERIAL, Variant::from(6_u64))]);
        let conflict = manager.apply("{}", expected).await.unwrap_err();
        assert_eq!(error_name(conflict), names::ERROR_CONFLICT);
        let zbus::Error::MethodError(name, _, reply) =
            manager.apply("{\"routs\":{}}", none()).await.unwrap_err()
        else {
            panic!("not an error reply");
        };
        let body: (String, Vec<crate::control::rows::ProblemRow>) =
            reply.body().deserialize().unwrap();
        assert_eq!((name.as_str(), body.1.len()), (names::ERROR_REFUSED, 1));
        let checked = manager.check(&[], &[], none()).await.unwrap();
        assert!(bool::try_from(&checked[0]["healthy"]).unwrap());
        let metrics = manager.metrics(none()).await.unwrap();
        assert!(metrics.contains("\ncloudcup_control_peers 1\n"), "{metrics}");
        assert!(metrics.ends_with("\n# EOF\n") && metrics.matches("# EOF").count() == 1);
        let loud = manager.set_log_level("loud", none()).await.unwrap_err();
        assert_eq!(error_name(loud), names::ERROR_INVALID_ARGUMENT);
        manager.stop(false, none()).await.unwrap();
        let shown = manager.show("backends", none()).await.unwrap();
        assert!(shown.contains("127.0.0.1:8087"), "{shown}");
        let nothing = manager.show("everything", none()).await.unwrap_err();
        assert_eq!(error_name(nothing), names::ERROR_INVALID_ARGUMENT);
    });
}

#[test]
fn the_tree_follows_the_snapshot_and_signals_arrive() {
    let mut house = House::new(Mode::User);
    zbus::block_on(async {
        use std::future::poll_fn;
        use zbus::export::futures_core::Stream;
        let connection = connect(&house.path).await;
        let manager = manager(&connection).await;
        let objects = ObjectManagerProxy::builder(&connection)
            .destination(names::BUS_NAME)
            .path(names::ROOT_PATH)
            .build()
            .await
            .unwrap();
        let listing = objects.get_managed_objects().await.unwrap();
        assert_eq!(listing.len(), 4, "{:?}", listing.keys());
        // What the ObjectManager lists is what the objects say.
        for (path, interfaces) in &listing {
            let properties = PropertiesProxy::builder(&connection)
                .destination(names::BUS_NAME)
                .path(path)
                .build()
                .await
                .unwrap();
            for (interface, values) in interfaces {
                let got = properties.get_all(interface.inner().clone()).await.unwrap();
                assert_eq!(&got, values, "{path}");
            }
        }
        let addresses: Vec<String> = listing
            .values()
            .filter_map(|interfaces| interfaces.get(names::BACKEND_INTERFACE))
            .map(|values| String::try_from(values["Address"].try_clone().unwrap()).unwrap())
            .collect();
        assert_eq!(addresses.len(), 2);
        assert!(addresses.contains(&"127.0.0.1:8086".to_owned()));

        let mut applied = manager.receive_applied().await.unwrap();
        // Changes of properties are seen by proxies that keep their values.
        let keeper = ManagerProxy::new(&connection).await.unwrap();
        let mut serials = keeper.receive_serial_changed().await;
        let mut added = objects.receive_interfaces_added().await.unwrap();
        let mut removed = objects.receive_interfaces_removed().await.unwrap();
        {
            let mut snapshot = house.snapshot.lock().unwrap();
            snapshot.serial = 8;
            snapshot.workers[0].pid = 4712;
        }
        house.hub.send(&Event::Applied { serial: 8, source: "file".into() });
        let runtime = SharedRuntime::current().unwrap();
        macro_rules! next {
            ($stream:expr) => {
                runtime
                    .timeout(DEADLINE, poll_fn(|cx| std::pin::pin!(&mut $stream).poll_next(cx)))
                    .await
                    .unwrap()
                    .unwrap()
            };
        }
        let signal = next!(applied);
        assert_eq!(*signal.args().unwrap().serial(), 8);
        let path = next!(added).args().unwrap().object_path().to_string();
        assert_eq!(path, "/org/cloudcup1/worker/_34712");
        let path = next!(removed).args().unwrap().object_path().to_string();
        assert_eq!(path, "/org/cloudcup1/worker/_34711");
        while next!(serials).get().await.unwrap() != 8 {}
    });
}

#[test]
fn with_many_pools_the_socket_answers_at_once_and_lists_when_asked() {
    let house = House::new(Mode::User);
    {
        let mut snapshot = house.snapshot.lock().unwrap();
        snapshot.pools = (0..300)
            .map(|number| {
                let name = format!("p{number}");
                let backend = BackendView {
                    pool: name.clone(),
                    address: format!("127.0.0.1:{number}"),
                    state: "up".into(),
                    ..BackendView::default()
                };
                PoolView { name, backends: vec![backend], ..PoolView::default() }
            })
            .collect();
    }
    zbus::block_on(async {
        let connection = connect(&house.path).await;
        assert_eq!(manager(&connection).await.reload(Options::new()).await.unwrap(), 8);
        let objects = ObjectManagerProxy::builder(&connection)
            .destination(names::BUS_NAME)
            .path(names::ROOT_PATH)
            .build()
            .await
            .unwrap();
        let listing = objects.get_managed_objects().await.unwrap();
        assert_eq!(listing.len(), 1 + 2 * 300);
        // What is listed is there.
        let pool = crate::control::path::pool("p17");
        let properties = PropertiesProxy::builder(&connection)
            .destination(names::BUS_NAME)
            .path(pool)
            .build()
            .await
            .unwrap();
        let interface = names::POOL_INTERFACE.try_into().unwrap();
        let values = properties.get_all(interface).await.unwrap();
        assert_eq!(String::try_from(values["Name"].try_clone().unwrap()).unwrap(), "p17");
    });
}

#[test]
fn a_sender_has_four_pending_calls_and_no_more() {
    let house = House::new(Mode::User);
    zbus::block_on(async {
        let connection = connect(&house.path).await;
        let runtime = SharedRuntime::current().unwrap();
        let mut calls = Vec::new();
        for _ in 0..names::PENDING_CALLS_MAX {
            let connection = connection.clone();
            calls.push(runtime.spawn("why", async move {
                let manager = manager(&connection).await;
                manager.why("GET", "/", &[], Options::new()).await
            }));
        }
        let held = Arc::clone(&house.held);
        let waiting: Vec<Request> = zruntime::unblock(move || {
            let held = held.lock().unwrap();
            (0..names::PENDING_CALLS_MAX).map(|_| held.recv_timeout(DEADLINE).unwrap()).collect()
        })
        .await;
        let manager = manager(&connection).await;
        let more = manager.reload(Options::new()).await.unwrap_err();
        assert_eq!(error_name(more), names::ERROR_LIMIT);
        assert_eq!(house.counter("control_pending_limit_hit"), 1);
        // Another sender is not held up, and the places come back with the answers.
        let other = connect(&house.path).await;
        assert_eq!(self::manager(&other).await.reload(Options::new()).await.unwrap(), 8);
        for request in waiting {
            request.reply.send(Err(ControlError::new(ErrorKind::NotFound, "no route"))).unwrap();
        }
        for call in calls {
            let refused = call.await.unwrap().unwrap_err();
            assert_eq!(error_name(refused), names::ERROR_NOT_FOUND);
        }
        assert_eq!(manager.reload(Options::new()).await.unwrap(), 8);
    });
}

#[test]
fn garbage_and_floods_end_their_own_connection_only() {
    let house = House::new(Mode::User);
    let auth = b"\0AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n";
    let header = |body: u32, fields: u32| {
        let mut bytes = vec![b'l', 1, 0, 1];
        for word in [body, 1, fields] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes
    };
    let hostile: Vec<Vec<u8>> = vec![
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xff; 4096],
        b"\0AUTH ANONYMOUS\r\nBEGIN\r\n".to_vec(),
        b"\0AUTH EXTERNAL 39393939\r\nBEGIN\r\n".to_vec(),
        vec![b'A'; 128 * 1024],
        [auth.as_slice(), &[0xff; 64]].concat(),
        [auth.as_slice(), &header(u32::MAX, 8)].concat(),
        [auth.as_slice(), &header(64 * 1024 * 1024, 8), &[0; 1024]].concat(),
        [auth.as_slice(), &header(0, u32::MAX)].concat(),
    ];
    for bytes in &hostile {
        let mut stream = UnixStream::connect(&house.path).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        // The service may close while we still write.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut rest = Vec::new();
        // Closed by the service, with or without a word; a reset is fine too.
        match stream.read_to_end(&mut rest) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("still open after {:?}", &bytes[..bytes.len().min(40)])
            }
            _ => {}
        }
    }
    house.eventually("control_peers", 0);
    zbus::block_on(async {
        let connection = connect(&house.path).await;
        assert_eq!(manager(&connection).await.reload(Options::new()).await.unwrap(), 8);
    });
}

#[test]
fn calls_with_damage_never_end_the_service() {
    use proptest::test_runner::{Config, TestRunner};
    let house = House::new(Mode::User);
    let call = zbus::Message::method_call(names::ROOT_PATH, "Apply")
        .interface(names::MANAGER_INTERFACE)
        .build(&("{}", Options::from([(option::SOURCE, Variant::from("x"))])))
        .unwrap();
    let whole = call.data().to_vec();
    let mut runner = TestRunner::new(Config { cases: 128, ..Config::default() });
    let damage = proptest::collection::vec((0..whole.len(), proptest::num::u8::ANY), 1..8);
    runner
        .run(&(damage, 0..=whole.len()), |(places, length)| {
            let mut bytes = b"\0AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n".to_vec();
            let start = bytes.len();
            bytes.extend_from_slice(&whole[..length]);
            for (at, byte) in places {
                if let Some(place) = bytes.get_mut(start + at) {
                    *place = byte;
                }
            }
            let mut stream = UnixStream::connect(&house.path).unwrap();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            let _ = stream.write_all(&bytes);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let mut rest = Vec::new();
            let ended = stream.read_to_end(&mut rest);
            let open =
                matches!(&ended, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
            assert!(!open, "still open");
            Ok(())
        })
        .unwrap();
    zbus::block_on(async {
        let connection = connect(&house.path).await;
        assert_eq!(manager(&connection).await.reload(Options::new()).await.unwrap(), 8);
    });
}

#[test]
fn a_flood_of_descriptors_is_cut_off() {
    let house = House::new(Mode::User);
    let mut stream = UnixStream::connect(&house.path).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(b"\0AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n").unwrap();
    use std::os::fd::AsFd;
    let zero = std::fs::File::open("/dev/zero").unwrap();
    let fds = vec![zero.as_fd(); names::MESSAGE_FDS_MAX + 1];
    // One byte of a message at a time, each with more descriptors than a message may have.
    let _ = crate::sys::message::send(stream.as_fd(), b"l", &fds);
    let mut rest = Vec::new();
    let ended = stream.read_to_end(&mut rest);
    assert!(!matches!(ended, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock));
    house.eventually("control_peers", 0);
}

#[test]
fn a_caller_that_never_reads_holds_up_nobody() {
    let house = House::new(Mode::User);
    let mut stream = UnixStream::connect(&house.path).unwrap();
    stream.write_all(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n").unwrap();
    let call = zbus::Message::method_call("/", "Ping")
        .interface("org.freedesktop.DBus.Peer")
        .build(&())
        .unwrap();
    stream.set_nonblocking(true).unwrap();
    let mut sent = 0_usize;
    // The service stops reading us once its replies no longer go out: then our side is full.
    let runtime = SharedRuntime::new().unwrap();
    let mut full = 0;
    while full < 20 {
        match stream.write(call.data()) {
            Ok(count) => (sent, full) = (sent + count, 0),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                full += 1;
                runtime.block_on(runtime.sleep(Duration::from_millis(5)));
            }
            Err(error) => panic!("{error}"),
        }
        assert!(sent < 64 * 1024 * 1024, "everything is read from a caller that never reads");
    }
    zbus::block_on(async {
        let connection = connect(&house.path).await;
        assert_eq!(manager(&connection).await.reload(Options::new()).await.unwrap(), 8);
    });
}

#[test]
fn places_that_are_not_ours_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let refused = |path: &Path| super::socket::bind(path, None).unwrap_err().kind();
    use std::io::ErrorKind::{AddrInUse, PermissionDenied};

    std::fs::write(place("file"), "precious").unwrap();
    assert_eq!(refused(&place("file")), PermissionDenied);
    std::os::unix::fs::symlink(place("file"), place("link")).unwrap();
    assert_eq!(refused(&place("link")), PermissionDenied);
    std::os::unix::fs::symlink(place("nowhere"), place("dangling")).unwrap();
    assert_eq!(refused(&place("dangling")), PermissionDenied);
    assert_eq!(std::fs::read(place("file")).unwrap(), b"precious");

    let open = place("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(refused(&open.join("control")), PermissionDenied);
    std::os::unix::fs::symlink(folder.path(), place("linked")).unwrap();
    assert_eq!(refused(&place("linked").join("control")), PermissionDenied);

    let living = super::socket::bind(&place("control"), None).unwrap();
    assert_eq!(refused(&place("control")), AddrInUse);
    let mode = std::fs::symlink_metadata(place("control")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    // A dead socket is replaced, and the late drop of its first owner leaves the new one alone.
    let (listener, file) = living;
    drop(listener);
    let (_listener, _file) = super::socket::bind(&place("control"), None).unwrap();
    drop(file);
    assert!(place("control").exists());
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().flatten().collect();
    assert!(left.iter().all(|entry| !entry.file_name().to_string_lossy().starts_with('.')));
}

/// The interfaces of ours that the object at `path` introspects, as XML.
async fn interfaces(connection: &Connection, path: &str) -> String {
    let proxy = IntrospectableProxy::builder(connection)
        .destination(names::BUS_NAME)
        .path(path)
        .build()
        .await
        .unwrap();
    let xml = proxy.introspect().await.unwrap();
    let mut own = String::new();
    let mut inside = false;
    for line in xml.lines() {
        // Children are nested deeper; only the object's own interfaces count.
        inside |= line.starts_with("  <interface name=\"org.cloudcup1.");
        if inside {
            own.push_str(line);
            own.push('\n');
        }
        inside &= !line.contains("</interface>");
    }
    own
}

#[test]
fn live_introspection_is_the_golden_file() {
    let house = House::new(Mode::User);
    let live = zbus::block_on(async {
        let connection = connect(&house.path).await;
        let objects = ObjectManagerProxy::builder(&connection)
            .destination(names::BUS_NAME)
            .path(names::ROOT_PATH)
            .build()
            .await
            .unwrap();
        let mut kinds = HashMap::new();
        for (path, interfaces) in objects.get_managed_objects().await.unwrap() {
            for interface in interfaces.keys() {
                kinds.insert(interface.to_string(), path.to_string());
            }
        }
        let mut live = interfaces(&connection, names::ROOT_PATH).await;
        for kind in [names::WORKER_INTERFACE, names::POOL_INTERFACE, names::BACKEND_INTERFACE] {
            live.push_str(&interfaces(&connection, &kinds[kind]).await);
        }
        live
    });
    let document = format!(
        "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\"\n \
         \"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">\n<node>\n{live}</node>\n"
    );
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("dbus/org.cloudcup1.xml");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &document).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(document, golden, "UPDATE_GOLDEN=1 writes dbus/org.cloudcup1.xml anew");
}
