//! Which objects a snapshot has, and the ObjectManager that lists them.
//!
//! [`nodes`] is the one place that maps rows to paths; publishing, listing and announcing all use
//! it. The ObjectManager is ours rather than zbus's because listing needs a right.

use super::access::{Sight, Way};
use super::failure::Failure;
use super::objects::{Backend, Pool, Values, Worker};
use super::pump::Roster;
use super::shared::Shared;
use crate::control::{names, path};
use crate::master::snapshot::{BackendView, PoolView, Snapshot, WorkerView};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use zbus::message::Header;
use zbus::names::InterfaceName;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, ObjectPath, OwnedObjectPath, OwnedVariant, Variant, interface};

/// A pool with the paths of its backends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolRow {
    /// Its name.
    pub name: String,
    /// How a backend is picked.
    pub strategy: String,
    /// Paths of its backends, in the order of the configuration.
    pub backends: Vec<OwnedObjectPath>,
    /// Number of backends that take traffic.
    pub backends_up: u32,
}

/// A row behind an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A worker process.
    Worker(WorkerView),
    /// A pool.
    Pool(PoolRow),
    /// A backend.
    Backend(BackendView),
}

impl Node {
    /// Its interface.
    pub fn interface(&self) -> &'static str {
        match self {
            Node::Worker(_) => names::WORKER_INTERFACE,
            Node::Pool(_) => names::POOL_INTERFACE,
            Node::Backend(_) => names::BACKEND_INTERFACE,
        }
    }

    /// All values as `sight` may see them.
    pub fn values(&self, sight: Sight) -> Values {
        match self {
            Node::Worker(row) => Worker::values(row, sight),
            Node::Pool(row) => Pool::values(row, sight),
            Node::Backend(row) => Backend::values(row, sight),
        }
    }

    /// The announced values that changed since `old`, the earlier row at the same path.
    pub fn changes(&self, old: &Node) -> Values {
        match (old, self) {
            (Node::Worker(old), Node::Worker(new)) => Worker::changes(old, new),
            (Node::Pool(old), Node::Pool(new)) => Pool::changes(old, new),
            (Node::Backend(old), Node::Backend(new)) => Backend::changes(old, new),
            _ => Values::new(),
        }
    }
}

/// The objects of a snapshot by path.
pub type Nodes = BTreeMap<String, Node>;

/// The objects of `snapshot` by path; at most [`names::OBJECTS_MAX`]: workers first, then pools, each
/// followed by its backends.
pub fn nodes(shared: &Shared, snapshot: &Snapshot) -> Nodes {
    let workers = snapshot.workers.iter().filter(|row| row.pid != 0);
    let workers = workers.map(|row| (path::worker(row.pid), Node::Worker(row.clone())));
    let pools = snapshot.pools.iter().flat_map(|pool| {
        let head = (path::pool(&pool.name), Node::Pool(pool_row(shared, pool)));
        let members = pool.backends.iter().map(|row| {
            let id = shared.backend_id(&row.pool, &row.address);
            (path::backend(&row.pool, id), Node::Backend(row.clone()))
        });
        std::iter::once(head).chain(members)
    });
    workers.chain(pools).take(names::OBJECTS_MAX).collect()
}

fn pool_row(shared: &Shared, pool: &PoolView) -> PoolRow {
    let backends = pool.backends.iter().filter_map(|row| {
        let id = shared.backend_id(&row.pool, &row.address);
        OwnedObjectPath::try_from(path::backend(&row.pool, id)).ok()
    });
    let up = pool.backends.iter().filter(|row| row.state != "down").count();
    PoolRow {
        name: pool.name.clone(),
        strategy: pool.strategy.clone(),
        backends: backends.collect(),
        backends_up: u32::try_from(up).unwrap_or(u32::MAX),
    }
}

/// `org.freedesktop.DBus.ObjectManager` at `/org/cloudcup1`.
#[derive(Clone, Debug)]
pub struct Objects {
    pub(super) shared: Arc<Shared>,
    pub(super) way: Way,
    pub(super) roster: Roster,
}

/// What `GetManagedObjects` answers.
type Listing = HashMap<OwnedObjectPath, HashMap<String, HashMap<String, OwnedVariant>>>;

#[interface(name = "org.freedesktop.DBus.ObjectManager", introspection_docs = false)]
impl Objects {
    #[zbus(out_args("objpath_interfaces_and_properties"))]
    async fn get_managed_objects(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Listing, Failure> {
        let sight = self.shared.access.look(&self.way, connection, &header).await?;
        if let Way::Peer { id, .. } = self.way {
            // Whoever lists the objects is going to use them.
            self.roster.publish(id).await;
        }
        let view = self.shared.view().await?;
        let mut listing = Listing::new();
        for (path, node) in view.nodes(&self.shared) {
            let Ok(path) = OwnedObjectPath::try_from(path.as_str()) else { continue };
            let values =
                node.values(sight).into_iter().map(|(name, value)| (name.to_owned(), value));
            let interfaces = HashMap::from([(node.interface().to_owned(), values.collect())]);
            listing.insert(path, interfaces);
        }
        Ok(listing)
    }

    #[zbus(signal)]
    pub(super) async fn interfaces_added(
        emitter: &SignalEmitter<'_>,
        object_path: ObjectPath<'_>,
        interfaces_and_properties: HashMap<InterfaceName<'_>, HashMap<&str, Variant<'_>>>,
    ) -> zbus::Result<()>;

    #[zbus(signal)]
    pub(super) async fn interfaces_removed(
        emitter: &SignalEmitter<'_>,
        object_path: ObjectPath<'_>,
        interfaces: Cow<'_, [InterfaceName<'_>]>,
    ) -> zbus::Result<()>;
}

#[cfg(test)]
mod tests {
    use super::super::access::Access;
    use super::*;
    use crate::control::rights::Mode;

    #[test]
    fn objects_are_bounded_and_workers_come_first() {
        let poll = mio::Poll::new().unwrap();
        let waker = Arc::new(mio::Waker::new(poll.registry(), mio::Token(0)).unwrap());
        let (commands, _requests) = crate::master::command::channel(waker);
        let shared = Shared::new(commands, Access::new(super::super::rules(Mode::User)));
        let pool = |number: usize| {
            let name = format!("p{number}");
            let row = |address: &str| BackendView {
                pool: name.clone(),
                address: address.into(),
                state: if address == "a" { "up".into() } else { "down".into() },
                ..BackendView::default()
            };
            let backends = vec![row("a"), row("b")];
            PoolView { name: name.clone(), backends, ..PoolView::default() }
        };
        let snapshot = Snapshot {
            workers: vec![WorkerView { pid: 5, ..WorkerView::default() }, WorkerView::default()],
            pools: (0..2000).map(pool).collect(),
            ..Snapshot::default()
        };
        let nodes = nodes(&shared, &snapshot);
        assert_eq!(nodes.len(), names::OBJECTS_MAX);
        // A slot without a process is no object.
        let workers = nodes.values().filter(|node| matches!(node, Node::Worker(_))).count();
        assert_eq!((workers, nodes.contains_key(&path::worker(5))), (1, true));
        let Some(Node::Pool(first)) = nodes.get(&path::pool("p0")) else { panic!("no pool p0") };
        assert_eq!((first.backends.len(), first.backends_up), (2, 1));
        for path in &first.backends {
            assert!(nodes.contains_key(path.as_str()), "{path}");
        }
    }
}
