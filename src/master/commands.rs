//! Answers to commands that come through the door.

use super::applying::Wish;
use super::command::{Answer, Command, ControlError, ErrorKind, PlanAnswer, Reply};
use super::document;
use super::options::LogLevel;
use super::run::Master;
use crate::ipc::{MAX_DOCUMENT, ToWorker};
use crate::observe::ids;
use futures_channel::oneshot;

/// The answer to commands that come too late.
pub fn stopping() -> ControlError {
    ControlError::new(ErrorKind::Stopping, "the service is stopping")
}

impl Master {
    /// Answers a command now, or keeps `reply` until the answer is there.
    pub(super) fn answer(&mut self, command: Command, reply: oneshot::Sender<Reply>) {
        let result = match command {
            Command::Reload => return self.wish(Wish::reload(Some(reply))),
            Command::Apply { text, expected_serial, source } => {
                if text.len() <= MAX_DOCUMENT {
                    let text = Some(text);
                    let wish = Wish { text, expected_serial, source, reply: Some(reply) };
                    return self.wish(wish);
                }
                Err(too_large())
            }
            Command::Check { backends, routes } => {
                return self.begin_check(&backends, &routes, reply);
            }
            Command::Connections { limit } => return self.ask_connections(limit, reply),
            Command::Validate { text } => self.validate(&text),
            Command::Plan { text } => self.plan(&text),
            Command::Why { method, url, headers } => self.why(method, url, headers),
            Command::SetLogLevel { filter } => self.set_log_level(&filter),
            Command::Stop { hard } => {
                let _gone = reply.send(Ok(Answer::Done));
                return self.stop(hard);
            }
            Command::Snapshot => Ok(Answer::Snapshot(Box::new(self.snapshot()))),
            Command::Metrics => Ok(Answer::Text(self.metrics())),
            Command::Config { effective } => Ok(Answer::Text(self.config_text(effective))),
        };
        // Whoever asked may have gone.
        let _gone = reply.send(result);
    }

    fn validate(&self, text: &str) -> Reply {
        if text.len() > MAX_DOCUMENT {
            return Err(too_large());
        }
        Ok(Answer::Findings(document::findings(text.as_bytes()).1))
    }

    fn plan(&self, text: &str) -> Reply {
        if text.len() > MAX_DOCUMENT {
            return Err(too_large());
        }
        let (plan, findings) = document::findings(text.as_bytes());
        let changes = match &plan {
            Some(plan) => self.changes_to(plan),
            None => Vec::new(),
        };
        let serial = self.running.serial;
        Ok(Answer::Plan(PlanAnswer { serial, valid: plan.is_some(), findings, changes }))
    }

    fn set_log_level(&mut self, filter: &str) -> Reply {
        let Some(level) = LogLevel::parse(filter) else {
            let text = "the log level is one of off, error, warn, info, debug, trace";
            return Err(ControlError::new(ErrorKind::InvalidArgument, text));
        };
        self.options.log_level = Some(level);
        self.log.set(level);
        let message = ToWorker::SetLogLevel { filter: level.word().to_owned() };
        for child in self.children.values_mut().filter(|child| child.started) {
            child.post(&message, Vec::new());
        }
        tracing::info!(MESSAGE_ID = ids::LOG_LEVEL, "log level is {}", level.word());
        Ok(Answer::Done)
    }
}

fn too_large() -> ControlError {
    ControlError::new(ErrorKind::InvalidArgument, "the document is larger than 16 MiB")
}
