//! Listeners.

use std::collections::HashMap;

use crate::config::json::{Kind, Value};
use crate::config::keys;
use crate::config::plan::{ListenAddress, ListenerPlan};
use crate::config::problem::Severity;
use crate::config::shape::{Shape, Word};
use crate::config::terms::{Interner, TermsSet};
use crate::config::words;
use crate::msg::is_token_byte;

use super::build::Level;
use super::{Checker, Fields, shown};

/// Names that mean something of their own; `http` is free for everyone.
const RESERVED: [(&str, &str); 4] = [
    ("https", "TLS"),
    ("bridge", "dial-in"),
    ("control", "the control socket"),
    ("admin", "the admin socket"),
];

/// Listeners of a document; more would not fit their numbers.
const LISTENERS_MAX: usize = 1_024;

impl Checker<'_> {
    pub(super) fn listeners(
        &mut self,
        value: Option<Value<'_>>,
        top: &TermsSet,
        interner: &mut Interner,
    ) -> Vec<ListenerPlan> {
        let Some(value) = value else { return vec![plain_listener(interner.resolve(&[top]))] };
        let members = self.map(value);
        if members.is_empty() && value.kind() == Kind::Object {
            self.error("bad-value", value, "\"listeners\" must not be empty");
        }
        if members.len() > LISTENERS_MAX {
            let message = format!("more than {LISTENERS_MAX} listeners");
            self.error("too-large", value, message);
            return Vec::new();
        }
        let mut taken = HashMap::new();
        members
            .iter()
            .filter_map(|member| self.listener(*member, top, interner, &mut taken))
            .collect()
    }

    fn listener(
        &mut self,
        member: Value<'_>,
        top: &TermsSet,
        interner: &mut Interner,
        taken: &mut HashMap<ListenAddress, String>,
    ) -> Option<ListenerPlan> {
        self.listener_name(member);
        let fields = self.object(member, &keys::LISTENER)?;
        let addresses = self.listen_addresses(fields, taken);
        if let Some(value) = fields.get("protocols") {
            for item in self.list(value, 1) {
                self.one_word(item, &Word { now: &["h1"], later: &["h2", "h3"] });
            }
        }
        self.word(fields, "proxy_protocol");
        let trusted = fields.get("trusted_proxies");
        let trusted_proxies = trusted.map_or_else(Vec::new, |value| self.networks(value, 0));
        let limits = fields.get("limits");
        let limits = limits.and_then(|value| self.object(value, &keys::LISTENER_LIMITS));
        let mut own = self.terms(fields.get("timeouts"), limits, Level::Listener);
        let identity = fields.get("identity_fields").map(|value| self.field_names(value));
        own.identity_fields = identity.filter(|names| !names.is_empty());
        Some(ListenerPlan {
            name: member.key().to_owned(),
            addresses,
            trusted_proxies,
            terms: interner.resolve(&[top, &own]),
            own,
        })
    }

    /// Names of header fields, as HTTP has them (RFC 9110 §5.6.2).
    fn field_names(&mut self, value: Value<'_>) -> Vec<String> {
        let mut names = Vec::new();
        for item in self.list(value, 0) {
            let Some(text) = self.string(item) else { continue };
            if text.is_empty() || !text.bytes().all(is_token_byte) {
                let message = format!("{:?} is no name of a header field", shown(text));
                self.error("bad-value", item, message);
            } else {
                names.push(text.to_owned());
            }
        }
        names
    }

    fn listener_name(&mut self, member: Value<'_>) {
        let name = member.key();
        if let Some((_, what)) = RESERVED.iter().find(|(own, _)| *own == name) {
            let message = format!(
                "the listener name {name:?} is reserved for {what}, which is not supported in this \
                 version"
            );
            self.at_key(Severity::Error, "not-supported", member, message, None);
        }
        // The rules of FileDescriptorName= (sd_listen_fds_with_names(3)).
        let good = |c: char| c.is_ascii_graphic() && c != ':';
        if name.is_empty() || name.len() > 255 || !name.chars().all(good) {
            let message = format!("{:?} is no name for a listener", shown(name));
            let hint = "1 to 255 visible ASCII characters without ':', as in FileDescriptorName=";
            self.at_key(Severity::Error, "bad-value", member, message, hint.to_owned());
        }
    }

    fn listen_addresses(
        &mut self,
        fields: Fields<'_>,
        taken: &mut HashMap<ListenAddress, String>,
    ) -> Vec<ListenAddress> {
        let (one, many) = (fields.get("address"), fields.get("addresses"));
        if let (Some(one), Some(_)) = (one, many) {
            let message = "\"address\" and \"addresses\" can't stand together";
            let hint = "put all into \"addresses\"".to_owned();
            self.at_key(Severity::Error, "bad-value", one, message, hint);
        }
        let mut items: Vec<Value<'_>> = one.into_iter().collect();
        if let Some(many) = many {
            items.extend(self.list(many, 0));
        }
        let mut addresses = Vec::new();
        for item in items {
            let Some(text) = self.string(item) else { continue };
            match words::listen(text, true) {
                Err((message, hint)) => {
                    let hint =
                        hint.unwrap_or_else(|| format!("allowed: {}", Shape::Listen.allowed()));
                    self.error_hint("bad-value", item, message, hint);
                }
                Ok(address) => {
                    // Port 0 is another free port each time.
                    let any_port = matches!(address, ListenAddress::Tcp(tcp) if tcp.port() == 0);
                    if !any_port && let Some(before) = taken.insert(address.clone(), item.pointer())
                    {
                        let message = format!("{text:?} is already bound by {before}");
                        self.error("duplicate-address", item, message);
                    }
                    addresses.push(address);
                }
            }
        }
        addresses
    }
}

/// The listener of a document that names none: whatever systemd passes as `http`.
fn plain_listener(terms: std::sync::Arc<crate::policy::Terms>) -> ListenerPlan {
    ListenerPlan {
        name: "http".to_owned(),
        addresses: Vec::new(),
        trusted_proxies: Vec::new(),
        terms,
        own: TermsSet::default(),
    }
}
