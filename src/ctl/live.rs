//! Verbs that go on until they are ended: events and top.

use super::args::Global;
use super::connect::{Service, connect};
use super::fault::{Exit, Fault};
use super::term::{Screen, Tone, bytes, number, plain, tone, write_quietly};
use super::{Outcome, parse, print_json_line, see};
use crate::base::clock::Clock;
use crate::control::rows::{Options, Topic};
use crate::master::snapshot::Snapshot;
use serde_json::{Map, Value, json};
use std::future::poll_fn;
use std::io::IsTerminal;
use std::pin::Pin;
use std::time::Duration;
use zbus::Message;
use zbus::export::futures_core::Stream;

/// `cupctl events`: one line per signal until the service goes away.
pub async fn events(global: &Global) -> Outcome {
    let service = connect(global).await?;
    let mut signals = service.untyped().receive_all_signals().await?;
    // A sign of life: whoever waits for events knows from when on none is missed.
    let serial = service.manager.serial().await?;
    if global.json {
        print_json_line(&json!({ "event": "Listening", "at": now(), "serial": serial }));
    } else {
        let mut screen = Screen::stderr();
        screen.line(tone(Tone::Dim, format!("listening; serial {serial} runs")));
        screen.print_error();
    }
    let connection = service.connection.clone();
    let gone = zruntime::spawn(async move { connection.closed().await });
    let mut gone = std::pin::pin!(gone);
    loop {
        let signal = poll_fn(|context| {
            if let std::task::Poll::Ready(signal) = Pin::new(&mut signals).poll_next(context) {
                return std::task::Poll::Ready(signal);
            }
            gone.as_mut().poll(context).map(|_| None)
        })
        .await;
        let Some(message) = signal else {
            return Err(Fault::new(Exit::NoService, "the service has gone"));
        };
        tell(global, &message);
    }
}

/// The arguments of a signal of the manager by name.
fn arguments(message: &Message) -> Option<(String, Map<String, Value>)> {
    let header = message.header();
    let member = header.member()?.to_string();
    let body = message.body();
    let value = match member.as_str() {
        "Applied" => {
            let (serial, source): (u64, String) = body.deserialize().ok()?;
            json!({ "serial": serial, "source": source })
        }
        "ApplyFailed" => {
            let (serial, source, problems): (u64, String, u32) = body.deserialize().ok()?;
            json!({ "serial": serial, "source": source, "problems": problems })
        }
        "WorkerExited" => {
            let (slot, pid, reason): (u32, u32, String) = body.deserialize().ok()?;
            json!({ "worker": slot, "pid": pid, "reason": reason })
        }
        "BackendStateChanged" => {
            let (backend, pool, up, reason): (zbus::OwnedObjectPath, String, bool, String) =
                body.deserialize().ok()?;
            json!({ "backend": backend.as_str(), "pool": pool, "up": up, "reason": reason })
        }
        _ => return None,
    };
    match value {
        Value::Object(arguments) => Some((member, arguments)),
        _ => None,
    }
}

fn tell(global: &Global, message: &Message) {
    let Some((member, mut arguments)) = arguments(message) else { return };
    if global.json {
        arguments.insert("event".to_owned(), Value::String(member));
        arguments.insert("at".to_owned(), Value::String(now()));
        print_json_line(&Value::Object(arguments));
        return;
    }
    let mood = match member.as_str() {
        "Applied" => Tone::Good,
        "BackendStateChanged" if arguments.get("up") == Some(&Value::Bool(true)) => Tone::Good,
        "WorkerExited" => Tone::Warn,
        _ => Tone::Bad,
    };
    let facts: Vec<String> = arguments
        .iter()
        .map(|(name, value)| match value {
            Value::String(text) => format!("{name}={}", plain(text)),
            other => format!("{name}={other}"),
        })
        .collect();
    let mut screen = Screen::stdout();
    screen.line(format!("{} {} {}", tone(Tone::Dim, now()), tone(mood, member), facts.join(" ")));
    screen.print();
}

/// The time of day in UTC, as RFC 3339 writes it.
fn now() -> String {
    rfc3339(Clock::wall())
}

fn rfc3339(since_epoch: Duration) -> String {
    let seconds = since_epoch.as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days to a civil date, with years that begin in March (so that leap days come last).
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day = shifted % 146_097;
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let date = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!(
        "{:04}-{month:02}-{date:02}T{:02}:{:02}:{:02}.{:03}Z",
        era * 400 + year + carry,
        rest / 3_600,
        rest / 60 % 60,
        rest % 60,
        since_epoch.subsec_millis()
    )
}

/// `cupctl top`: totals with rates, backends and workers, drawn anew every `interval` seconds.
pub async fn top(global: &Global, interval: u16, count: Option<u32>) -> Outcome {
    let service = connect(global).await?;
    let runtime = zruntime::SharedRuntime::current()
        .map_err(|error| Fault::io("cannot wait for the next look", &error))?;
    let period = Duration::from_secs(u64::from(interval));
    let mut before: Option<(Snapshot, Duration)> = None;
    let mut looks = 0_u32;
    loop {
        let snapshot = look(&service).await?;
        let at = Clock::wall();
        draw(global, &snapshot, before.as_ref(), at);
        before = Some((snapshot, at));
        looks = looks.saturating_add(1);
        if count.is_some_and(|count| looks >= count) {
            return Ok(Exit::Done);
        }
        runtime.sleep(period).await;
    }
}

async fn look(service: &Service) -> Result<Snapshot, Fault> {
    let text = service.manager.show(Topic::Status.as_str(), Options::new()).await?;
    parse(&text)
}

fn draw(global: &Global, now: &Snapshot, before: Option<&(Snapshot, Duration)>, at: Duration) {
    let rate = |total: fn(&Snapshot) -> u64| {
        let (old, then) = before?;
        let passed = at.saturating_sub(*then).as_secs_f64();
        (passed > 0.0).then(|| total(now).saturating_sub(total(old)) as f64 / passed)
    };
    let requests = rate(|snapshot| snapshot.totals.requests_total);
    let sent = rate(|snapshot| snapshot.totals.bytes_out_total);
    if global.json {
        print_json_line(&json!({
            "at": now_text(at),
            "requests_per_second": requests,
            "bytes_out_per_second": sent,
            "totals": now.totals,
            "workers": now.workers,
        }));
        return;
    }
    let mut screen = Screen::stdout();
    screen.line(format!(
        "{}  cloudcup {} {}, serial {}",
        now_text(at),
        plain(&now.version),
        now.state.name(),
        now.serial
    ));
    screen.line(format!(
        "{} requests/s, {}/s out, {} clients, {} in flight, {} waiting",
        requests.map_or("-".to_owned(), |rate| number(rate.round() as u64)),
        sent.map_or("-".to_owned(), |rate| bytes(rate as u64)),
        number(now.totals.connections),
        number(now.totals.exchanges),
        number(now.totals.waiting)
    ));
    screen.line("");
    see::workers(&mut screen, &now.workers);
    screen.line("");
    see::backends(&mut screen, &now.pools);
    if std::io::stdout().is_terminal() {
        // Home, and clear what is below: no flicker, and scrolling back still works.
        write_quietly(&mut std::io::stdout().lock(), "\x1b[H\x1b[J");
    } else {
        screen.line("");
    }
    screen.print();
}

fn now_text(at: Duration) -> String {
    rfc3339(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_700_000_000, "2023-11-14T22:13:20.000Z"),
            (4_102_444_799, "2099-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(rfc3339(Duration::from_secs(seconds)), text);
        }
    }
}
