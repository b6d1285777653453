//! The typed client of `org.cloudcup1`: what `cupctl` and tests call.
//!
//! The same proxy works on a bus and on the control socket; every call carries `NoAutoStart`, so
//! that looking never starts a stopped service, and `AllowInteractiveAuthorization`: where polkit asks
//! an agent of the session, its person may answer. It holds no connection of its own.

use super::rows::{CheckRow, Options, ProblemRow};

/// `org.cloudcup1.Manager` as its callers see it. Errors: the `org.cloudcup1.Error.*` of
/// [`super::names`], and those of the bus.
#[zbus::proxy(
    interface = "org.cloudcup1.Manager",
    default_service = "org.cloudcup1",
    default_path = "/org/cloudcup1"
)]
pub trait Manager {
    /// Re-reads the configuration file; the serial that runs then.
    #[zbus(no_autostart, allow_interactive_auth)]
    fn reload(&self, options: Options<'_>) -> zbus::Result<u64>;

    /// Every problem of a document; empty when it may be applied.
    #[zbus(no_autostart, allow_interactive_auth)]
    fn validate(&self, document: &str, options: Options<'_>) -> zbus::Result<Vec<ProblemRow>>;

    /// As `Validate`, the document read from a file descriptor (a file or sealed memory).
    #[zbus(no_autostart, allow_interactive_auth)]
    fn validate_fd(
        &self,
        document: zbus::Fd<'_>,
        options: Options<'_>,
    ) -> zbus::Result<Vec<ProblemRow>>;

    /// What applying a document would change, as JSON.
    #[zbus(no_autostart, allow_interactive_auth)]
    fn plan(&self, document: &str, options: Options<'_>) -> zbus::Result<String>;

    /// As `Plan`, the document read from a file descriptor.
    #[zbus(no_autostart, allow_interactive_auth)]
    fn plan_fd(&self, document: zbus::Fd<'_>, options: Options<'_>) -> zbus::Result<String>;

    /// Applies a document over all workers, all or none; the new serial.
    #[zbus(no_autostart, allow_interactive_auth)]
    fn apply(&self, document: &str, options: Options<'_>) -> zbus::Result<u64>;

    /// As `Apply`, the document read from a file descriptor.
    #[zbus(no_autostart, allow_interactive_auth)]
    fn apply_fd(&self, document: zbus::Fd<'_>, options: Options<'_>) -> zbus::Result<u64>;

    /// Probes backends now; empty lists mean all.
    #[zbus(no_autostart, allow_interactive_auth)]
    fn check(
        &self,
        backends: &[&str],
        routes: &[&str],
        options: Options<'_>,
    ) -> zbus::Result<Vec<CheckRow>>;

    /// Each step that a request would take through routes and pools, as JSON.
    #[zbus(no_autostart, allow_interactive_auth)]
    fn why(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        options: Options<'_>,
    ) -> zbus::Result<String>;

    /// One of the documents of [`super::rows::Topic`], as JSON.
    #[zbus(no_autostart, allow_interactive_auth)]
    fn show(&self, what: &str, options: Options<'_>) -> zbus::Result<String>;

    /// All metrics as OpenMetrics text.
    #[zbus(no_autostart, allow_interactive_auth)]
    fn metrics(&self, options: Options<'_>) -> zbus::Result<String>;

    /// Sets the log filter until the next start.
    #[zbus(no_autostart, allow_interactive_auth)]
    fn set_log_level(&self, filter: &str, options: Options<'_>) -> zbus::Result<()>;

    /// Stops the service: softly (drain first) or `hard`.
    #[zbus(no_autostart, allow_interactive_auth)]
    fn stop(&self, hard: bool, options: Options<'_>) -> zbus::Result<()>;

    /// The version of the running binary.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> zbus::Result<String>;

    /// The serial of the configuration that runs.
    #[zbus(property)]
    fn serial(&self) -> zbus::Result<u64>;

    /// The word of the service's state.
    #[zbus(property)]
    fn state(&self) -> zbus::Result<String>;

    /// A configuration was applied.
    #[zbus(signal)]
    fn applied(&self, serial: u64, source: String) -> zbus::Result<()>;

    /// A configuration was refused; `serial` still runs.
    #[zbus(signal)]
    fn apply_failed(&self, serial: u64, source: String, problems: u32) -> zbus::Result<()>;

    /// A worker process ended.
    #[zbus(signal)]
    fn worker_exited(&self, slot: u32, pid: u32, reason: String) -> zbus::Result<()>;

    /// A backend was taken out of rotation or came back.
    #[zbus(signal)]
    fn backend_state_changed(
        &self,
        backend: zbus::ObjectPath<'_>,
        pool: String,
        up: bool,
        reason: String,
    ) -> zbus::Result<()>;
}
