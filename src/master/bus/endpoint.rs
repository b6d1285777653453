//! One connection that serves the control surface: its objects kept in step with the snapshot, its
//! signals sent.

use super::access::Way;
use super::manager::Manager;
use super::objects::{Backend, Pool, Worker};
use super::shared::Shared;
use super::tree::{Node, Objects, nodes};
use crate::control::{names, path};
use crate::master::events::Event;
use crate::master::snapshot::Snapshot;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use zbus::connection::Builder;
use zbus::fdo::Properties;
use zbus::names::InterfaceName;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, ObjectPath, Variant};

/// The objects of a snapshot by path.
pub type Nodes = BTreeMap<String, Node>;

/// What is published at a moment; shared by all connections that stand at it.
#[derive(Clone, Debug)]
pub struct Published {
    /// The rows behind the objects.
    pub nodes: Arc<Nodes>,
    /// The whole.
    pub snapshot: Arc<Snapshot>,
}

impl Published {
    /// What `snapshot` publishes.
    pub fn new(shared: &Shared, snapshot: Arc<Snapshot>) -> Published {
        Published { nodes: Arc::new(nodes(shared, &snapshot)), snapshot }
    }
}

/// A serving connection.
#[derive(Debug)]
pub struct Endpoint {
    /// Number of the connection, unique in the life of the service.
    pub id: u64,
    connection: Connection,
    manager: Manager,
    published: Published,
}

/// Adds the manager, the ObjectManager and the objects of `published` to a connection to be.
pub fn serve<'a>(
    mut builder: Builder<'a>,
    shared: &Arc<Shared>,
    way: &Way,
    published: &Published,
) -> Builder<'a> {
    let manager = Manager { shared: Arc::clone(shared), way: way.clone() };
    let objects = Objects { shared: Arc::clone(shared), way: way.clone() };
    for (path, node) in published.nodes.iter() {
        let (shared, way) = (Arc::clone(shared), way.clone());
        let path = path.clone();
        builder = match node {
            Node::Worker(row) => builder.serve_at(path, Worker { shared, way, key: row.pid }),
            Node::Pool(row) => builder.serve_at(path, Pool { shared, way, key: row.name.clone() }),
            Node::Backend(row) => {
                let key = (row.pool.clone(), row.address.clone());
                builder.serve_at(path, Backend { shared, way, key })
            }
        };
    }
    builder.serve_at(names::ROOT_PATH, manager).serve_at(names::ROOT_PATH, objects)
}

impl Endpoint {
    /// Takes over `connection`, which serves `published` already.
    pub fn new(
        id: u64,
        connection: Connection,
        shared: &Arc<Shared>,
        way: &Way,
        published: Published,
    ) -> Endpoint {
        let manager = Manager { shared: Arc::clone(shared), way: way.clone() };
        Endpoint { id, connection, manager, published }
    }

    /// Ends the connection.
    pub async fn close(self) {
        // It may have ended by itself; either way it is over.
        let _ = self.connection.close().await;
    }

    /// Brings the objects in step with `next` and announces what changed.
    pub async fn update(&mut self, next: &Published) -> zbus::Result<()> {
        let old = std::mem::replace(&mut self.published, next.clone());
        if !Arc::ptr_eq(&old.nodes, &next.nodes) {
            self.update_objects(&old.nodes, &next.nodes).await?;
        }
        let emitter = SignalEmitter::new(&self.connection, names::ROOT_PATH)?;
        self.manager.announce(&emitter, &old.snapshot, &next.snapshot).await
    }

    async fn update_objects(&self, old: &Nodes, new: &Nodes) -> zbus::Result<()> {
        let server = self.connection.object_server();
        for (path, node) in old.iter().filter(|(path, _)| !new.contains_key(*path)) {
            let interface = InterfaceName::from_static_str_unchecked(node.interface());
            server.remove_named(path.as_str(), interface).await?;
        }
        for (path, node) in new {
            match old.get(path) {
                None => self.add(path, node).await?,
                Some(before) if before != node => self.announce(path, before, node).await?,
                Some(_) => {}
            }
        }
        Ok(())
    }

    async fn add(&self, path: &str, node: &Node) -> zbus::Result<()> {
        let server = self.connection.object_server();
        let (shared, way) = (Arc::clone(&self.manager.shared), self.manager.way.clone());
        match node {
            Node::Worker(row) => {
                server.at(path, Worker { shared, way, key: row.pid }).await?;
            }
            Node::Pool(row) => {
                server.at(path, Pool { shared, way, key: row.name.clone() }).await?;
            }
            Node::Backend(row) => {
                let key = (row.pool.clone(), row.address.clone());
                server.at(path, Backend { shared, way, key }).await?;
            }
        }
        Ok(())
    }

    async fn announce(&self, path: &str, before: &Node, node: &Node) -> zbus::Result<()> {
        let changes = node.changes(before);
        if changes.is_empty() {
            return Ok(());
        }
        let mut values = HashMap::with_capacity(changes.len());
        for (name, value) in &changes {
            values.insert(*name, Variant::try_from(value)?);
        }
        let emitter = SignalEmitter::new(&self.connection, path)?;
        let interface = InterfaceName::from_static_str_unchecked(node.interface());
        Properties::properties_changed(&emitter, interface, values, Cow::Borrowed(&[])).await
    }

    /// Sends the signal of `event`, if it has one. Signals may reach everybody on a bus, so they hold
    /// no addresses and no texts of problems.
    pub async fn signal(&self, event: &Event) -> zbus::Result<()> {
        let emitter = SignalEmitter::new(&self.connection, names::ROOT_PATH)?;
        match event {
            Event::Applied { serial, source } => Manager::applied(&emitter, *serial, source).await,
            Event::ApplyFailed { serial, source, findings, .. } => {
                let problems = u32::try_from(findings.len()).unwrap_or(u32::MAX);
                Manager::apply_failed(&emitter, *serial, source, problems).await
            }
            Event::WorkerExited { worker, pid, reason, .. } => {
                Manager::worker_exited(&emitter, u32::from(*worker), *pid, reason).await
            }
            Event::BackendStateChanged { pool, address, up, reason } => {
                let id = self.manager.shared.backend_id(pool, address);
                let object = path::backend(pool, id);
                let object = ObjectPath::try_from(object.as_str())?;
                let reason = plain_reason(reason, address);
                Manager::backend_state_changed(&emitter, object, pool, *up, &reason).await
            }
            Event::WorkerStarted { .. } | Event::Stopping { .. } => Ok(()),
        }
    }
}

/// `reason` if it does not name the address.
fn plain_reason(reason: &str, address: &str) -> String {
    if address.is_empty() { reason.to_owned() } else { reason.replace(address, "backend") }
}
