//! Who may do what: the pure decision from credentials, before polkit is asked.
//!
//! Credentials come from the kernel (peer-to-peer) or from the bus daemon; nothing a caller says
//! about itself takes part. On the control socket this decision is final; on the system bus
//! [`Verdict::AskPolkit`] leads to one question to the authority, and no answer means no.

use super::names;

/// What a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Right {
    /// Counters and state without addresses, header values or file facts.
    Inspect,
    /// Everything that changes, and every full answer.
    Manage,
    /// Re-reading the configuration file: [`Right::Manage`], or being the service's own user.
    Reload,
}

impl Right {
    /// The polkit action that can grant this right.
    pub fn action(self) -> &'static str {
        match self {
            Right::Inspect => names::ACTION_INSPECT,
            Right::Manage | Right::Reload => names::ACTION_MANAGE,
        }
    }
}

/// How the service was started, which settles who its masters are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A system service: uid 0 and the admin group rule; the service's own uid may only reload.
    System,
    /// A user's service or a program run from a shell or container: the same uid rules, and uid 0.
    User,
}

/// Who calls, as the kernel or the bus daemon tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Numeric user id.
    pub uid: u32,
    /// Primary and supplementary groups; empty when they can't be told.
    pub gids: Vec<u32>,
}

/// The service's side of the decision.
#[derive(Clone, Debug)]
pub struct Rules {
    /// How the service was started.
    pub mode: Mode,
    /// The uid the service runs as.
    pub own_uid: u32,
    /// The id of the group [`names::ADMIN_GROUP`], where it exists.
    pub admin_gid: Option<u32>,
}

/// What the credentials alone settle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Allowed.
    Allowed,
    /// Not by credentials; polkit may still allow it where there is one to ask.
    AskPolkit,
    /// Refused, whatever polkit would say.
    Refused,
}

impl Rules {
    /// Decides on `right` for `caller`.
    pub fn decide(&self, caller: &Caller, right: Right) -> Verdict {
        if caller.uid == 0 {
            return Verdict::Allowed;
        }
        match self.mode {
            Mode::User if caller.uid == self.own_uid => Verdict::Allowed,
            Mode::User => Verdict::Refused,
            Mode::System if caller.uid == self.own_uid => match right {
                // Workers run under this uid as well: it must not reach further than a reload.
                Right::Reload => Verdict::Allowed,
                Right::Inspect | Right::Manage => Verdict::Refused,
            },
            Mode::System if self.admin_gid.is_some_and(|gid| caller.gids.contains(&gid)) => {
                Verdict::Allowed
            }
            Mode::System => Verdict::AskPolkit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(mode: Mode) -> Rules {
        Rules { mode, own_uid: 990, admin_gid: Some(980) }
    }

    fn caller(uid: u32, gids: &[u32]) -> Caller {
        Caller { uid, gids: gids.to_vec() }
    }

    #[test]
    fn the_table_of_rights() {
        use Right::*;
        use Verdict::*;
        let rows = [
            (Mode::System, caller(0, &[]), [Allowed, Allowed, Allowed]),
            (Mode::System, caller(1000, &[1000, 980]), [Allowed, Allowed, Allowed]),
            (Mode::System, caller(990, &[990, 980]), [Refused, Refused, Allowed]),
            (Mode::System, caller(1000, &[1000]), [AskPolkit, AskPolkit, AskPolkit]),
            (Mode::User, caller(0, &[]), [Allowed, Allowed, Allowed]),
            (Mode::User, caller(990, &[]), [Allowed, Allowed, Allowed]),
            (Mode::User, caller(1000, &[980]), [Refused, Refused, Refused]),
        ];
        for (mode, who, verdicts) in rows {
            for (right, verdict) in [Inspect, Manage, Reload].into_iter().zip(verdicts) {
                assert_eq!(rules(mode).decide(&who, right), verdict, "{mode:?} {who:?} {right:?}");
            }
        }
    }

    #[test]
    fn without_the_admin_group_nobody_is_in_it() {
        let rules = Rules { mode: Mode::System, own_uid: 990, admin_gid: None };
        assert_eq!(rules.decide(&caller(1000, &[0, 980]), Right::Manage), Verdict::AskPolkit);
    }

    #[test]
    fn a_system_service_run_as_root_obeys_root() {
        let rules = Rules { mode: Mode::System, own_uid: 0, admin_gid: None };
        assert_eq!(rules.decide(&caller(0, &[]), Right::Manage), Verdict::Allowed);
    }
}
