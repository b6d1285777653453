//! Waiting for a condition with a deadline: the one place of the tests that may sleep.

use std::time::{Duration, Instant};

/// Long enough for a machine that is busy with something else.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Asks until there is an answer; fails the test when there is none in time.
#[track_caller]
pub fn until<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, ask).unwrap_or_else(|| panic!("no {what} within {PATIENCE:?}"))
}

/// Asks until there is an answer or the time is over.
pub fn within<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Watches that something stays true for a while: for what must *not* happen.
#[track_caller]
pub fn stays(what: &str, span: Duration, mut still: impl FnMut() -> bool) {
    let broken = within(span, || (!still()).then_some(()));
    assert!(broken.is_none(), "{what} did not stay so for {span:?}");
}
