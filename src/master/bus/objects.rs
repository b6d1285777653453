//! `org.cloudcup1.Worker`, `.Pool` and `.Backend`: read-only properties of the snapshot's rows.
//!
//! Each interface is one table below. The table gives the getters, the values for the
//! ObjectManager, and the changes to announce, so the three can't disagree. Objects hold their path,
//! not a row: a reader always gets the latest snapshot.

use super::access::{Sight, Way};
use super::failure::Failure;
use super::shared::Shared;
use super::tree::{Node, PoolRow};
use crate::control::names;
use crate::master::snapshot::{BackendView, WorkerView};
use std::collections::HashMap;
use std::sync::Arc;
use zbus::message::Header;
use zbus::{Connection, OwnedObjectPath, OwnedVariant, Variant, interface};

/// The values of an interface by property name.
pub type Values = HashMap<&'static str, OwnedVariant>;

/// What a reader gets when the object has just gone.
fn gone() -> Failure {
    Failure::new(names::ERROR_NOT_FOUND, "the object is gone")
}

/// How much the reader sees: plain when the value is for a signal, which anybody may see.
async fn sight(
    shared: &Shared,
    way: &Way,
    connection: &Connection,
    header: Option<Header<'_>>,
) -> Result<Sight, Failure> {
    match &header {
        Some(header) => shared.access.look(way, connection, header).await,
        None => Ok(Sight::Plain),
    }
}

macro_rules! object {
    (
        $(#[$doc:meta])* $type:ident { row: $row:ty, interface: $interface:tt }
        $( $emits:tt $name:tt $getter:ident: $value:ty = $read:expr; )*
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $type {
            pub(super) shared: Arc<Shared>,
            pub(super) way: Way,
            pub(super) path: String,
        }

        #[interface(name = $interface, introspection_docs = false)]
        impl $type {
            $(
                #[zbus(property(emits_changed_signal = $emits), name = $name)]
                async fn $getter(
                    &self,
                    #[zbus(connection)] connection: &Connection,
                    #[zbus(header)] header: Option<Header<'_>>,
                ) -> Result<$value, Failure> {
                    let sight = sight(&self.shared, &self.way, connection, header).await?;
                    let view = self.shared.view().await?;
                    let Some(Node::$type(row)) = view.nodes(&self.shared).get(&self.path) else {
                        return Err(gone());
                    };
                    let read: fn(&$row, Sight) -> $value = $read;
                    Ok(read(row, sight))
                }
            )*
        }

        impl $type {
            /// All values of `row` as `sight` may see them.
            pub(super) fn values(row: &$row, sight: Sight) -> Values {
                let mut values = Values::new();
                $(
                    let read: fn(&$row, Sight) -> $value = $read;
                    // A value without descriptors always has an owned form.
                    if let Ok(value) = OwnedVariant::try_from(Variant::from(read(row, sight))) {
                        values.insert($name, value);
                    }
                )*
                values
            }

            /// The announced values in which two rows differ, as anybody may see them.
            pub(super) fn changes(old: &$row, new: &$row) -> Values {
                let mut changes = Values::new();
                $(
                    let read: fn(&$row, Sight) -> $value = $read;
                    let value = read(new, Sight::Plain);
                    if $emits == "true"
                        && read(old, Sight::Plain) != value
                        && let Ok(value) = OwnedVariant::try_from(Variant::from(value))
                    {
                        changes.insert($name, value);
                    }
                )*
                changes
            }
        }
    };
}

object! {
    /// One worker process.
    Worker { row: WorkerView, interface: "org.cloudcup1.Worker" }
    "const" "Slot" slot: u32 = |row, _| u32::from(row.slot);
    "const" "Pid" pid: u32 = |row, _| row.pid;
    "const" "Generation" generation: u64 = |row, _| row.generation;
    "const" "Adopted" adopted: bool = |row, _| row.adopted;
    "true" "State" state: String = |row, _| row.state.clone();
    "true" "Serial" serial: u64 = |row, _| row.serial;
    "false" "UptimeSeconds" uptime_seconds: u64 = |row, _| row.uptime_seconds;
    "false" "Connections" connections: u64 = |row, _| row.connections;
    "false" "BackendConnections" backend_connections: u64 = |row, _| row.back_connections;
    "false" "RequestsTotal" requests_total: u64 = |row, _| row.requests_total;
    "const" "Restarts" restarts: u64 = |row, _| row.restarts;
}

object! {
    /// One pool.
    Pool { row: PoolRow, interface: "org.cloudcup1.Pool" }
    "const" "Name" name: String = |row, _| row.name.clone();
    "true" "Strategy" strategy: String = |row, _| row.strategy.clone();
    "true" "Backends" backends: Vec<OwnedObjectPath> = |row, _| row.backends.clone();
    "true" "BackendsUp" backends_up: u32 = |row, _| row.backends_up;
}

object! {
    /// One backend.
    Backend { row: BackendView, interface: "org.cloudcup1.Backend" }
    "const" "Pool" pool: String = |row, _| row.pool.clone();
    "false" "Address" address: String = |row, sight| match sight {
        Sight::Full => row.address.clone(),
        Sight::Plain => String::new(),
    };
    "true" "State" state: String = |row, _| row.state.clone();
    "true" "Weight" weight: u32 = |row, _| row.weight;
    "true" "MaxFailures" max_failures: u64 = |row, _| row.max_failures;
    "false" "Failures" failures: u64 = |row, _| row.failures;
    "false" "RetryInUSec" retry_in_usec: u64 = |row, _| row.retry_in_ms.saturating_mul(1000);
    "false" "Connections" connections: u64 = |row, _| row.connections;
    "false" "RequestsTotal" requests_total: u64 = |row, _| row.requests_total;
    "false" "FailuresTotal" failures_total: u64 = |row, _| row.failures_total;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_announced_values_are_changes() {
        let old = BackendView { state: "up".into(), ..BackendView::default() };
        let new = BackendView {
            state: "down".into(),
            address: "10.0.0.1:80".into(),
            requests_total: 9,
            ..BackendView::default()
        };
        let changes = Backend::changes(&old, &new);
        assert_eq!(changes.keys().copied().collect::<Vec<_>>(), ["State"]);
        assert!(Backend::changes(&new, &new).is_empty());
    }

    #[test]
    fn an_address_is_a_value_for_those_who_may_manage() {
        let row = BackendView { address: "10.0.0.1:80".into(), ..BackendView::default() };
        let text = |sight| {
            String::try_from(Backend::values(&row, sight)["Address"].try_clone().unwrap()).unwrap()
        };
        assert_eq!(text(Sight::Full), "10.0.0.1:80");
        assert_eq!(text(Sight::Plain), "");
        assert_eq!(Backend::values(&row, Sight::Full).len(), 10);
    }
}
