//! Who calls, and whether they may: pending calls counted, credentials fetched, polkit asked.
//!
//! The decision itself is [`Rules`]; this file brings it the facts. On the bus the facts come from
//! the bus daemon, and polkit has the last word for those whom the rules don't settle: no authority,
//! no answer in time, or an error of any kind means refused. On the control socket they come from the
//! kernel when the connection is accepted, and polkit is never asked.

use super::failure::Failure;
use crate::base::clock::{Clock, Time};
use crate::control::names;
use crate::control::rights::{Caller, Right, Rules, Verdict};
use crate::observe::ids;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use zbus::Connection;
use zbus::fdo::DBusProxy;
use zbus::message::{Flags, Header};
use zbus::names::BusName;
use zbus_polkit::policykit1::{AuthorityProxy, CheckAuthorizationFlags, Subject};

/// How long polkit may take when nobody is asked.
const POLKIT_WAIT: Duration = Duration::from_secs(10);
/// How long polkit may take when the caller allowed it to ask a person.
const POLKIT_WAIT_INTERACTIVE: Duration = Duration::from_secs(120);
/// How long a permission to look is remembered, so that reading all properties asks polkit once.
const LOOK_LIFE: Duration = Duration::from_secs(1);
/// Most remembered permissions to look; at the bound all are forgotten.
const LOOKS_MAX: usize = 256;

/// The way a call came.
#[derive(Clone, Debug)]
pub enum Way {
    /// Over a bus, which names the sender of each message.
    Bus,
    /// Over a connection of the control socket.
    Peer {
        /// Number of the connection.
        id: u64,
        /// Who is at its other end.
        caller: Caller,
    },
}

/// Facts and counters for deciding on calls.
#[derive(Debug)]
pub struct Access {
    rules: Rules,
    pending: Arc<Mutex<HashMap<String, usize>>>,
    looks: Mutex<HashMap<String, (Time, Sight)>>,
    /// Calls refused for lack of a right, over the service's life.
    pub refused_total: AtomicU64,
    /// Calls refused because the sender had too many pending, over the service's life.
    pub pending_limit_hit_total: AtomicU64,
}

/// How much a caller who may look is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Without addresses of backends, header values and file facts.
    Plain,
    /// Everything.
    Full,
}

/// An admitted call; its place is free again when this is dropped.
#[derive(Debug)]
pub struct Permit {
    /// Numeric user id of the caller.
    pub uid: u32,
    _place: Place,
}

/// One of the [`names::PENDING_CALLS_MAX`] places of a sender.
#[derive(Debug)]
struct Place {
    sender: String,
    pending: Arc<Mutex<HashMap<String, usize>>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut pending = lock(&self.pending);
        if let Some(count) = pending.get_mut(&self.sender) {
            *count -= 1;
            if *count == 0 {
                pending.remove(&self.sender);
            }
        }
    }
}

/// A poisoned lock holds plain counts and grants: still usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Access {
    /// Decides by `rules`.
    pub fn new(rules: Rules) -> Access {
        Access {
            rules,
            pending: Arc::default(),
            looks: Mutex::default(),
            refused_total: AtomicU64::new(0),
            pending_limit_hit_total: AtomicU64::new(0),
        }
    }

    /// Admits a call that needs `right`, or says why not: `LimitExceeded`, `NotAuthorized`.
    pub async fn admit(
        &self,
        way: &Way,
        connection: &Connection,
        header: &Header<'_>,
        right: Right,
    ) -> Result<Permit, Failure> {
        let place = self.take_place(sender_of(way, header).ok_or_else(|| self.refuse(right))?)?;
        let Some(caller) = caller_of(way, connection, header).await else {
            return Err(self.refuse(right));
        };
        let asking = Asking::of(header);
        if !self.allows(way, &caller, connection, header, right, asking).await {
            return Err(self.refuse(right));
        }
        Ok(Permit { uid: caller.uid, _place: place })
    }

    /// Whether a caller may look, and how much it may see. Remembered for a second per sender.
    ///
    /// Errors: `LimitExceeded`, `NotAuthorized`.
    pub async fn look(
        &self,
        way: &Way,
        connection: &Connection,
        header: &Header<'_>,
    ) -> Result<Sight, Failure> {
        let sender = sender_of(way, header).ok_or_else(|| self.refuse(Right::Inspect))?;
        let now = Clock::now();
        {
            let mut looks = lock(&self.looks);
            looks.retain(|_, (until, _)| *until > now);
            if let Some((_, sight)) = looks.get(&sender) {
                return Ok(*sight);
            }
        }
        let _place = self.take_place(sender.clone())?;
        let Some(caller) = caller_of(way, connection, header).await else {
            return Err(self.refuse(Right::Inspect));
        };
        // Nobody is asked for a password to be shown a little more.
        let full = self.allows(way, &caller, connection, header, Right::Manage, Asking::Nobody);
        let sight = if full.await {
            Sight::Full
        } else if self
            .allows(way, &caller, connection, header, Right::Inspect, Asking::of(header))
            .await
        {
            Sight::Plain
        } else {
            return Err(self.refuse(Right::Inspect));
        };
        let mut looks = lock(&self.looks);
        if looks.len() >= LOOKS_MAX {
            looks.clear();
        }
        looks.insert(sender, (now.after(LOOK_LIFE), sight));
        Ok(sight)
    }

    async fn allows(
        &self,
        way: &Way,
        caller: &Caller,
        connection: &Connection,
        header: &Header<'_>,
        right: Right,
        asking: Asking,
    ) -> bool {
        match (self.rules.decide(caller, right), way) {
            (Verdict::Allowed, _) => true,
            (Verdict::Refused, _) | (Verdict::AskPolkit, Way::Peer { .. }) => false,
            (Verdict::AskPolkit, Way::Bus) => ask_polkit(connection, header, right, asking).await,
        }
    }

    /// Whether any admitted call is unanswered.
    pub fn is_busy(&self) -> bool {
        !lock(&self.pending).is_empty()
    }

    fn take_place(&self, sender: String) -> Result<Place, Failure> {
        let mut pending = lock(&self.pending);
        let count = pending.entry(sender.clone()).or_insert(0);
        if *count >= names::PENDING_CALLS_MAX {
            self.pending_limit_hit_total.fetch_add(1, Ordering::Relaxed);
            let message = format!("a sender may have {} calls pending", names::PENDING_CALLS_MAX);
            return Err(Failure::new(names::ERROR_LIMIT, message));
        }
        *count += 1;
        Ok(Place { sender, pending: Arc::clone(&self.pending) })
    }

    fn refuse(&self, right: Right) -> Failure {
        let times = self.refused_total.fetch_add(1, Ordering::Relaxed) + 1;
        // Told ever more rarely: a caller who insists can't fill the journal.
        if times.is_power_of_two() {
            tracing::warn!(
                MESSAGE_ID = ids::CONTROL_DENIED,
                "a control call was refused for lack of {} ({times} in all)",
                right.action()
            );
        }
        let message = format!(
            "access denied: this needs {}: be root, a member of the group {}, or let polkit allow it (bus only)",
            right.action(),
            names::ADMIN_GROUP
        );
        Failure::new(names::ERROR_NOT_AUTHORIZED, message)
    }
}

/// The name under which a sender's pending calls are counted.
fn sender_of(way: &Way, header: &Header<'_>) -> Option<String> {
    match way {
        Way::Peer { id, .. } => Some(format!("peer {id}")),
        Way::Bus => header.sender().map(|name| name.to_string()),
    }
}

async fn caller_of(way: &Way, connection: &Connection, header: &Header<'_>) -> Option<Caller> {
    match way {
        Way::Peer { caller, .. } => Some(caller.clone()),
        Way::Bus => bus_caller(connection, header).await,
    }
}

/// Who sent a message, by the bus daemon. `None`: gone, or not a user of this machine.
async fn bus_caller(connection: &Connection, header: &Header<'_>) -> Option<Caller> {
    let sender = BusName::from(header.sender()?.clone());
    let bus = DBusProxy::new(connection).await.ok()?;
    let facts = bus.get_connection_credentials(sender).await.ok()?;
    let uid = facts.unix_user_id()?;
    let gids = match facts.unix_group_ids() {
        Some(gids) => gids.clone(),
        None => groups_of(uid),
    };
    Some(Caller { uid, gids })
}

/// The groups of a user by the user database: for bus daemons that don't tell a connection's groups.
fn groups_of(uid: u32) -> Vec<u32> {
    let Ok(Some(user)) = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)) else {
        return Vec::new();
    };
    let Ok(name) = std::ffi::CString::new(user.name) else { return Vec::new() };
    nix::unistd::getgrouplist(&name, user.gid)
        .map(|groups| groups.into_iter().map(|gid| gid.as_raw()).collect())
        .unwrap_or_default()
}

/// Whom polkit may ask before it decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asking {
    Nobody,
    /// The person behind the caller, who has allowed it (`ALLOW_INTERACTIVE_AUTHORIZATION`).
    Person,
}

impl Asking {
    fn of(header: &Header<'_>) -> Asking {
        let allowed = header.primary().flags().contains(Flags::ALLOW_INTERACTIVE_AUTH);
        if allowed { Asking::Person } else { Asking::Nobody }
    }
}

async fn ask_polkit(
    connection: &Connection,
    header: &Header<'_>,
    right: Right,
    asking: Asking,
) -> bool {
    let (flags, wait) = match asking {
        Asking::Person => {
            (CheckAuthorizationFlags::ALLOW_USER_INTERACTION, POLKIT_WAIT_INTERACTIVE)
        }
        Asking::Nobody => (CheckAuthorizationFlags::empty(), POLKIT_WAIT),
    };
    let question = async {
        let subject = Subject::new_for_message_header(header).ok()?;
        let authority = AuthorityProxy::builder(connection)
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .await
            .ok()?;
        let details = HashMap::new();
        let answer =
            authority.check_authorization(&subject, right.action(), &details, flags, "").await;
        match answer {
            Ok(answer) => Some(answer.is_authorized),
            Err(error) => {
                tracing::warn!(%error, "polkit cannot be asked; the call is refused");
                None
            }
        }
    };
    let Ok(runtime) = zruntime::SharedRuntime::current() else { return false };
    runtime.timeout(wait, question).await.ok().flatten().unwrap_or(false)
}
