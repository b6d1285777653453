//! `org.cloudcup1.Manager`: each member admits its caller, asks the master, and sends the answer.
//!
//! It decides nothing itself. Rights are [`Access`](super::access::Access)'s, the work is the
//! master's; a member here is arguments in, rows out.

use super::access::{Permit, Sight, Way};
use super::document;
use super::failure::{Failure, rows};
use super::shared::{Shared, View, unexpected};
use super::show;
use crate::control::names;
use crate::control::rights::Right;
use crate::control::rows::{CheckRow, ProblemRow, Topic, check, option};
use crate::master::command::{Answer, Command, Probe};
use crate::master::snapshot::{LastApply, Snapshot};
use std::collections::HashMap;
use std::sync::Arc;
use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, ObjectPath, OwnedVariant, Variant, interface};

/// Longest text of an argument that is not a document: method, URL, a header, a filter, a source.
const TEXT_MAX: usize = 64 * 1024;
/// Most headers of `Why`, most names of `Check`.
const LIST_MAX: usize = 1024;
/// Most connections that `Show connections` answers.
const ROWS_MAX: u64 = 10_000;

/// The object at `/org/cloudcup1` of one connection.
#[derive(Clone, Debug)]
pub struct Manager {
    pub(super) shared: Arc<Shared>,
    pub(super) way: Way,
}

impl Manager {
    async fn admit(
        &self,
        connection: &Connection,
        header: &Header<'_>,
        right: Right,
    ) -> Result<Permit, Failure> {
        self.shared.access.admit(&self.way, connection, header, right).await
    }

    /// The snapshot for a reader of a property; without a header it is for a signal, which anybody
    /// may see.
    async fn facts(
        &self,
        connection: &Connection,
        header: Option<Header<'_>>,
    ) -> Result<(Arc<View>, Sight), Failure> {
        let sight = match &header {
            Some(header) => self.shared.access.look(&self.way, connection, header).await?,
            None => Sight::Plain,
        };
        Ok((self.shared.view().await?, sight))
    }

    async fn validated(&self, text: String) -> Result<Vec<ProblemRow>, Failure> {
        match self.shared.ask(Command::Validate { text }).await? {
            Answer::Findings(findings) => Ok(rows(&findings)),
            other => Err(unexpected(&other)),
        }
    }

    async fn planned(&self, text: String) -> Result<String, Failure> {
        match self.shared.ask(Command::Plan { text }).await? {
            Answer::Plan(plan) => show::json(&plan),
            other => Err(unexpected(&other)),
        }
    }

    async fn applied_text(
        &self,
        text: String,
        options: &Given,
        permit: &Permit,
    ) -> Result<u64, Failure> {
        let source = match &options.source {
            Some(source) => format!("api:{} {source}", permit.uid),
            None => format!("api:{}", permit.uid),
        };
        let command = Command::Apply { text, expected_serial: options.expected_serial, source };
        match self.shared.ask(command).await? {
            Answer::Serial(serial) => Ok(serial),
            other => Err(unexpected(&other)),
        }
    }

    async fn done(&self, command: Command) -> Result<(), Failure> {
        match self.shared.ask(command).await? {
            Answer::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }
}

/// The options of a call.
#[derive(Debug, Default, PartialEq, Eq)]
struct Given {
    expected_serial: Option<u64>,
    source: Option<String>,
    limit: Option<u64>,
}

/// Takes the options of a call that knows the keys `known`. Error: `InvalidArgument`, and
/// `NotSupported` for keys of later versions.
fn given(options: &HashMap<&str, Variant<'_>>, known: &[&str]) -> Result<Given, Failure> {
    let mut taken = Given::default();
    for (key, value) in options {
        if *key == "confirm_usec" {
            let message = "the option \"confirm_usec\" is not supported in this version";
            return Err(Failure::new(names::ERROR_NOT_SUPPORTED, message));
        }
        if !known.contains(key) {
            let allowed = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(Failure::argument(format!("unknown option {key:?} (known: {allowed})")));
        }
        let wrong = || Failure::argument(format!("the option {key:?} has the wrong type or value"));
        match *key {
            option::EXPECTED_SERIAL => {
                taken.expected_serial = Some(u64::try_from(value).map_err(|_| wrong())?);
            }
            option::LIMIT => taken.limit = Some(u64::try_from(value).map_err(|_| wrong())?),
            _ => {
                let text = <&str>::try_from(value).map_err(|_| wrong())?;
                let plain = text.len() <= 64 && text.bytes().all(|byte| matches!(byte, 32..=126));
                taken.source = Some(if plain { text.to_owned() } else { return Err(wrong()) });
            }
        }
    }
    Ok(taken)
}

fn bounded(text: &str) -> Result<String, Failure> {
    if text.len() > TEXT_MAX {
        return Err(Failure::new(names::ERROR_LIMIT, "an argument is longer than 64 KiB"));
    }
    Ok(text.to_owned())
}

fn bounded_list(list: &[&str]) -> Result<Vec<String>, Failure> {
    if list.len() > LIST_MAX {
        return Err(Failure::new(names::ERROR_LIMIT, "a list has more than 1024 entries"));
    }
    list.iter().map(|text| bounded(text)).collect()
}

fn check_row(probe: Probe, snapshot: &Snapshot) -> CheckRow {
    let routes: Vec<String> = snapshot
        .routes
        .iter()
        .filter(|route| route.action == format!("pool {}", probe.pool))
        .map(|route| route.key.clone())
        .collect();
    let error = if probe.healthy { String::new() } else { probe.detail };
    let cells = [
        (check::POOL, Variant::from(probe.pool)),
        (check::BACKEND, Variant::from(probe.backend)),
        (check::ROUTES, Variant::from(routes)),
        (check::HEALTHY, Variant::from(probe.healthy)),
        (check::STATUS, Variant::from(probe.status)),
        (check::ERROR, Variant::from(error)),
        (check::DURATION_US, Variant::from(probe.micros)),
    ];
    // A value without descriptors always has an owned form.
    cells
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), OwnedVariant::try_from(value).ok()?)))
        .collect()
}

/// The word for `LastApplyResult`, which signals carry to everybody: no places, no reasons.
fn apply_word(last: &LastApply) -> &'static str {
    match (last.at_unix, last.accepted) {
        (0, _) => "none",
        (_, true) => "applied",
        (_, false) => "refused",
    }
}

#[interface(name = "org.cloudcup1.Manager", introspection_docs = false)]
impl Manager {
    #[zbus(out_args("serial"))]
    async fn reload(
        &self,
        options: HashMap<&str, Variant<'_>>,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<u64, Failure> {
        let _permit = self.admit(connection, &header, Right::Reload).await?;
        given(&options, &[])?;
        match self.shared.ask(Command::Reload).await? {
            Answer::Serial(serial) => Ok(serial),
            other => Err(unexpected(&other)),
        }
    }

    #[zbus(out_args("problems"))]
    async fn validate(
        &self,
        document: &str,
        options: HashMap<&str, Variant<'_>>,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<ProblemRow>, Failure> {
        let _permit = self.admit(connection, &header, Right::Manage).await?;
        given(&options, &[])?;
        self.validated(document::from_text(document)?).await
    }

    #[zbus(out_args("problems"))]
    async fn validate_fd(
        &self,
        document: zbus::Fd<'_>,
        options: HashMap<&str, Variant<'_>>,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<ProblemRow>, Failure> {
        let _permit = self.admit(connection, &header, Right::Manage).await?;
        given(&options, &[])?;
        self.validated(document::from_fd(document).await?).await
    }

    #[zbus(out_args("json"))]
    async fn plan(
        &self,
        document: &str,
        options: HashMap<&str, Variant<'_>>,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<String, Failure> {
        let _permit = self.admit(connection, &header, Right::Manage).await?;
        given(&options, &[])?;
        self.planned(document::from_text(document)?).await
    }

    #[zbus(out_args("json"))]
    async fn plan_fd(
        &self,
        document: zbus::Fd<'_>,
        options: HashMap<&str, Variant<'_>>,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<String, Failure> {
        let _permit = self.admit(connection, &header, Right::Manage).await?;
        given(&options, &[])?;
        self.planned(document::from_fd(document).await?).await
    }

    #[zbus(out_args("serial"))]
    async fn apply(
        &self,
        document: &str,
        options: HashMap<&str, Variant<'_>>,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<u64, Failure> {
        let permit = self.admit(connection, &header, Right::Manage).await?;
        let options = given(&options, &[option::EXPECTED_SERIAL, option::SOURCE])?;
        self.applied_text(document::from_text(document)?, &options, &permit).await
    }

    #[zbus(out_args("serial"))]
    async fn apply_fd(
        &self,
        document: zbus::Fd<'_>,
        options: HashMap<&str, Variant<'_>>,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<u64, Failure> {
        let permit = self.admit(connection, &header, Right::Manage).await?;
        let options = given(&options, &[option::EXPECTED_SERIAL, option::SOURCE])?;
        self.applied_text(document::from_fd(document).await?, &options, &permit).await
    }

    #[zbus(out_args("results"))]
    async fn check(
        &self,
        backends: Vec<&str>,
        routes: Vec<&str>,
        options: HashMap<&str, Variant<'_>>,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<CheckRow>, Failure> {
        let _permit = self.admit(connection, &header, Right::Manage).await?;
        given(&options, &[])?;
        let command =
            Command::Check { backends: bounded_list(&backends)?, routes: bounded_list(&routes)? };
        let Answer::Probes(probes) = self.shared.ask(command).await? else {
            return Err(Failure::new(names::ERROR_FAILED, "the master gave no probes"));
        };
        let view = self.shared.view().await?;
        Ok(probes.into_iter().map(|probe| check_row(probe, &view.snapshot)).collect())
    }

    #[zbus(out_args("json"))]
    async fn why(
        &self,
        method: &str,
        url: &str,
        headers: Vec<(&str, &str)>,
        options: HashMap<&str, Variant<'_>>,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<String, Failure> {
        let _permit = self.admit(connection, &header, Right::Manage).await?;
        given(&options, &[])?;
        if headers.len() > LIST_MAX {
            return Err(Failure::new(names::ERROR_LIMIT, "more than 1024 headers"));
        }
        let mut pairs = Vec::with_capacity(headers.len());
        for (name, value) in headers {
            pairs.push((bounded(name)?, bounded(value)?));
        }
        let command = Command::Why { method: bounded(method)?, url: bounded(url)?, headers: pairs };
        match self.shared.ask(command).await? {
            Answer::Why(why) => show::json(&why),
            other => Err(unexpected(&other)),
        }
    }

    #[zbus(out_args("json"))]
    async fn show(
        &self,
        what: &str,
        options: HashMap<&str, Variant<'_>>,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<String, Failure> {
        let Some(topic) = Topic::from_word(what) else {
            let known: Vec<&str> = Topic::ALL.iter().map(|topic| topic.as_str()).collect();
            return Err(Failure::argument(format!("show what? one of {}", known.join(", "))));
        };
        let _permit = self.admit(connection, &header, topic.right()).await?;
        let known: &[&str] = if topic == Topic::Connections { &[option::LIMIT] } else { &[] };
        let limit = given(&options, known)?.limit.unwrap_or(1000).min(ROWS_MAX);
        let sight = match topic.right() {
            Right::Inspect => self.shared.access.look(&self.way, connection, &header).await?,
            Right::Manage | Right::Reload => Sight::Full,
        };
        show::topic(&self.shared, topic, sight, u32::try_from(limit).unwrap_or(u32::MAX)).await
    }

    #[zbus(out_args("openmetrics"))]
    async fn metrics(
        &self,
        options: HashMap<&str, Variant<'_>>,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<String, Failure> {
        // Labels of backends hold their addresses.
        let _permit = self.admit(connection, &header, Right::Manage).await?;
        given(&options, &[])?;
        match self.shared.ask(Command::Metrics).await? {
            Answer::Text(text) => Ok(self.shared.with_samples(&text)),
            other => Err(unexpected(&other)),
        }
    }

    async fn set_log_level(
        &self,
        filter: &str,
        options: HashMap<&str, Variant<'_>>,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Failure> {
        let _permit = self.admit(connection, &header, Right::Manage).await?;
        given(&options, &[])?;
        self.done(Command::SetLogLevel { filter: bounded(filter)? }).await
    }

    async fn stop(
        &self,
        hard: bool,
        options: HashMap<&str, Variant<'_>>,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Failure> {
        let _permit = self.admit(connection, &header, Right::Manage).await?;
        given(&options, &[])?;
        self.done(Command::Stop { hard }).await
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn version(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> Result<String, Failure> {
        Ok(self.facts(connection, header).await?.0.snapshot.version.clone())
    }

    #[zbus(property)]
    async fn serial(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> Result<u64, Failure> {
        Ok(self.facts(connection, header).await?.0.snapshot.serial)
    }

    #[zbus(property(emits_changed_signal = "false"))]
    async fn config_file(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> Result<String, Failure> {
        let (view, sight) = self.facts(connection, header).await?;
        Ok(if sight == Sight::Full { view.snapshot.config_file.clone() } else { String::new() })
    }

    #[zbus(property)]
    async fn state(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> Result<String, Failure> {
        Ok(self.facts(connection, header).await?.0.snapshot.state.name().to_owned())
    }

    #[zbus(property)]
    async fn workers(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> Result<u32, Failure> {
        let (view, _) = self.facts(connection, header).await?;
        Ok(u32::try_from(view.snapshot.workers.len()).unwrap_or(u32::MAX))
    }

    #[zbus(property(emits_changed_signal = "false"))]
    async fn connections(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> Result<u64, Failure> {
        Ok(self.facts(connection, header).await?.0.snapshot.totals.connections)
    }

    #[zbus(property(emits_changed_signal = "false"))]
    async fn requests_total(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> Result<u64, Failure> {
        Ok(self.facts(connection, header).await?.0.snapshot.totals.requests_total)
    }

    #[zbus(property)]
    async fn last_apply_result(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Option<Header<'_>>,
    ) -> Result<String, Failure> {
        Ok(apply_word(&self.facts(connection, header).await?.0.snapshot.last_apply).to_owned())
    }

    #[zbus(signal)]
    pub(super) async fn applied(
        emitter: &SignalEmitter<'_>,
        serial: u64,
        source: &str,
    ) -> zbus::Result<()>;

    #[zbus(signal)]
    pub(super) async fn apply_failed(
        emitter: &SignalEmitter<'_>,
        serial: u64,
        source: &str,
        problems: u32,
    ) -> zbus::Result<()>;

    #[zbus(signal)]
    pub(super) async fn worker_exited(
        emitter: &SignalEmitter<'_>,
        slot: u32,
        pid: u32,
        reason: &str,
    ) -> zbus::Result<()>;

    #[zbus(signal)]
    pub(super) async fn backend_state_changed(
        emitter: &SignalEmitter<'_>,
        backend: ObjectPath<'_>,
        pool: &str,
        up: bool,
        reason: &str,
    ) -> zbus::Result<()>;
}

impl Manager {
    /// Announces the properties that differ between two snapshots.
    pub(super) async fn announce(
        &self,
        emitter: &SignalEmitter<'_>,
        old: &Snapshot,
        new: &Snapshot,
    ) -> zbus::Result<()> {
        if old.serial != new.serial {
            self.serial_changed(emitter).await?;
        }
        if old.state != new.state {
            self.state_changed(emitter).await?;
        }
        if old.workers.len() != new.workers.len() {
            self.workers_changed(emitter).await?;
        }
        if apply_word(&old.last_apply) != apply_word(&new.last_apply) {
            self.last_apply_result_changed(emitter).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_strict() {
        let known = [option::EXPECTED_SERIAL, option::SOURCE];
        let mut options = HashMap::from([
            (option::EXPECTED_SERIAL, Variant::from(7_u64)),
            (option::SOURCE, Variant::from("deploy 12")),
        ]);
        let taken = given(&options, &known).unwrap();
        assert_eq!((taken.expected_serial, taken.source.as_deref()), (Some(7), Some("deploy 12")));
        for (key, value, name) in [
            (option::SOURCE, Variant::from("a\nb"), names::ERROR_INVALID_ARGUMENT),
            (option::SOURCE, Variant::from(1_u32), names::ERROR_INVALID_ARGUMENT),
            (option::EXPECTED_SERIAL, Variant::from("7"), names::ERROR_INVALID_ARGUMENT),
            (option::LIMIT, Variant::from(7_u64), names::ERROR_INVALID_ARGUMENT),
            ("expected-serial", Variant::from(7_u64), names::ERROR_INVALID_ARGUMENT),
            ("confirm_usec", Variant::from(7_u64), names::ERROR_NOT_SUPPORTED),
        ] {
            options.clear();
            options.insert(key, value);
            assert_eq!(given(&options, &known).unwrap_err().name, name, "{key}");
        }
    }

    #[test]
    fn a_probe_names_the_routes_that_lead_to_it() {
        let route = |key: &str, action: &str| crate::master::snapshot::RouteView {
            key: key.into(),
            action: action.into(),
            ..Default::default()
        };
        let snapshot = Snapshot {
            routes: vec![route("*", "pool *"), route("/a", "pool api"), route("/b", "respond 404")],
            ..Snapshot::default()
        };
        let probe = Probe {
            pool: "api".into(),
            backend: "127.0.0.1:1".into(),
            healthy: false,
            status: 0,
            micros: 12,
            detail: "connection refused".into(),
        };
        let row = check_row(probe, &snapshot);
        assert_eq!(row.len(), 7);
        let text = |key: &str| String::try_from(row[key].try_clone().unwrap()).unwrap();
        assert_eq!(text(check::ERROR), "connection refused");
        let routes = Vec::<String>::try_from(row[check::ROUTES].try_clone().unwrap()).unwrap();
        assert_eq!(routes, ["/a"]);
    }
}
