//! What the master tells everybody who listens: the signals of the bus, `cupctl events`.

use crate::ipc::Finding;
use futures_channel::mpsc;
use serde::{Deserialize, Serialize};

/// Most events that wait for a slow listener; further ones are dropped for it and counted.
const MAX_WAITING: usize = 256;

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A configuration runs.
    Applied {
        /// Its serial.
        serial: u64,
        /// Where it came from: `file` or `api:UID`.
        source: String,
    },
    /// A configuration was refused; the running one stays.
    ApplyFailed {
        /// The serial that stays.
        serial: u64,
        /// Where the refused one came from.
        source: String,
        /// Why, in one line.
        message: String,
        /// Its problems.
        findings: Vec<Finding>,
    },
    /// A worker serves.
    WorkerStarted {
        /// Its slot.
        worker: u16,
        /// Its process id.
        pid: u32,
        /// It outlived an earlier master.
        adopted: bool,
    },
    /// A worker has ended.
    WorkerExited {
        /// Its slot.
        worker: u16,
        /// Its process id.
        pid: u32,
        /// How it ended, in a few words.
        reason: String,
        /// It was asked to.
        expected: bool,
    },
    /// A backend went down or came up.
    BackendStateChanged {
        /// Its pool.
        pool: String,
        /// Its address as the configuration has it.
        address: String,
        /// Whether it takes traffic.
        up: bool,
        /// Why, in a few words.
        reason: String,
    },
    /// The service began to stop.
    Stopping {
        /// Everything is closed at once.
        hard: bool,
    },
}

/// Fans events out to the listeners that still live.
#[derive(Debug, Default)]
pub struct EventHub {
    listeners: Vec<mpsc::Sender<Event>>,
    /// Events that a slow listener missed, over the hub's life.
    pub dropped: u64,
}

impl EventHub {
    /// A new listener; drop the receiver to end it.
    pub fn listen(&mut self) -> mpsc::Receiver<Event> {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        self.listeners.push(sender);
        receiver
    }

    /// Sends an event to every listener, without waiting for any.
    pub fn send(&mut self, event: &Event) {
        let dropped = &mut self.dropped;
        self.listeners.retain_mut(|listener| match listener.try_send(event.clone()) {
            Ok(()) => true,
            Err(error) if error.is_full() => {
                *dropped += 1;
                true
            }
            Err(_) => false,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_get_events_slow_ones_lose_some_gone_ones_vanish() {
        let mut hub = EventHub::default();
        let mut quick = hub.listen();
        let gone = hub.listen();
        drop(gone);
        for _ in 0..1000 {
            hub.send(&Event::Stopping { hard: false });
        }
        assert_eq!(hub.listeners.len(), 1);
        assert!(hub.dropped > 0);
        assert_eq!(quick.try_recv().unwrap(), Event::Stopping { hard: false });
    }
}
