//! The names and bounds of the control surface: bus name, object paths, interfaces, errors,
//! polkit actions, default places.
//!
//! They are binding for scripts and manuals; nothing else in the package spells them.

/// The well-known name on the system and on the user bus.
pub const BUS_NAME: &str = "org.cloudcup1";
/// The object that carries `org.cloudcup1.Manager` and the ObjectManager.
pub const ROOT_PATH: &str = "/org/cloudcup1";
/// Workers are the children of this path, one per process id.
pub const WORKER_PATH: &str = "/org/cloudcup1/worker";
/// Pools are the children of this path, one per (escaped) pool name.
pub const POOL_PATH: &str = "/org/cloudcup1/pool";
/// Backends are the grandchildren of this path: (escaped) pool name, then member id in hex.
pub const BACKEND_PATH: &str = "/org/cloudcup1/backend";

/// The interface of the whole service.
pub const MANAGER_INTERFACE: &str = "org.cloudcup1.Manager";
/// The interface of one worker process.
pub const WORKER_INTERFACE: &str = "org.cloudcup1.Worker";
/// The interface of one pool of backends.
pub const POOL_INTERFACE: &str = "org.cloudcup1.Pool";
/// The interface of one backend of a pool.
pub const BACKEND_INTERFACE: &str = "org.cloudcup1.Backend";

/// The prefix of every error of ours on the wire.
pub const ERROR_PREFIX: &str = "org.cloudcup1.Error.";
/// The document, or the configuration file, was refused; nothing changed. The error's body carries
/// the rows of its problems (`a(ssuuss)`) behind the message.
pub const ERROR_REFUSED: &str = "org.cloudcup1.Error.Refused";
/// `expected_serial` was given and another serial runs.
pub const ERROR_CONFLICT: &str = "org.cloudcup1.Error.Conflict";
/// Another change is being applied, or too many commands wait.
pub const ERROR_BUSY: &str = "org.cloudcup1.Error.Busy";
/// What was named (a pool, a backend, a route) does not exist.
pub const ERROR_NOT_FOUND: &str = "org.cloudcup1.Error.NotFound";
/// An argument or option is unknown or has the wrong type or value.
pub const ERROR_INVALID_ARGUMENT: &str = "org.cloudcup1.Error.InvalidArgument";
/// The feature belongs to a later version.
pub const ERROR_NOT_SUPPORTED: &str = "org.cloudcup1.Error.NotSupported";
/// The answer did not come in time.
pub const ERROR_TIMED_OUT: &str = "org.cloudcup1.Error.TimedOut";
/// The service is stopping.
pub const ERROR_STOPPING: &str = "org.cloudcup1.Error.Stopping";
/// The change was tried and a worker, the disk or the kernel refused it.
pub const ERROR_FAILED: &str = "org.cloudcup1.Error.Failed";
/// The caller has neither the right nor a way to obtain it.
pub const ERROR_NOT_AUTHORIZED: &str = "org.cloudcup1.Error.NotAuthorized";
/// A bound of the control surface was reached (document size, pending calls).
pub const ERROR_LIMIT: &str = "org.cloudcup1.Error.LimitExceeded";

/// The polkit action for all that changes, and for answers that hold addresses or file facts.
pub const ACTION_MANAGE: &str = "org.cloudcup1.manage";
/// The polkit action for counters and state without addresses.
pub const ACTION_INSPECT: &str = "org.cloudcup1.inspect";

/// The group whose members may do everything.
pub const ADMIN_GROUP: &str = "cloudcup-admin";
/// The control socket of the system service.
pub const SYSTEM_CONTROL_SOCKET: &str = "/run/cloudcup/control";
/// The control socket of a user's service, below `XDG_RUNTIME_DIR`.
pub const USER_CONTROL_SOCKET: &str = "cloudcup/control";

/// Largest configuration document taken over the control surface, in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most calls of one sender that may be unanswered; one more is refused with `LimitExceeded`.
pub const PENDING_CALLS_MAX: usize = 4;
/// Most peer-to-peer connections on the control socket; one more is closed at once and counted.
pub const PEERS_MAX: usize = 32;
/// Most peer-to-peer connections of one uid other than root; all uids but root share half of
/// [`PEERS_MAX`], so that nobody can lock root out.
pub const PEERS_PER_UID_MAX: usize = 12;
/// Most file descriptors in one message on the control socket; more end the connection.
pub const MESSAGE_FDS_MAX: usize = 4;
/// Largest message on the control socket, in bytes: a document and room for its envelope.
pub const MESSAGE_BYTES_MAX: usize = DOCUMENT_BYTES_MAX + 64 * 1024;
/// Most objects published below [`ROOT_PATH`]; pools and backends beyond it are only in `Show`.
pub const OBJECTS_MAX: usize = 4096;
