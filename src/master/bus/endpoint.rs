//! One connection that serves the control surface: its objects kept in step with the snapshot, its
//! signals sent.

use super::access::Way;
use super::manager::Manager;
use super::objects::{Backend, Pool, Worker};
use super::pump::Roster;
use super::shared::{Shared, View};
use super::tree::{Node, Nodes, Objects};
use crate::control::{names, path};
use crate::master::events::Event;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use zbus::connection::Builder;
use zbus::fdo::Properties;
use zbus::names::InterfaceName;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, ObjectPath, Variant};

/// A serving connection.
#[derive(Debug)]
pub struct Endpoint {
    /// Number of the connection, unique in the life of the service.
    pub id: u64,
    connection: Connection,
    manager: Manager,
    /// What is announced.
    shown: Arc<View>,
    /// Whether the objects are published, and not the manager alone.
    objects: bool,
}

/// Adds the manager, the ObjectManager and the objects `nodes` to a connection to be.
pub fn serve<'a>(
    mut builder: Builder<'a>,
    shared: &Arc<Shared>,
    way: &Way,
    roster: &Roster,
    nodes: &Nodes,
) -> Builder<'a> {
    for (path, node) in nodes {
        let (shared, way, own) = (Arc::clone(shared), way.clone(), path.clone());
        let path = path.clone();
        builder = match node {
            Node::Worker(_) => builder.serve_at(path, Worker { shared, way, path: own }),
            Node::Pool(_) => builder.serve_at(path, Pool { shared, way, path: own }),
            Node::Backend(_) => builder.serve_at(path, Backend { shared, way, path: own }),
        };
    }
    let manager = Manager { shared: Arc::clone(shared), way: way.clone() };
    let (shared, way, roster) = (Arc::clone(shared), way.clone(), roster.clone());
    let objects = Objects { shared, way, roster };
    builder.serve_at(names::ROOT_PATH, manager).serve_at(names::ROOT_PATH, objects)
}

impl Endpoint {
    /// Takes over `connection`, which serves the manager and, if so said, the `objects` of `shown`.
    pub fn new(
        id: u64,
        connection: Connection,
        shared: &Arc<Shared>,
        way: &Way,
        shown: Arc<View>,
        objects: bool,
    ) -> Endpoint {
        let manager = Manager { shared: Arc::clone(shared), way: way.clone() };
        Endpoint { id, connection, manager, shown, objects }
    }

    /// Publishes the objects, now and from now on.
    pub async fn publish(&mut self) -> zbus::Result<()> {
        if !self.objects {
            self.objects = true;
            let view = Arc::clone(&self.shown);
            let nodes = view.nodes(&self.manager.shared);
            self.update_objects(&Nodes::new(), nodes).await?;
        }
        Ok(())
    }

    /// Ends the connection.
    pub async fn close(self) {
        // It may have ended by itself; either way it is over.
        let _ = self.connection.close().await;
    }

    /// Brings the objects in step with `next` and announces what changed.
    pub async fn update(&mut self, next: &Arc<View>) -> zbus::Result<()> {
        let old = std::mem::replace(&mut self.shown, Arc::clone(next));
        if self.objects {
            let shared = Arc::clone(&self.manager.shared);
            self.update_objects(old.nodes(&shared), next.nodes(&shared)).await?;
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
        let own = path.to_owned();
        // An object that is there already stays.
        match node {
            Node::Worker(_) => drop(server.at(path, Worker { shared, way, path: own }).await?),
            Node::Pool(_) => drop(server.at(path, Pool { shared, way, path: own }).await?),
            Node::Backend(_) => drop(server.at(path, Backend { shared, way, path: own }).await?),
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
