//! The `MESSAGE_ID` of each kind of record, by which `journalctl -x` finds its explanation.
//!
//! A kind is told by its id for ever: an id is never used for something else. Each has an entry in
//! `systemd/cloudcup.catalog`; a test holds them together.

macro_rules! ids {
    ($($(#[doc = $doc:literal])* $name:ident = $id:literal;)*) => {
        $($(#[doc = $doc])* pub const $name: &str = $id;)*

        /// Every id, with the name of its constant.
        pub const ALL: &[(&str, &str)] = &[$((stringify!($name), $id),)*];
    };
}

ids! {
    /// The service serves: all workers are ready.
    READY = "bad0f254b77c47ef832d4d51a6b334c7";
    /// The service began to stop.
    STOPPING = "fb7b3832452247f7a2ab46dbd464c266";
    /// A worker was started.
    WORKER_STARTED = "08d02f7711864e8c8ed7f634ef8b495a";
    /// A worker ended although nobody asked it to.
    WORKER_DIED = "0d586f3470814a309da28a037e14b28a";
    /// A worker made no progress and is replaced.
    WORKER_HUNG = "3a291b7f97024a879946900afc9f67f6";
    /// A worker of an earlier master was taken over.
    WORKER_ADOPTED = "39b3c61a30cd4298b2d8511ee8adf8d9";
    /// Workers keep dying; the next is started after a pause.
    WORKERS_KEEP_DYING = "a93079ef7c864085a3c3603ef2af675e";
    /// A configuration runs.
    CONFIG_APPLIED = "4007ccf438994ff18bda7cd9b5e143b4";
    /// A configuration was refused.
    CONFIG_REFUSED = "61332af3cbb945349ef423d0ab9447c6";
    /// The file is bad, so that an earlier configuration runs.
    CONFIG_FALLBACK = "755bb494a48c4530a485781cabd15e26";
    /// Live changes were replaced by a new file.
    CONFIG_REPLACED = "913b2edf4fd040f3a18dfcfb6154b206";
    /// A warning about a configuration that was accepted.
    CONFIG_WARNING = "d17520b05b204624b8fe697404ab33d9";
    /// A passed socket is named by no listener.
    SOCKET_UNNAMED = "ac14ee0f0e514f45bf3434e6373c8f43";
    /// A listener has no socket: its address can't be bound.
    SOCKET_FAILED = "69fd5203e40746fda0357969b6df46d1";
    /// A backend failed too often and rests.
    BACKEND_DOWN = "f8c880a4df8844d28d5737c6b3e31f5e";
    /// A backend serves again.
    BACKEND_UP = "c882e7c024ac4238bd303cc47282bc3d";
    /// A backend's name doesn't resolve.
    NAME_FAILED = "46f546644b6145e7be14b31dcf205722";
    /// The record of one exchange.
    ACCESS = "5cb75ca956b44addba26331e450323b7";
    /// Access records were lost.
    ACCESS_LOST = "525d244184544b24a286c41d9acb0d38";
    /// A limit was reached.
    LIMIT_HIT = "187489eecbde4594b320ebe313c9fb45";
    /// A caller of the control interface was refused.
    CONTROL_DENIED = "4ef9be7f33474f95afbb8e02b43e7fca";
    /// The system bus can't be reached; the control socket serves alone.
    BUS_LOST = "496a61b81d4849dd9c0582fba168e9f2";
    /// The log level was changed.
    LOG_LEVEL = "1f02a04d21ff44668ece70ecaeb3d687";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const CATALOG: &str = include_str!("../../systemd/cloudcup.catalog");

    #[test]
    fn ids_are_ids() {
        let mut seen = HashSet::new();
        for (name, id) in ALL {
            assert_eq!(id.len(), 32, "{name}");
            assert!(id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{name}");
            assert!(seen.insert(id), "{name} twice");
        }
    }

    #[test]
    fn each_id_is_explained_and_nothing_else() {
        let mut explained = HashSet::new();
        for entry in CATALOG.split("-- ").skip(1) {
            let (id, rest) = entry.split_once('\n').unwrap();
            let subject = rest.lines().find_map(|line| line.strip_prefix("Subject: "));
            assert!(subject.is_some_and(|s| s.len() > 8), "{id} has no subject");
            assert!(rest.contains("Defined-By: Cloud Cup"), "{id}");
            let (_, text) = rest.split_once("\n\n").unwrap();
            assert!(text.trim().len() > 80, "{id} explains too little");
            assert!(ALL.iter().any(|(_, known)| known == &id.trim()), "{id} is unknown");
            assert!(explained.insert(id.trim().to_string()), "{id} twice");
        }
        for (name, id) in ALL {
            assert!(explained.contains(*id), "{name} ({id}) isn't explained");
        }
    }
}
