//! Listening sockets: those that systemd passed, and those that we bind.
//!
//! Invariants: where a listener has passed sockets, its addresses are not bound; sockets made for an
//! apply that fails are closed again and their files removed; every socket here is non-blocking, whatever
//! its sender made of it.

use super::notify::StoredName;
use crate::config::plan::{ListenAddress, ListenerPlan, Plan};
use crate::observe::ids;
use crate::sys::{fd, socket};
use libsystemd::activation::{receive_descriptors, receive_descriptors_with_names};
use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::rc::Rc;

/// Most sockets of a configuration: all must go into one message, with the documents.
const MAX_SOCKETS: usize = 56;

/// Where a socket came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A socket unit.
    Systemd,
    /// We bound it.
    Bound,
}

impl Origin {
    /// The word that `status` shows.
    pub fn word(self) -> &'static str {
        match self {
            Origin::Systemd => "systemd",
            Origin::Bound => "bound",
        }
    }
}

/// One listening socket of a listener.
#[derive(Debug)]
pub struct Listening {
    /// The kernel's name for it.
    pub id: u64,
    /// The listener that it belongs to.
    pub listener: String,
    /// Where it listens.
    pub address: socket::Address,
    /// Where it came from.
    pub origin: Origin,
    /// The socket.
    pub fd: OwnedFd,
}

impl Listening {
    /// Its address as people write it.
    pub fn address_text(&self) -> String {
        match &self.address {
            socket::Address::Inet(address) => address.to_string(),
            socket::Address::Unix(Some(path)) => format!("unix:{}", path.display()),
            socket::Address::Unix(None) => "unix:".to_owned(),
            socket::Address::Other(family) => format!("family {family}"),
        }
    }

    fn new(listener: &str, origin: Origin, fd: OwnedFd) -> io::Result<Listening> {
        // systemd clears O_NONBLOCK on each start unless the unit says NonBlocking=yes.
        fd::set_nonblocking(fd.as_fd(), true)?;
        Ok(Listening {
            id: socket::cookie(fd.as_fd())?,
            listener: listener.to_owned(),
            address: socket::local_address(fd.as_fd())?,
            origin,
            fd,
        })
    }
}

/// A socket that can't be bound.
#[derive(Debug)]
pub struct BindError {
    /// The listener.
    pub listener: String,
    /// The address.
    pub address: String,
    /// Why.
    pub error: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BindError { listener, address, error } = self;
        write!(f, "listener \"{listener}\" cannot listen on {address}: {error}")
    }
}

/// Descriptors that were passed at start, by name. Call it once, before any thread exists.
pub fn receive() -> Vec<(Option<StoredName>, OwnedFd)> {
    let mut found: Vec<(Option<String>, i32)> = Vec::new();
    // The names come first: clearing the environment is left to the second call.
    match receive_descriptors_with_names(false) {
        Ok(named) => {
            found.extend(named.into_iter().map(|(fd, name)| (Some(name), fd.into_raw_fd())));
        }
        Err(error) => tracing::debug!(%error, "no named descriptors"),
    }
    match receive_descriptors(true) {
        Ok(all) => {
            let raw: Vec<i32> = all.into_iter().map(IntoRawFd::into_raw_fd).collect();
            if found.len() != raw.len() {
                found = raw.into_iter().map(|raw| (None, raw)).collect();
            }
        }
        Err(error) => tracing::debug!(%error, "no passed descriptors"),
    }
    let mut taken = Vec::new();
    for (name, raw) in found {
        // systemd-socket-activate without --fdname and units without a name say "unknown".
        let name = name.filter(|name| !name.is_empty() && name != "unknown");
        match fd::inherit(raw) {
            Ok(fd) => taken.push((name.as_deref().map(StoredName::parse), fd)),
            Err(error) => tracing::warn!(%error, raw, "cannot take a passed descriptor"),
        }
    }
    taken
}

/// All listening sockets of the service.
#[derive(Debug, Default)]
pub struct Sockets {
    passed: Vec<Rc<Listening>>,
    bound: Vec<Rc<Listening>>,
}

impl Sockets {
    /// Takes a socket of a socket unit (or, with `Origin::Bound`, one that an earlier master bound).
    /// Anything but a listening stream socket is closed with a warning.
    pub fn take(&mut self, listener: &str, origin: Origin, fd: OwnedFd) {
        let listens = socket::is_listening(fd.as_fd()).unwrap_or(false)
            && socket::is_stream(fd.as_fd()).unwrap_or(false);
        if !listens {
            tracing::warn!(listener, "a passed descriptor is no listening stream socket: closed");
            return;
        }
        match Listening::new(listener, origin, fd) {
            Ok(socket) => match origin {
                Origin::Systemd => self.passed.push(Rc::new(socket)),
                Origin::Bound => self.bound.push(Rc::new(socket)),
            },
            Err(error) => tracing::warn!(%error, listener, "cannot use a passed socket: closed"),
        }
    }

    /// Closes passed sockets that no listener of the plan names, telling the key to add.
    pub fn close_unnamed(&mut self, plan: &Plan) {
        self.passed.retain(|socket| {
            let named = plan.listeners.iter().any(|listener| listener.name == socket.listener);
            if !named {
                tracing::warn!(
                    MESSAGE_ID = ids::SOCKET_UNNAMED,
                    CUP_LISTENER = socket.listener,
                    "the passed socket {} ({}) is closed, because the configuration has no such \
                     listener; add \"listeners\": {{ \"{}\": {{}} }} to use it",
                    socket.listener,
                    socket.address_text(),
                    socket.listener,
                );
            }
            named
        });
    }

    /// The sockets of a plan: those there are, and new ones bound where an address has none. On an error
    /// the new ones are closed. Nothing changes here until [`Sockets::commit`].
    pub fn for_plan(&self, plan: &Plan) -> Result<Vec<Rc<Listening>>, Vec<BindError>> {
        let (sockets, errors) = self.for_start(plan);
        if errors.is_empty() {
            return Ok(sockets);
        }
        self.discard(&sockets);
        Err(errors)
    }

    /// As [`Sockets::for_plan`], but with all sockets that can be had, and the errors of the others.
    pub fn for_start(&self, plan: &Plan) -> (Vec<Rc<Listening>>, Vec<BindError>) {
        let mut sockets = Vec::new();
        let mut errors = Vec::new();
        let mut idle = Vec::new();
        for listener in &plan.listeners {
            let passed = of(&self.passed, &listener.name);
            if !passed.is_empty() {
                sockets.extend(passed);
                continue;
            }
            if listener.addresses.is_empty() {
                idle.push(listener.name.as_str());
            }
            for address in &listener.addresses {
                match self.have_or_bind(listener, address) {
                    Ok(socket) => sockets.push(socket),
                    Err(error) => errors.push(BindError {
                        listener: listener.name.clone(),
                        address: text_of(address),
                        error,
                    }),
                }
            }
        }
        if errors.is_empty() {
            errors.extend(judge(&sockets, &idle).err());
        }
        (sockets, errors)
    }

    /// The plan of these sockets runs now: bound ones that it doesn't use are closed. Returns the names of
    /// the listeners whose bound sockets are others than before.
    pub fn commit(&mut self, sockets: &[Rc<Listening>]) -> BTreeSet<String> {
        let bound: Vec<Rc<Listening>> =
            sockets.iter().filter(|s| s.origin == Origin::Bound).cloned().collect();
        let among = |list: &[Rc<Listening>], id: u64| list.iter().any(|socket| socket.id == id);
        let mut touched = BTreeSet::new();
        for old in self.bound.iter().filter(|old| !among(&bound, old.id)) {
            remove_file(old);
            touched.insert(old.listener.clone());
        }
        for new in bound.iter().filter(|new| !among(&self.bound, new.id)) {
            touched.insert(new.listener.clone());
        }
        self.bound = bound;
        touched
    }

    /// The sockets that we bound for a listener.
    pub fn bound_for(&self, listener: &str) -> Vec<Rc<Listening>> {
        of(&self.bound, listener)
    }

    /// The plan of these sockets was refused: those that were bound for it alone are closed.
    pub fn discard(&self, sockets: &[Rc<Listening>]) {
        for socket in sockets {
            let known = self.bound.iter().any(|bound| bound.id == socket.id);
            if socket.origin == Origin::Bound && !known {
                remove_file(socket);
            }
        }
    }

    /// Removes the files of the unix sockets that we bound: the service ends.
    pub fn remove_files(&self) {
        self.bound.iter().for_each(|socket| remove_file(socket));
    }

    fn have_or_bind(
        &self,
        listener: &ListenerPlan,
        wanted: &ListenAddress,
    ) -> io::Result<Rc<Listening>> {
        let known = self
            .bound
            .iter()
            .find(|socket| socket.listener == listener.name && is_at(&socket.address, wanted));
        match known {
            Some(socket) => Ok(Rc::clone(socket)),
            None => bind(&listener.name, wanted).map(Rc::new),
        }
    }
}

fn of(sockets: &[Rc<Listening>], name: &str) -> Vec<Rc<Listening>> {
    sockets.iter().filter(|socket| socket.listener == name).cloned().collect()
}

/// Whether the sockets are some, and not too many for one message to a worker. Listeners without any are
/// told: their socket unit may not be enabled.
fn judge(sockets: &[Rc<Listening>], idle: &[&str]) -> Result<(), BindError> {
    let listener = idle.first().copied().unwrap_or_default().to_owned();
    if sockets.is_empty() {
        let why = "it has no address, and systemd passed no socket of this name";
        let (address, error) = ("nothing".to_owned(), io::Error::other(why));
        return Err(BindError { listener, address, error });
    }
    if sockets.len() > MAX_SOCKETS {
        let error = io::Error::other("a configuration may have at most 56 listening sockets");
        return Err(BindError { listener, address: "so many sockets".to_owned(), error });
    }
    for name in idle {
        tracing::warn!(
            MESSAGE_ID = ids::SOCKET_FAILED,
            CUP_LISTENER = name,
            "listener {name} has no address, and systemd passed no socket of this name: it is idle"
        );
    }
    Ok(())
}

fn is_at(address: &socket::Address, wanted: &ListenAddress) -> bool {
    match (address, wanted) {
        (socket::Address::Inet(have), ListenAddress::Tcp(want)) => {
            // Port 0 asked for any port: the socket that was bound for it stays.
            have == want || (want.port() == 0 && have.ip() == want.ip())
        }
        (socket::Address::Unix(Some(have)), ListenAddress::Unix(want)) => have == Path::new(want),
        _ => false,
    }
}

fn text_of(address: &ListenAddress) -> String {
    match address {
        ListenAddress::Tcp(address) => address.to_string(),
        ListenAddress::Unix(path) => format!("unix:{path}"),
    }
}

fn bind(listener: &str, address: &ListenAddress) -> io::Result<Listening> {
    let fd = match address {
        ListenAddress::Tcp(address) => socket::listen_tcp(*address, false)?,
        ListenAddress::Unix(path) => bind_unix(Path::new(path))?,
    };
    Listening::new(listener, Origin::Bound, fd)
}

/// Binds a unix socket that any local client may use, in place of a dead one.
fn bind_unix(path: &Path) -> io::Result<OwnedFd> {
    let stale = fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket())
        && socket::connect_unix(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    if stale {
        fs::remove_file(path)?;
    }
    let fd = socket::listen_unix(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
    Ok(fd)
}

fn remove_file(socket: &Listening) {
    if let socket::Address::Unix(Some(path)) = &socket.address
        && let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %path.display(), "cannot remove a socket file");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{CheckContext, check};

    fn plan(text: &str) -> Plan {
        let checked = check(text.as_bytes(), &CheckContext::default());
        checked.plan.unwrap_or_else(|| panic!("{:#?}", checked.problems))
    }

    fn listeners(inside: &str) -> Plan {
        plan(&format!(
            "{{\"listeners\": {{{inside}}}, \"routes\": {{\"*\": {{\"respond\": {{\"status\": 204}}}}}}}}"
        ))
    }

    fn tcp() -> OwnedFd {
        socket::listen_tcp("127.0.0.1:0".parse().unwrap(), false).unwrap()
    }

    fn names(sockets: &[Rc<Listening>]) -> Vec<(&str, &str)> {
        sockets.iter().map(|s| (s.listener.as_str(), s.origin.word())).collect()
    }

    #[test]
    fn passed_sockets_come_before_addresses_and_are_made_non_blocking() {
        let mut sockets = Sockets::default();
        let fd = tcp();
        fd::set_nonblocking(fd.as_fd(), false).unwrap();
        let copy = fd.try_clone().unwrap();
        sockets.take("web", Origin::Systemd, fd);
        let plan =
            listeners(r#""web": {"address": "192.0.2.1:1"}, "other": {"address": "127.0.0.1:0"}"#);
        let got = sockets.for_plan(&plan).unwrap();
        assert_eq!(names(&got), [("web", "systemd"), ("other", "bound")]);
        assert_eq!(
            socket::accept(copy.as_fd()).unwrap_err().kind(),
            io::ErrorKind::WouldBlock,
            "the flag is shared"
        );
    }

    #[test]
    fn what_is_no_listening_stream_socket_is_closed_and_the_unnamed_too() {
        let mut sockets = Sockets::default();
        let (one, _other) = socket::seqpacket_pair().unwrap();
        sockets.take("web", Origin::Systemd, one);
        sockets.take("web", Origin::Systemd, tempfile::tempfile().unwrap().into());
        sockets.take("web", Origin::Systemd, tcp());
        sockets.take("stranger", Origin::Systemd, tcp());
        let plan = listeners(r#""web": {}"#);
        sockets.close_unnamed(&plan);
        assert_eq!(names(&sockets.passed), [("web", "systemd")]);
        assert_eq!(sockets.for_plan(&plan).unwrap().len(), 1);
    }

    #[test]
    fn a_bound_socket_stays_while_its_address_does() {
        let mut sockets = Sockets::default();
        let one = listeners(r#""web": {"address": "127.0.0.1:0"}"#);
        let first = sockets.for_plan(&one).unwrap();
        assert_eq!(sockets.commit(&first).len(), 1);
        let again = sockets.for_plan(&one).unwrap();
        assert_eq!(again[0].id, first[0].id);
        assert_eq!(sockets.commit(&again).len(), 0);
        let other = listeners(r#""web": {"address": "[::1]:0"}"#);
        let second = sockets.for_plan(&other).unwrap();
        assert_ne!(second[0].id, first[0].id);
        sockets.commit(&second);
        assert_eq!(sockets.bound.len(), 1);
    }

    #[test]
    fn unix_files_come_and_go_with_their_sockets() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.sock");
        let text = format!(r#""web": {{"address": "unix:{}"}}"#, path.display());
        let plan = listeners(&text);
        let sockets = Sockets::default();
        let got = sockets.for_plan(&plan).unwrap();
        assert!(path.exists());
        // A living one is not taken away, a dead one is.
        assert!(Sockets::default().for_plan(&plan).is_err());
        sockets.discard(&got);
        assert!(!path.exists());
        drop(got);
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let mut sockets = Sockets::default();
        let got = sockets.for_plan(&plan).unwrap();
        sockets.commit(&got);
        sockets.remove_files();
        assert!(!path.exists());
    }

    #[test]
    fn all_errors_are_told_and_what_works_can_be_had() {
        let taken = tcp();
        let socket::Address::Inet(address) = socket::local_address(taken.as_fd()).unwrap() else {
            panic!("no inet address");
        };
        let plan = listeners(&format!(
            r#""a": {{"address": "{address}"}}, "b": {{"address": "127.0.0.1:0"}}"#
        ));
        let errors = Sockets::default().for_plan(&plan).unwrap_err();
        assert!(errors[0].to_string().contains(&address.to_string()), "{}", errors[0]);
        let (got, errors) = Sockets::default().for_start(&plan);
        assert_eq!((names(&got), errors.len()), (vec![("b", "bound")], 1));
        let none = Sockets::default().for_plan(&listeners(r#""a": {}"#)).unwrap_err();
        assert!(none[0].to_string().contains("no address"), "{}", none[0]);
    }
}
