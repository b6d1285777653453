//! Verbs that ask the service one thing and print the answer.

use super::args::{Global, Show};
use super::connect::connect;
use super::fault::{Exit, Fault};
use super::term::{Screen, Tone, plain, span, table, tone, write_quietly};
use super::{Outcome, parse, print_json, see};
use crate::control::rows::{CheckRow, Options, Topic, check as keys, option};
use crate::master::snapshot::{ServiceState, Snapshot, Why};
use serde_json::{Value, json};
use std::time::Duration;
use zbus::Variant;

/// `cupctl status`. The exit status is 1 unless all is well.
pub async fn status(global: &Global) -> Outcome {
    let service = connect(global).await?;
    let text = service.manager.show(Topic::Status.as_str(), Options::new()).await?;
    let snapshot: Snapshot = parse(&text)?;
    if global.json {
        print_json(&parse::<Value>(&text)?);
    } else {
        let mut screen = Screen::stdout();
        see::status(&mut screen, &snapshot);
        screen.page(!global.no_pager);
    }
    Ok(if snapshot.state == ServiceState::Running { Exit::Done } else { Exit::Failed })
}

/// `cupctl show …`.
pub async fn show(global: &Global, what: Show) -> Outcome {
    let mut options = Options::new();
    let topic = match &what {
        Show::Status => Topic::Status,
        Show::Config { effective: false } => Topic::Config,
        Show::Config { effective: true } => Topic::Effective,
        Show::Backends => Topic::Backends,
        Show::Routes => Topic::Routes,
        Show::Connections { limit } => {
            options.insert(option::LIMIT, Variant::from(u64::from(*limit)));
            Topic::Connections
        }
        Show::Traffic => Topic::Traffic,
        Show::Errors => Topic::Errors,
    };
    let service = connect(global).await?;
    let text = service.manager.show(topic.as_str(), options).await?;
    if matches!(topic, Topic::Config | Topic::Effective) {
        // The document is JSON as it is: as written, for people and machines alike.
        let end = if text.ends_with('\n') { "" } else { "\n" };
        write_quietly(&mut std::io::stdout().lock(), &format!("{text}{end}"));
        return Ok(Exit::Done);
    }
    if global.json {
        print_json(&parse::<Value>(&text)?);
        return Ok(Exit::Done);
    }
    let mut screen = Screen::stdout();
    match topic {
        Topic::Backends => see::backends(&mut screen, &parse::<see::Backends>(&text)?.pools),
        Topic::Routes => see::routes(&mut screen, &parse::<see::Routes>(&text)?.routes),
        Topic::Traffic => see::traffic(&mut screen, &parse(&text)?),
        Topic::Errors => see::errors(&mut screen, &parse(&text)?),
        _ => see::connections(&mut screen, &parse(&text)?),
    }
    screen.page(!global.no_pager);
    Ok(Exit::Done)
}

/// `NAME: VALUE` of a header. Error: wrong use.
fn header(text: &str) -> Result<(&str, &str), Fault> {
    match text.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim(), value.trim())),
        _ => Err(Fault::new(Exit::Usage, format!("-H {text:?}: give 'NAME: VALUE'"))),
    }
}

/// Characters of a step's detail in a line.
const DETAIL_WIDTH: usize = 88;

/// `text` in lines of at most `width` characters, cut at blanks where there are any.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut length = 0;
    for word in text.split(' ') {
        let letters = word.chars().count();
        if length > 0 && length + 1 + letters > width {
            lines.push(String::new());
            length = 0;
        }
        if let Some(line) = lines.last_mut() {
            if length > 0 {
                line.push(' ');
                length += 1;
            }
            line.push_str(word);
            length += letters;
        }
    }
    lines
}

/// `cupctl why [METHOD] URL`.
pub async fn why(global: &Global, request: &[String], headers: &[String]) -> Outcome {
    let (method, url) = match request {
        [method, url] => (method.as_str(), url.as_str()),
        [url] => ("GET", url.as_str()),
        _ => return Err(Fault::new(Exit::Usage, "why: give a URL")),
    };
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|text| header(text)).collect::<Result<_, _>>()?;
    let service = connect(global).await?;
    let text = service.manager.why(method, url, &headers, Options::new()).await?;
    if global.json {
        print_json(&parse::<Value>(&text)?);
        return Ok(Exit::Done);
    }
    let why: Why = parse(&text)?;
    let mut screen = Screen::stdout();
    screen.line(format!("{} {} under serial {}", plain(method), plain(url), why.serial));
    for step in &why.steps {
        let mark = if step.taken { tone(Tone::Good, "✓") } else { tone(Tone::Dim, "·") };
        for (at, part) in wrap(&plain(&step.detail), DETAIL_WIDTH).iter().enumerate() {
            let (mark, what) =
                if at == 0 { (mark.as_str(), step.what.as_str()) } else { (" ", "") };
            let line = format!("{:<9} {part}", plain(what));
            let line = if step.taken { line } else { tone(Tone::Dim, line) };
            screen.line(format!("  {mark} {line}"));
        }
    }
    let end = match (why.rule.as_str(), why.pool.as_str()) {
        ("", _) => tone(Tone::Bad, "no rule matches"),
        (rule, "") => format!("rule {}", plain(rule)),
        (rule, pool) => format!("rule {}, pool {}", plain(rule), plain(pool)),
    };
    screen.line(format!("  {} {end}", tone(Tone::Strong, "→")));
    if !why.backends.is_empty() {
        screen.line("");
        let pool =
            crate::master::snapshot::PoolView { backends: why.backends, ..Default::default() };
        see::backends(&mut screen, &[pool]);
    }
    screen.page(!global.no_pager);
    Ok(Exit::Done)
}

/// One probed backend.
struct Checked {
    pool: String,
    backend: String,
    routes: Vec<String>,
    healthy: bool,
    status: u16,
    error: String,
    micros: u64,
}

fn checked(row: &CheckRow) -> Option<Checked> {
    let text = |key: &str| String::try_from(row.get(key)?.try_clone().ok()?).ok();
    Some(Checked {
        pool: text(keys::POOL)?,
        backend: text(keys::BACKEND)?,
        routes: Vec::try_from(row.get(keys::ROUTES)?.try_clone().ok()?).ok()?,
        healthy: bool::try_from(row.get(keys::HEALTHY)?).ok()?,
        status: u16::try_from(row.get(keys::STATUS)?).ok()?,
        error: text(keys::ERROR)?,
        micros: u64::try_from(row.get(keys::DURATION_US)?).ok()?,
    })
}

/// `cupctl check`. The exit status is 1 when a backend is unhealthy.
pub async fn check(global: &Global, routes: &[String], backends: &[String]) -> Outcome {
    let service = connect(global).await?;
    let backends: Vec<&str> = backends.iter().map(String::as_str).collect();
    let routes: Vec<&str> = routes.iter().map(String::as_str).collect();
    let rows = service.manager.check(&backends, &routes, Options::new()).await?;
    let rows: Option<Vec<Checked>> = rows.iter().map(checked).collect();
    let Some(rows) = rows else {
        return Err(Fault::new(Exit::Failed, "the service's answer is not understood"));
    };
    let exit = if rows.iter().all(|row| row.healthy) { Exit::Done } else { Exit::Failed };
    if global.json {
        let rows = rows.iter().map(|row| {
            json!({
                keys::POOL: row.pool,
                keys::BACKEND: row.backend,
                keys::ROUTES: row.routes,
                keys::HEALTHY: row.healthy,
                keys::STATUS: row.status,
                keys::ERROR: row.error,
                keys::DURATION_US: row.micros,
            })
        });
        print_json(&json!({ "healthy": exit == Exit::Done, "backends": rows.collect::<Vec<_>>() }));
        return Ok(exit);
    }
    let mut screen = Screen::stdout();
    let mut lines = table(&["pool", "backend", "result", "status", "took", "routes"], &[3, 4]);
    for row in &rows {
        let result = if row.healthy {
            tone(Tone::Good, "healthy")
        } else {
            tone(Tone::Bad, format!("unhealthy: {}", plain(&row.error)))
        };
        let took = Duration::from_micros(row.micros);
        let took = if took < Duration::from_secs(10) {
            format!("{}.{:03} ms", row.micros / 1000, row.micros % 1000)
        } else {
            span(took)
        };
        let status = if row.status == 0 { "-".to_owned() } else { row.status.to_string() };
        let routes = plain(&row.routes.join(" "));
        lines.add_row([plain(&row.pool), plain(&row.backend), result, status, took, routes]);
    }
    screen.table(&lines);
    let well = rows.iter().filter(|row| row.healthy).count();
    screen.line("");
    screen.line(format!("{well} of {} backends are healthy", rows.len()));
    screen.print();
    Ok(exit)
}

/// `cupctl metrics`.
pub async fn metrics(global: &Global) -> Outcome {
    let service = connect(global).await?;
    let text = service.manager.metrics(Options::new()).await?;
    if global.json {
        print_json(&json!({ "openmetrics": text }));
    } else {
        write_quietly(&mut std::io::stdout().lock(), &text);
    }
    Ok(Exit::Done)
}

/// `cupctl log-level`.
pub async fn log_level(global: &Global, filter: &str) -> Outcome {
    let service = connect(global).await?;
    service.manager.set_log_level(filter, Options::new()).await?;
    done(global, &format!("the log level is {filter} until the next start"));
    Ok(Exit::Done)
}

/// `cupctl stop`.
pub async fn stop(global: &Global, hard: bool) -> Outcome {
    let service = connect(global).await?;
    service.manager.stop(hard, Options::new()).await?;
    done(global, if hard { "the service stops at once" } else { "the service drains and stops" });
    Ok(Exit::Done)
}

fn done(global: &Global, text: &str) {
    if global.json {
        print_json(&json!({ "done": true }));
        return;
    }
    let mut screen = Screen::stdout();
    screen.line(plain(text));
    screen.print();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_details_are_wrapped() {
        assert_eq!(wrap("aa bb cc", 5), ["aa bb", "cc"]);
        assert_eq!(wrap("", 5), [""]);
        assert_eq!(wrap("abcdefgh i", 5), ["abcdefgh", "i"]);
    }

    #[test]
    fn headers() {
        assert_eq!(header("X-Beta: 1").unwrap(), ("X-Beta", "1"));
        assert_eq!(header("X-Empty:").unwrap(), ("X-Empty", ""));
        for wrong in ["X-Beta", ": 1", ""] {
            assert_eq!(header(wrong).unwrap_err().exit, Exit::Usage, "{wrong}");
        }
    }
}
