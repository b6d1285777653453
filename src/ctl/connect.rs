//! Finding the service: the control socket where it may be opened, else the bus.
//!
//! Connecting never starts anything: the control socket is the service's own, there is no bus
//! activation file, and every call carries `NoAutoStart`.

use super::args::Global;
use super::fault::{Exit, Fault};
use crate::control::client::ManagerProxy;
use crate::control::names;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zbus::connection::Builder;
use zbus::proxy::CacheProperties;
use zbus::{Connection, Proxy};

/// Longest wait for the handshake.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// Longest wait for an answer: a person may be typing a password for polkit.
const CALL_WAIT: Duration = Duration::from_secs(150);

/// Where to look for the service.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Socket(PathBuf),
    SystemBus,
    UserBus,
    Bus(String),
}

/// A connection to a living service.
pub struct Service {
    /// The connection.
    pub connection: Connection,
    /// The manager behind it.
    pub manager: ManagerProxy<'static>,
}

/// What `--address` means. Error: wrong use.
fn parse_address(text: &str) -> Result<Place, Fault> {
    match text {
        "system" => Ok(Place::SystemBus),
        "user" | "session" => Ok(Place::UserBus),
        _ if text.contains('=') => Ok(Place::Bus(text.to_owned())),
        _ => match text.strip_prefix("unix:") {
            Some(path) if !path.is_empty() => Ok(Place::Socket(PathBuf::from(path))),
            _ => {
                let message = format!(
                    "--address {text:?}: give unix:PATH of a control socket, \"system\", \"user\", \
                     or the address of a bus"
                );
                Err(Fault::new(Exit::Usage, message))
            }
        },
    }
}

/// The places to try, in order.
fn places(global: &Global) -> Result<Vec<Place>, Fault> {
    if let Some(text) = &global.address {
        return Ok(vec![parse_address(text)?]);
    }
    if !global.user {
        let socket = PathBuf::from(names::SYSTEM_CONTROL_SOCKET);
        return Ok(vec![Place::Socket(socket), Place::SystemBus]);
    }
    let folder = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let socket = folder.map(|folder| Place::Socket(folder.join(names::USER_CONTROL_SOCKET)));
    Ok(socket.into_iter().chain([Place::UserBus]).collect())
}

/// Connects to the service. Errors: `NoService` with what was tried, `NotAuthorized` when only the
/// rights of the socket stand in the way.
pub async fn connect(global: &Global) -> Result<Service, Fault> {
    let places = places(global)?;
    let mut tried = Vec::new();
    let mut forbidden = false;
    let mut nobody = false;
    for place in &places {
        let outcome = match place {
            Place::Socket(path) => connect_socket(path).await,
            Place::SystemBus => connect_bus(Builder::system()).await,
            Place::UserBus => connect_bus(Builder::session()).await,
            Place::Bus(address) => connect_bus(Builder::address(address.as_str())).await,
        };
        match outcome {
            Ok(connection) => return service(connection).await,
            Err(error) => {
                forbidden |= matches!(&error, zbus::Error::InputOutput(error)
                    if error.kind() == std::io::ErrorKind::PermissionDenied);
                // A bus knows for sure; a socket that may not be opened can be a dead one.
                nobody |= is_nobody(&error);
                tried.push(format!("{}: {}", describe(place), reason(&error)));
            }
        }
    }
    let exit = if forbidden && !nobody { Exit::NotAuthorized } else { Exit::NoService };
    Err(Fault::new(exit, format!("the service does not answer ({})", tried.join("; "))))
}

/// Whether the bus says that nobody has the name.
fn is_nobody(error: &zbus::Error) -> bool {
    matches!(error, zbus::Error::InputOutput(error)
        if error.to_string().contains(names::BUS_NAME))
}

fn describe(place: &Place) -> String {
    match place {
        Place::Socket(path) => path.display().to_string(),
        Place::SystemBus => "system bus".to_owned(),
        Place::UserBus => "user bus".to_owned(),
        Place::Bus(address) => address.clone(),
    }
}

fn reason(error: &zbus::Error) -> String {
    match error {
        zbus::Error::InputOutput(error) => error.to_string(),
        zbus::Error::MethodError(_, Some(message), _) => message.clone(),
        other => other.to_string(),
    }
}

async fn connect_socket(path: &Path) -> zbus::Result<Connection> {
    let stream = UnixStream::connect(path)?;
    let build = Builder::unix_stream(stream).p2p().method_timeout(CALL_WAIT).build();
    within(CONNECT_WAIT, build).await
}

async fn connect_bus(builder: Builder<'_>) -> zbus::Result<Connection> {
    let connection = within(CONNECT_WAIT, builder.method_timeout(CALL_WAIT).build()).await?;
    let bus = zbus::fdo::DBusProxy::new(&connection).await?;
    let name = zbus::names::BusName::try_from(names::BUS_NAME)?;
    if bus.name_has_owner(name).await? {
        return Ok(connection);
    }
    let message = format!("nobody has the name {}", names::BUS_NAME);
    Err(zbus::Error::InputOutput(std::io::Error::new(std::io::ErrorKind::NotFound, message).into()))
}

/// `future` within `wait`. Error: `TimedOut`.
async fn within<T>(
    wait: Duration,
    future: impl Future<Output = zbus::Result<T>>,
) -> zbus::Result<T> {
    let runtime = zruntime::SharedRuntime::current()?;
    match runtime.timeout(wait, future).await {
        Ok(outcome) => outcome,
        Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
    }
}

async fn service(connection: Connection) -> Result<Service, Fault> {
    let manager = ManagerProxy::builder(&connection)
        .cache_properties(CacheProperties::No)
        .build()
        .await
        .map_err(Fault::from)?;
    Ok(Service { connection, manager })
}

impl Service {
    /// The manager without types: for signals of every kind.
    pub fn untyped(&self) -> &Proxy<'static> {
        self.manager.inner()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let socket = |path: &str| Place::Socket(PathBuf::from(path));
        assert_eq!(parse_address("unix:/run/x/control").unwrap(), socket("/run/x/control"));
        assert_eq!(parse_address("unix:x").unwrap(), socket("x"));
        assert_eq!(parse_address("system").unwrap(), Place::SystemBus);
        assert_eq!(parse_address("session").unwrap(), Place::UserBus);
        let bus = "unix:path=/run/dbus/system_bus_socket";
        assert_eq!(parse_address(bus).unwrap(), Place::Bus(bus.to_owned()));
        for wrong in ["", "unix:", "/run/x", "tcp"] {
            assert_eq!(parse_address(wrong).unwrap_err().exit, Exit::Usage, "{wrong}");
        }
    }

    #[test]
    fn nobody_there_is_exit_status_3() {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("unix:{}", folder.path().join("nothing").display());
        let global = Global { address: Some(address), ..Global::default() };
        let fault = zbus::block_on(connect(&global)).err().unwrap();
        assert_eq!(fault.exit, Exit::NoService, "{}", fault.message);
    }
}
