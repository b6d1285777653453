//! The worker's helper threads: work that burns CPU, away from the loop.
//!
//! Never I/O, names or files (those are the master's and the clerk's). The queue is bounded; what
//! doesn't fit is given back to the caller, who does it otherwise or refuses. Results carry the key
//! that the job came with; whether it still means something is the caller's to know.

use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Jobs that may wait.
const QUEUE: usize = 64;

/// A piece of work.
type Task<R> = Box<dyn FnOnce() -> R + Send>;

/// Threads that run jobs with results of one type.
pub struct Jobs<R: Send + 'static> {
    queue: SyncSender<(u64, Task<R>)>,
    done: Receiver<(u64, R)>,
}

impl<R: Send + 'static> Jobs<R> {
    /// Starts up to `threads` threads, at least one; `wake` ends the loop's wait when a result is
    /// there.
    ///
    /// # Errors
    /// When not even one thread could be started.
    pub fn start(threads: usize, wake: Arc<dyn Fn() + Send + Sync>) -> std::io::Result<Jobs<R>> {
        let (queue, jobs) = sync_channel::<(u64, Task<R>)>(QUEUE);
        let (results, done) = sync_channel(QUEUE * 2);
        let jobs = Arc::new(Mutex::new(jobs));
        let mut started = 0;
        for number in 0..threads.max(1) {
            let (jobs, results, wake) = (jobs.clone(), results.clone(), wake.clone());
            let run = move || serve(&jobs, &results, &*wake);
            match thread::Builder::new().name(format!("job-{number}")).spawn(run) {
                Ok(_) => started += 1,
                Err(error) if started == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(Jobs { queue, done })
    }

    /// Hands a job in. `false` when the queue is full; then it was dropped.
    pub fn submit(&self, key: u64, task: impl FnOnce() -> R + Send + 'static) -> bool {
        match self.queue.try_send((key, Box::new(task))) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }

    /// The next result, if one is there.
    pub fn finished(&self) -> Option<(u64, R)> {
        match self.done.try_recv() {
            Ok(result) => Some(result),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => None,
        }
    }
}

/// A thread's life: it ends when the queue's owner is gone.
fn serve<R>(
    jobs: &Mutex<Receiver<(u64, Task<R>)>>,
    results: &SyncSender<(u64, R)>,
    wake: &dyn Fn(),
) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((key, task)) = job else { return };
        if results.send((key, task())).is_err() {
            return;
        }
        wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[test]
    fn results_come_with_their_keys_and_wake_the_loop() {
        let (woken, wakes) = std::sync::mpsc::channel();
        let woken = Mutex::new(woken);
        let wake = Arc::new(move || {
            let _ = woken.lock().unwrap_or_else(PoisonError::into_inner).send(());
        });
        let jobs: Jobs<u64> = Jobs::start(2, wake).expect("threads");
        assert!((0..20).all(|n| jobs.submit(n, move || n * n)));
        let mut seen = 0;
        while seen < 20 {
            wakes.recv_timeout(Duration::from_secs(10)).expect("a wake for each result");
            while let Some((key, result)) = jobs.finished() {
                assert_eq!(result, key * key);
                seen += 1;
            }
        }
    }

    #[test]
    fn the_queue_is_bounded() {
        let gate = Arc::new(Mutex::new(()));
        let held = gate.lock().expect("free");
        let jobs: Jobs<()> = Jobs::start(1, Arc::new(|| {})).expect("a thread");
        let ran = Arc::new(AtomicUsize::new(0));
        let mut taken = 0;
        for n in 0..QUEUE as u64 * 2 {
            let (gate, ran) = (gate.clone(), ran.clone());
            taken += usize::from(jobs.submit(n, move || {
                drop(gate.lock());
                ran.fetch_add(1, Ordering::Relaxed);
            }));
        }
        assert!((QUEUE..=QUEUE + 1).contains(&taken), "{taken}");
        drop(held);
    }
}
