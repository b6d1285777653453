//! The control surface, served: `org.cloudcup1` on the system or user bus, and peer-to-peer on the
//! control socket.
//!
//! One thread, `dbus`, runs everything here; it reaches the master only through the command door
//! and hears of it only through events, so a stuck caller, a lost bus or a flood on the socket never
//! touches the master's loop or the traffic. A bus that is absent or goes away is tried again; the
//! control socket works without one.

mod access;
mod document;
mod endpoint;
mod failure;
mod manager;
mod objects;
mod peers;
mod pump;
mod shared;
mod show;
mod socket;
#[cfg(test)]
mod tests;
mod tree;

pub use socket::{ControlFile, bind as bind_control, caller as caller_of};

use crate::control::names;
use crate::control::rights::{Mode, Rules};
use crate::master::command::CommandSender;
use crate::master::events::Event;
use crate::observe::ids;
use access::Access;
use endpoint::{Endpoint, serve};
use futures_channel::{mpsc, oneshot};
use pump::Roster;
use shared::{Shared, View};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tree::Nodes;
use zbus::connection::Builder;
use zbus::fdo::{RequestNameFlags, RequestNameReply};
use zruntime::SharedRuntime;

/// First wait before a lost or absent bus is tried again; doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(500);
/// Longest wait between two tries.
const RETRY_MAX: Duration = Duration::from_secs(15);
/// Longest wait for answers under way when the service ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// Which bus the service lives on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusKind {
    /// The system bus.
    System,
    /// The user's bus.
    User,
}

/// What the control surface needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The bus to be on; none for a service that wants only its control socket.
    pub bus: Option<BusKind>,
    /// Where the control socket goes; none for a service that wants none.
    pub control: Option<PathBuf>,
    /// How the service was started: who may do what.
    pub mode: Mode,
}

/// The running control surface. Dropping it ends the thread and removes the control socket.
#[derive(Debug)]
pub struct Bus {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    #[cfg(test)]
    shared: Arc<Shared>,
    _file: Option<ControlFile>,
}

/// Starts the control surface: binds the control socket, then starts the thread.
///
/// Errors: those of the control socket (`PermissionDenied`, `AddrInUse`, bind(2)) and of starting a
/// thread. A missing bus is no error.
pub fn start(
    settings: &Settings,
    commands: CommandSender,
    events: mpsc::Receiver<Event>,
) -> io::Result<Bus> {
    let rules = rules(settings.mode);
    let group = if settings.mode == Mode::System { rules.admin_gid } else { None };
    let (listener, file) = match &settings.control {
        Some(path) => {
            let (listener, file) = socket::bind(path, group)?;
            (Some(listener), Some(file))
        }
        None => (None, None),
    };
    let shared = Arc::new(Shared::new(commands, Access::new(rules)));
    let (stop, stopped) = oneshot::channel();
    let service = Service { shared: Arc::clone(&shared), next_id: Arc::default() };
    let bus = settings.bus;
    let thread = std::thread::Builder::new()
        .name("dbus".to_owned())
        .spawn(move || zbus::block_on(service.run(bus, listener, events, stopped)))?;
    Ok(Bus {
        stop: Some(stop),
        thread: Some(thread),
        #[cfg(test)]
        shared,
        _file: file,
    })
}

/// The rights of a service that was started in `mode`, with this process's uid and this machine's
/// admin group.
pub fn rules(mode: Mode) -> Rules {
    let group = nix::unistd::Group::from_name(names::ADMIN_GROUP).ok().flatten();
    Rules {
        mode,
        own_uid: crate::sys::process::effective_uid(),
        admin_gid: group.map(|group| group.gid.as_raw()),
    }
}

impl Settings {
    /// What the environment says: a unit of the system's manager is a system service on the system
    /// bus; everything else (a user's unit, a shell, a container) is its user's own, on the user's bus
    /// where there is one. `DBUS_SYSTEM_BUS_ADDRESS` without a user's bus names a bus as well.
    pub fn from_environment(control: Option<PathBuf>) -> Settings {
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let exec_pid = std::env::var("SYSTEMD_EXEC_PID").ok().and_then(|pid| pid.parse().ok());
        let by_systemd = exec_pid == Some(std::process::id());
        let user_bus = is_set("DBUS_SESSION_BUS_ADDRESS")
            || std::env::var_os("XDG_RUNTIME_DIR")
                .is_some_and(|folder| PathBuf::from(folder).join("bus").exists());
        let (mode, bus) = if by_systemd && !is_set("MANAGERPID") {
            (Mode::System, Some(BusKind::System))
        } else if user_bus {
            (Mode::User, Some(BusKind::User))
        } else if is_set("DBUS_SYSTEM_BUS_ADDRESS") {
            (Mode::User, Some(BusKind::System))
        } else {
            (Mode::User, None)
        };
        Settings { bus, control, mode }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The thread may have ended by itself.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the control thread panicked");
        }
    }
}

/// The thread's side.
#[derive(Clone, Debug)]
struct Service {
    shared: Arc<Shared>,
    next_id: Arc<AtomicU64>,
}

impl Service {
    async fn run(
        self,
        bus: Option<BusKind>,
        listener: Option<std::os::unix::net::UnixListener>,
        events: mpsc::Receiver<Event>,
        stopped: oneshot::Receiver<()>,
    ) {
        let runtime = match SharedRuntime::current() {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!(%error, "the control thread cannot run");
                return;
            }
        };
        let (roster, joins) = pump::roster();
        let mut tasks = Vec::new();
        if let Some(kind) = bus {
            let (service, runtime, roster) = (self.clone(), runtime.clone(), roster.clone());
            tasks.push(zruntime::spawn(async move {
                service.keep_on_bus(kind, &runtime, &roster).await;
            }));
        }
        if let Some(listener) = listener {
            let (service, runtime, roster) = (self.clone(), runtime.clone(), roster.clone());
            tasks.push(zruntime::spawn(async move {
                service.serve_peers(listener, &runtime, &roster).await;
            }));
        }
        let pump = pump::Pump::new(Arc::clone(&self.shared), &runtime, events, joins);
        tasks.push(zruntime::spawn(pump.run(runtime.clone())));
        // An error means that the owner is gone, which is a stop as well.
        let _ = stopped.await;
        self.farewell(&runtime).await;
        drop(tasks);
    }

    /// Lets answers under way go out, within a bound.
    async fn farewell(&self, runtime: &SharedRuntime) {
        let step = Duration::from_millis(5);
        let mut left = FAREWELL;
        while self.shared.access.is_busy() && !left.is_zero() {
            runtime.sleep(step).await;
            left = left.saturating_sub(step);
        }
        // Replies are written by tasks of their own: give the last ones a turn.
        runtime.sleep(step).await;
    }

    fn number(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// What is announced on a new connection; nothing while the master can't be asked.
    async fn view(&self) -> Arc<View> {
        self.shared.view().await.unwrap_or_default()
    }

    /// Stays on the bus: connects, serves, and connects again when it is lost.
    async fn keep_on_bus(&self, kind: BusKind, runtime: &SharedRuntime, roster: &Roster) {
        let mut wait = RETRY_MIN;
        let mut told = String::new();
        loop {
            match self.join_bus(kind, roster).await {
                Ok((id, connection)) => {
                    tracing::info!(name = names::BUS_NAME, bus = ?kind, "serving on the bus");
                    self.shared.counters.bus_connected.store(1, Ordering::Relaxed);
                    (wait, told) = (RETRY_MIN, String::new());
                    connection.closed().await;
                    self.shared.counters.bus_connected.store(0, Ordering::Relaxed);
                    roster.left(id);
                    tracing::warn!(
                        MESSAGE_ID = ids::BUS_LOST,
                        "the bus is gone; the control socket still serves"
                    );
                }
                Err(error) => {
                    // A missing bus is normal in containers: said once, not every few seconds.
                    let text = error.to_string();
                    if text != told {
                        tracing::warn!(
                            MESSAGE_ID = ids::BUS_LOST,
                            "not on the bus, trying again: {text}"
                        );
                        told = text;
                    }
                }
            }
            runtime.sleep(wait).await;
            wait = (wait * 2).min(RETRY_MAX);
        }
    }

    async fn join_bus(
        &self,
        kind: BusKind,
        roster: &Roster,
    ) -> zbus::Result<(u64, zbus::Connection)> {
        let builder = match kind {
            BusKind::System => Builder::system(),
            BusKind::User => Builder::session(),
        };
        let way = access::Way::Bus;
        let connection = serve(builder, &self.shared, &way, roster, &Nodes::new()).build().await?;
        let id = self.number();
        let view = self.view().await;
        let mut endpoint = Endpoint::new(id, connection.clone(), &self.shared, &way, view, false);
        // Before the name is ours, so that whoever sees the name sees the objects.
        endpoint.publish().await?;
        let flags = RequestNameFlags::DO_NOT_QUEUE;
        match connection.request_name_with_flags(names::BUS_NAME, flags.into()).await? {
            RequestNameReply::PrimaryOwner | RequestNameReply::AlreadyOwner => {}
            RequestNameReply::InQueue | RequestNameReply::Exists => {
                return Err(zbus::Error::NameTaken);
            }
        }
        roster.joined(endpoint);
        Ok((id, connection))
    }
}
