//! Verbs that hand a document over: validate, plan, apply, reload.

use super::args::Global;
use super::connect::{Service, connect};
use super::fault::{Exit, Fault};
use super::problems::{Shown, render, summary};
use super::term::{Screen, Tone, plain, tone};
use super::{Outcome, print_json};
use crate::config;
use crate::control::names;
use crate::control::rows::{Options, option};
use crate::master::command::PlanAnswer;
use serde_json::json;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;
use zbus::Variant;

/// A document that was read.
#[derive(Debug)]
struct Document {
    name: String,
    bytes: Vec<u8>,
}

impl Document {
    /// Reads `path`; `-` is standard input. Errors: what cannot be read, or is too large.
    fn read(path: &Path) -> Result<Document, Fault> {
        let stdin = path == Path::new("-");
        let name = if stdin { "standard input".to_owned() } else { path.display().to_string() };
        let limit = names::DOCUMENT_BYTES_MAX as u64 + 1;
        let mut bytes = Vec::new();
        let outcome = if stdin {
            std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
        } else {
            std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
        };
        outcome.map_err(|error| Fault::io(plain(&name), &error))?;
        if bytes.len() > names::DOCUMENT_BYTES_MAX {
            let bound = names::DOCUMENT_BYTES_MAX / (1024 * 1024);
            let message = format!("{}: a document may have at most {bound} MiB", plain(&name));
            return Err(Fault::new(Exit::Failed, message));
        }
        Ok(Document { name, bytes })
    }

    fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok()
    }

    /// The document as sealed memory, which is handed over without limits of the bus on texts.
    fn memory(&self) -> Result<OwnedFd, Fault> {
        crate::sys::memfd::sealed("cloudcup-document", &self.bytes)
            .map_err(|error| Fault::io("memory for the document", &error))
    }

    fn check_here(&self) -> Vec<Shown> {
        let checked = config::check(&self.bytes, &config::CheckContext::default());
        checked.problems.iter().map(Shown::from).collect()
    }

    /// Tells of the problems; the exit status that they mean.
    fn tell(&self, global: &Global, problems: &[Shown], by: &str) -> Exit {
        let valid = !problems.iter().any(Shown::is_error);
        if global.json {
            let rows: Vec<_> = problems.iter().map(Shown::json).collect();
            print_json(&json!({ "valid": valid, "checked_by": by, "problems": rows }));
        } else {
            let mut screen = Screen::stdout();
            render(&mut screen, &self.name, self.text(), problems);
            let verdict =
                if valid { tone(Tone::Good, "valid") } else { tone(Tone::Bad, "not valid") };
            screen.line(format!("{}: {verdict}, {}", plain(&self.name), summary(problems)));
            screen.print();
        }
        if valid { Exit::Done } else { Exit::Failed }
    }
}

/// `cupctl validate`: by the service where one answers and lets us ask, else by the same rules here.
pub async fn validate(global: &Global, path: &Path, offline: bool) -> Outcome {
    let document = Document::read(path)?;
    if offline || document.text().is_none() {
        return Ok(document.tell(global, &document.check_here(), "cupctl"));
    }
    match ask_validate(global, &document).await {
        Ok(problems) => Ok(document.tell(global, &problems, "service")),
        Err(fault) if matches!(fault.exit, Exit::NoService | Exit::NotAuthorized) => {
            if !global.json {
                let mut screen = Screen::stderr();
                let text = format!("checked here, not by a service: {}", plain(&fault.message));
                screen.line(tone(Tone::Dim, text));
                screen.print_error();
            }
            Ok(document.tell(global, &document.check_here(), "cupctl"))
        }
        Err(fault) => Err(fault),
    }
}

async fn ask_validate(global: &Global, document: &Document) -> Result<Vec<Shown>, Fault> {
    let service = connect(global).await?;
    let memory = document.memory()?;
    let rows = service.manager.validate_fd((&memory).into(), Options::new()).await?;
    Ok(rows.iter().map(Shown::from).collect())
}

/// `cupctl plan`.
pub async fn plan(global: &Global, path: &Path) -> Outcome {
    let document = Document::read(path)?;
    let service = connect(global).await?;
    let memory = document.memory()?;
    let text = service.manager.plan_fd((&memory).into(), Options::new()).await?;
    let plan: PlanAnswer = super::parse(&text)?;
    let exit = if plan.valid { Exit::Done } else { Exit::Failed };
    if global.json {
        print_json(&super::parse::<serde_json::Value>(&text)?);
        return Ok(exit);
    }
    let problems: Vec<Shown> = plan.findings.iter().map(Shown::from).collect();
    let mut screen = Screen::stdout();
    render(&mut screen, &document.name, document.text(), &problems);
    if !plan.valid {
        screen.line(format!("{}: not valid, {}", plain(&document.name), summary(&problems)));
    } else if plan.changes.is_empty() {
        screen.line(format!("serial {} runs; nothing would change", plan.serial));
    } else {
        screen.line(format!("serial {} runs; applying would change:", plan.serial));
        for change in &plan.changes {
            screen.line(format!("  {}", plain(change)));
        }
    }
    screen.page(!global.no_pager);
    Ok(exit)
}

/// `cupctl apply`.
pub async fn apply(global: &Global, path: &Path, expected_serial: Option<u64>) -> Outcome {
    let document = Document::read(path)?;
    let service = connect(global).await?;
    let memory = document.memory()?;
    let mut options = Options::new();
    if let Some(serial) = expected_serial {
        options.insert(option::EXPECTED_SERIAL, Variant::from(serial));
    }
    match service.manager.apply_fd((&memory).into(), options).await {
        Ok(serial) => Ok(applied(global, serial)),
        Err(error) => {
            let fault = Fault::from(error);
            tell_rows(global, &fault, &document.name, document.text());
            Err(fault)
        }
    }
}

/// `cupctl reload`.
pub async fn reload(global: &Global) -> Outcome {
    let service = connect(global).await?;
    match service.manager.reload(Options::new()).await {
        Ok(serial) => Ok(applied(global, serial)),
        Err(error) => {
            let fault = Fault::from(error);
            if !fault.rows.is_empty() {
                let (name, text) = file_of(&service).await;
                tell_rows(global, &fault, &name, text.as_deref());
            }
            Err(fault)
        }
    }
}

fn applied(global: &Global, serial: u64) -> Exit {
    if global.json {
        print_json(&json!({ "serial": serial }));
    } else {
        let mut screen = Screen::stdout();
        screen.line(format!("{} serial {serial} runs", tone(Tone::Good, "applied:")));
        screen.print();
    }
    Exit::Done
}

/// The configuration file, as far as the caller may know and read it.
async fn file_of(service: &Service) -> (String, Option<String>) {
    let name: Result<String, _> = service.untyped().get_property("ConfigFile").await;
    match name {
        Ok(name) if !name.is_empty() => {
            let text = std::fs::read_to_string(&name).ok();
            (name, text.filter(|text| text.len() <= names::DOCUMENT_BYTES_MAX))
        }
        _ => ("the configuration file".to_owned(), None),
    }
}

/// Tells of the problems that a refusal carries.
fn tell_rows(global: &Global, fault: &Fault, name: &str, text: Option<&str>) {
    if global.json || fault.rows.is_empty() {
        return;
    }
    let problems: Vec<Shown> = fault.rows.iter().map(Shown::from).collect();
    let mut screen = Screen::stderr();
    render(&mut screen, name, text, &problems);
    screen.print_error();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_read_within_the_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site.json");
        std::fs::write(&path, "{}").unwrap();
        let document = Document::read(&path).unwrap();
        assert_eq!(document.text(), Some("{}"));
        assert!(document.check_here().iter().any(Shown::is_error));
        let missing = Document::read(&folder.path().join("none")).unwrap_err();
        assert_eq!(missing.exit, Exit::Failed);
        let large = std::fs::File::create(&path).unwrap();
        large.set_len(names::DOCUMENT_BYTES_MAX as u64 + 1).unwrap();
        assert!(Document::read(&path).unwrap_err().message.contains("at most 16 MiB"));
    }
}
