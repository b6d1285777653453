//! The pump: takes events of the master and the passing of time to every connection.
//!
//! It owns the endpoints. A connection that doesn't take its signals within a bound is closed, so a
//! sleeping reader can't hold up the others.

use super::endpoint::Endpoint;
use super::shared::Shared;
use crate::base::clock::{Clock, Time};
use crate::master::events::Event;
use futures_channel::mpsc::{Receiver, UnboundedReceiver, UnboundedSender, unbounded};
use futures_channel::oneshot;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use zbus::export::futures_core::Stream;
use zruntime::{Interval, Shared as Anywhere, SharedRuntime};

/// How often announced properties are compared with the truth, besides at each event.
const TICK: Duration = Duration::from_secs(2);
/// How long a connection may take for its signals.
const SEND_WAIT: Duration = Duration::from_secs(1);
/// How long a connection may take for all objects.
const PUBLISH_WAIT: Duration = Duration::from_secs(30);
/// Between two looks without an event passes at least this many times what a look takes.
const SHARE: u32 = 50;
/// Most events that are told after one look at the snapshot.
const BATCH: usize = 64;

/// A connection came or went.
#[derive(Debug)]
enum Change {
    Joined(Box<Endpoint>),
    Left(u64),
    /// This connection wants the objects; answered when they are there.
    Publish(u64, oneshot::Sender<()>),
}

/// Tells the pump of connections. Bounded by the bound on connections.
#[derive(Clone, Debug)]
pub struct Roster(UnboundedSender<Change>);

/// The pump's side of a [`Roster`].
#[derive(Debug)]
pub struct Joins(UnboundedReceiver<Change>);

/// A roster and the side that reads it.
pub fn roster() -> (Roster, Joins) {
    let (sender, receiver) = unbounded();
    (Roster(sender), Joins(receiver))
}

impl Roster {
    /// A connection serves.
    pub fn joined(&self, endpoint: Endpoint) {
        // The pump ends only with the whole thread.
        let _ = self.0.unbounded_send(Change::Joined(Box::new(endpoint)));
    }

    /// Publishes the objects on a connection that has not asked for them before.
    pub async fn publish(&self, id: u64) {
        let (done, published) = oneshot::channel();
        let _ = self.0.unbounded_send(Change::Publish(id, done));
        // Cancelled when the connection is gone: then nobody waits for the answer either.
        let _ = published.await;
    }

    /// A connection has ended.
    pub fn left(&self, id: u64) {
        let _ = self.0.unbounded_send(Change::Left(id));
    }
}

/// What wakes the pump.
enum Wake {
    Change(Change),
    Event(Event),
    Tick,
    End,
}

/// The pump.
pub struct Pump {
    shared: Arc<Shared>,
    events: Receiver<Event>,
    joins: Joins,
    ticks: Interval<Anywhere>,
    endpoints: BTreeMap<u64, Endpoint>,
    /// No look without an event before this.
    rest_until: Time,
}

impl Pump {
    /// A pump of `events` to the connections of `joins`.
    pub fn new(
        shared: Arc<Shared>,
        runtime: &SharedRuntime,
        events: Receiver<Event>,
        joins: Joins,
    ) -> Pump {
        let ticks = runtime.interval(TICK);
        Pump { shared, events, joins, ticks, endpoints: BTreeMap::new(), rest_until: Time::ZERO }
    }

    /// Pumps until the master's side of the events ends.
    pub async fn run(mut self, runtime: SharedRuntime) {
        loop {
            let mut events = Vec::new();
            match self.wake().await {
                Wake::Change(Change::Joined(endpoint)) => {
                    self.endpoints.insert(endpoint.id, *endpoint);
                    continue;
                }
                Wake::Change(Change::Publish(id, done)) => {
                    self.publish(id, &runtime).await;
                    // Whoever asked may have gone.
                    let _ = done.send(());
                    continue;
                }
                Wake::Change(Change::Left(id)) => {
                    self.endpoints.remove(&id);
                    continue;
                }
                Wake::Event(event) => {
                    events.push(event);
                    while events.len() < BATCH
                        && let Ok(event) = self.events.try_recv()
                    {
                        events.push(event);
                    }
                }
                Wake::Tick if Clock::now() < self.rest_until => continue,
                Wake::Tick => {}
                Wake::End => return,
            }
            if !self.endpoints.is_empty() {
                let begun = Clock::now();
                self.spread(&events, &runtime).await;
                // A look that takes long, with thousands of pools, is taken more seldom.
                let now = Clock::now();
                self.rest_until = now.after(now.since(begun) * SHARE);
            }
        }
    }

    async fn wake(&mut self) -> Wake {
        poll_fn(|context| {
            if let Poll::Ready(Some(change)) = Pin::new(&mut self.joins.0).poll_next(context) {
                return Poll::Ready(Wake::Change(change));
            }
            match Pin::new(&mut self.events).poll_next(context) {
                Poll::Ready(Some(event)) => return Poll::Ready(Wake::Event(event)),
                Poll::Ready(None) => return Poll::Ready(Wake::End),
                Poll::Pending => {}
            }
            self.ticks.poll_tick(context).map(|_| Wake::Tick)
        })
        .await
    }

    async fn publish(&mut self, id: u64, runtime: &SharedRuntime) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else { return };
        match runtime.timeout(PUBLISH_WAIT, endpoint.publish()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "objects were not published"),
            Err(_) => self.drop_slow(id, runtime).await,
        }
    }

    async fn drop_slow(&mut self, id: u64, runtime: &SharedRuntime) {
        if let Some(endpoint) = self.endpoints.remove(&id) {
            tracing::warn!("a caller that does not take its signals is dropped");
            // Closing waits for the write lock that the stuck write holds.
            let _ = runtime.timeout(SEND_WAIT, endpoint.close()).await;
        }
    }

    /// Brings every connection in step, then sends it the signals of `events`.
    async fn spread(&mut self, events: &[Event], runtime: &SharedRuntime) {
        // While the master can't answer (it stops), the events still go out.
        let next = self.shared.refresh().await.ok();
        let mut slow = Vec::new();
        for (id, endpoint) in &mut self.endpoints {
            let work = async {
                if let Some(next) = &next {
                    endpoint.update(next).await?;
                }
                for event in events {
                    endpoint.signal(event).await?;
                }
                zbus::Result::Ok(())
            };
            match runtime.timeout(SEND_WAIT, work).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "signals were not sent"),
                Err(_) => slow.push(*id),
            }
        }
        for id in slow {
            self.drop_slow(id, runtime).await;
        }
    }
}
