//! Every key of the configuration, once: its shape, default and meaning.
//!
//! The checker, "did you mean", the JSON Schema and the reference manual are all driven by these
//! tables, so that they can't tell different stories. What is not here is unknown.

use super::shape::{Key, Object, Shape, Word};

/// Shape of a list of backends.
const BACKENDS: Shape = Shape::List { item: &Shape::Object(&BACKEND), min: 1 };
const NETWORKS: Shape = Shape::List { item: &Shape::Network, min: 0 };
const POOL_STRATEGY: Word = Word {
    now: &["round-robin"],
    later: &[
        "least-connections",
        "random",
        "power-of-two",
        "hash",
        "ip-hash",
        "maglev",
        "weighted-round-robin",
        "least-latency",
    ],
};
const HTTP_PROTOCOL: Word = Word { now: &["h1"], later: &["h2", "h3"] };

/// The whole document.
pub static TOP: Object = Object {
    name: "document",
    text: "The whole document.",
    keys: &[
        Key::new("$schema", Shape::Text, "Where an editor finds the schema. Not read."),
        Key::new("version", Shape::Whole { min: 1, max: 1 }, "Version of this format.").or("1"),
        Key::new(
            "listeners",
            Shape::Map { name: "NAME", value: &Shape::Object(&LISTENER) },
            "Where requests come in, keyed by systemd's FileDescriptorName=. When it is left out: \
             one listener `http` without addresses, for a socket that systemd passes.",
        )
        .or(r#"{"http": {}}"#),
        Key::new(
            "routes",
            Shape::Map { name: "[HOST]/PATH", value: &Shape::OneOrMore(&Shape::Object(&RULE)) },
            "What to do with a request, by host and path. `/x/*` is `/x` and all below it, \
             `*.example.com/...` every host below example.com, `*` everything. The most specific key \
             wins: exact host, longest wildcard host, any host; within it exact path, longest \
             prefix. A value is one rule or an array of rules, tried in order; where none applies, \
             the next less specific key is asked. A request that meets no rule is answered with 404.",
        )
        .required(),
        Key::new(
            "pools",
            Shape::Map { name: "NAME", value: &Shape::Object(&POOL) },
            "Sets of backends that several rules may share.",
        )
        .or("{}"),
        Key::new("timeouts", Shape::Object(&TIMEOUTS), "How long each phase may take.").or("{}"),
        Key::new("limits", Shape::Object(&LIMITS), "Caps of the process, and of each exchange.")
            .or("{}"),
        Key::new("log", Shape::Object(&LOG), "What is recorded, and where.").or("{}"),
        Key::new("workers", Shape::Object(&WORKERS), "Processes that carry the traffic.").or("{}"),
    ],
    later: &["bridge", "backends", "tls", "acme", "admin", "secrets", "history"],
};

/// One listener.
pub static LISTENER: Object = Object {
    name: "listener",
    text: "One listener. Its name is matched to the sockets that systemd passes; addresses are \
           bound only where none of that name was passed. The names `https`, `bridge`, `control` \
           and `admin` are reserved.",
    keys: &[
        Key::new("address", Shape::Listen, "One address; short for `addresses`."),
        Key::new(
            "addresses",
            Shape::List { item: &Shape::Listen, min: 0 },
            "Where to bind: `0.0.0.0:80`, `[::]:80`, `unix:/run/site.sock`.",
        )
        .or("[]"),
        Key::new(
            "protocols",
            Shape::List { item: &Shape::Word(&HTTP_PROTOCOL), min: 1 },
            "What is spoken with clients.",
        )
        .or(r#"["h1"]"#),
        Key::new(
            "trusted_proxies",
            NETWORKS,
            "Peers whose X-Forwarded-* and Forwarded fields are believed; those of all others are \
             removed.",
        )
        .or("[]"),
        Key::new(
            "identity_fields",
            Shape::List { item: &Shape::Text, min: 0 },
            "Header fields by which backends learn who the user is, such as `X-Remote-User`: removed \
             in every spelling unless they come from one of `trusted_proxies`.",
        )
        .or("[]"),
        Key::new(
            "proxy_protocol",
            Shape::Word(&Word { now: &["off"], later: &["v1", "v2", "any"] }),
            "Whether a PROXY header is expected before the first request.",
        )
        .or(r#""off""#),
        Key::new("timeouts", Shape::Object(&TIMEOUTS), "Time-outs for requests of this listener.")
            .or("{}"),
        Key::new("limits", Shape::Object(&LISTENER_LIMITS), "Limits for this listener.").or("{}"),
    ],
    later: &[
        "tls",
        "redirect",
        "bridge",
        "tcp",
        "zmq",
        "legacy",
        "allow_plaintext",
        "allow_remote",
    ],
};

/// One rule of a route.
pub static RULE: Object = Object {
    name: "rule",
    text: "One rule. It has exactly one action: `pool`, `backends`, `redirect` or `respond`.",
    keys: &[
        Key::new(
            "name",
            Shape::Text,
            "Stable name in records and metrics, unique in the document. When it is left out: the \
             route's key, for a second and later rule of an array with `#2` and so on.",
        ),
        Key::new("match", Shape::Object(&MATCH), "What the request must be besides host and path.")
            .or("{}"),
        Key::new("pool", Shape::Text, "Action: forward to this pool of `pools`."),
        Key::new("backends", BACKENDS, "Action: forward to these backends, a pool of its own."),
        Key::new(
            "strategy",
            Shape::Word(&POOL_STRATEGY),
            "How to pick one of the rule's `backends`.",
        )
        .or(r#""round-robin""#),
        Key::new("redirect", Shape::Object(&REDIRECT), "Action: answer with a redirect."),
        Key::new("respond", Shape::Object(&RESPOND), "Action: answer with fixed words."),
        Key::new("timeouts", Shape::Object(&TIMEOUTS), "Time-outs for requests of this rule.")
            .or("{}"),
        Key::new("limits", Shape::Object(&RULE_LIMITS), "Limits for requests of this rule.")
            .or("{}"),
    ],
    later: &[
        "split", "bridge", "retry", "health", "tls", "protocol", "sticky", "mirror", "hedge",
        "headers", "rewrite", "auth", "rate", "compress", "cache",
    ],
};

/// Conditions of a rule.
pub static MATCH: Object = Object {
    name: "match",
    text: "Conditions of a rule; all that are given must hold.",
    keys: &[
        Key::new(
            "listeners",
            Shape::List { item: &Shape::Text, min: 1 },
            "The request came by one of these listeners.",
        ),
        Key::new(
            "methods",
            Shape::List { item: &Shape::Text, min: 1 },
            "The method is one of these. Case matters, as in HTTP.",
        ),
        Key::new(
            "headers",
            Shape::Map { name: "FIELD", value: &Shape::Test },
            "Header fields: a value, several (one must stand there), `true` for present, `false` \
             for absent. Names ignore case, values don't.",
        ),
        Key::new(
            "query",
            Shape::Map { name: "PARAMETER", value: &Shape::Test },
            "Query parameters, compared decoded; tests as for `headers`.",
        ),
        Key::new(
            "cookies",
            Shape::Map { name: "COOKIE", value: &Shape::Test },
            "Cookies; tests as for `headers`.",
        ),
        Key::new(
            "clients",
            Shape::List { item: &Shape::Network, min: 1 },
            "The peer of the connection lies in one of these networks. Forwarding fields play no \
             part in this.",
        ),
    ],
    later: &["sni", "path_regex"],
};

/// A redirect.
pub static REDIRECT: Object = Object {
    name: "redirect",
    text: "Answers with a redirect.",
    keys: &[
        Key::new(
            "to",
            Shape::Text,
            "The new location: http://..., https://... or a path, with `{host}`, `{path}`, `{query}` \
             (with its `?`) and `{uri}` (path and query) put in. Without `{query}`, `{uri}` or a \
             `?` of its own the query is kept.",
        )
        .required(),
        Key::new("status", Shape::Status(&[301, 302, 303, 307, 308]), "The status code.").or("308"),
    ],
    later: &[],
};

/// Fixed words.
pub static RESPOND: Object = Object {
    name: "respond",
    text: "Answers with fixed words.",
    keys: &[
        Key::new("status", Shape::Whole { min: 200, max: 599 }, "The status code.").or("200"),
        Key::new(
            "headers",
            Shape::Map { name: "FIELD", value: &Shape::Text },
            "Header fields. `content-type` is `text/plain; charset=utf-8` where there is a body.",
        )
        .or("{}"),
        Key::new("body", Shape::Text, "The body.").or(r#""""#),
    ],
    later: &["file"],
};

/// A shared pool.
pub static POOL: Object = Object {
    name: "pool",
    text: "A set of backends that stand for each other.",
    keys: &[
        Key::new("backends", BACKENDS, "The backends.").required(),
        Key::new("strategy", Shape::Word(&POOL_STRATEGY), "How to pick one.")
            .or(r#""round-robin""#),
        Key::new("protocol", Shape::Word(&HTTP_PROTOCOL), "What is spoken with the backends.")
            .or(r#""h1""#),
        Key::new("timeouts", Shape::Object(&TIMEOUTS), "Time-outs for requests of this pool.")
            .or("{}"),
        Key::new("limits", Shape::Object(&POOL_LIMITS), "Limits for this pool.").or("{}"),
    ],
    later: &[
        "health",
        "tls",
        "bridge",
        "retry",
        "sticky",
        "outlier",
        "slow_start",
        "proxy_protocol",
    ],
};

/// One backend.
pub static BACKEND: Object = Object {
    name: "backend",
    text: "One backend.",
    keys: &[
        Key::new(
            "address",
            Shape::Backend,
            "Where it is: `ip[:port]`, `[v6]:port`, `name[:port]` (resolved at run time) or \
             `unix:/path`. The port is 80 when it is left out.",
        )
        .alias("host")
        .required(),
        Key::new(
            "max_failures",
            Shape::Whole { min: 0, max: 1_000_000 },
            "Failures in a row after which it rests for a while; 0 = it never rests.",
        )
        .alias("max_failure")
        .or("5"),
        Key::new("weight", Shape::Whole { min: 1, max: 1 }, "Its share; 1 in this version.")
            .or("1"),
    ],
    later: &["health", "max_connections", "tls", "backup", "name"],
};

/// Time-outs. The order is that of [`TimeoutKey`](super::terms::TimeoutKey).
pub static TIMEOUTS: Object = Object {
    name: "timeouts",
    text: "Durations such as `\"500ms\"`, `\"30s\"`, `\"5min\"`, or `\"off\"`. The nearest of \
           route, pool, listener and top level wins, each by itself.",
    keys: &[
        Key::new("handshake", TIME, "What comes before HTTP (TLS, PROXY header).").or(r#""10s""#),
        Key::new("header", TIME, "A whole request head, from its first byte.").or(r#""10s""#),
        Key::new("body_idle", TIME, "Between two pieces of a request body.").or(r#""30s""#),
        Key::new(
            "idle",
            TIME,
            "A kept-alive connection without a request: a client's (listener or top level), a \
             backend's (pool or top level).",
        )
        .or(r#""1min""#),
        Key::new("connect", TIME, "Until a connection to a backend stands.").or(r#""5s""#),
        Key::new("response_header", TIME, "From the end of the request to the response's head.")
            .or(r#""1min""#),
        Key::new("response_idle", TIME, "Between two pieces of a response body.").or(r#""1min""#),
        Key::new("tunnel_idle", TIME, "A tunnel (WebSocket) in which nothing is said.")
            .or(r#""1h""#),
        Key::new("request", TIME, "The whole exchange.").or(r#""off""#),
    ],
    later: &[],
};

const TIME: Shape = Shape::Duration { min_ms: 1, max_ms: 7 * 24 * 3_600_000 };

/// What the codec takes at most: a block of 16 KiB less the room for what is added on the way.
const HEADER_BYTES: Key = Key::new(
    "header_bytes",
    Shape::Size { min: 1_024, max: 15 * 1024, off: false },
    "Bytes of a message head.",
)
.or(r#""15KiB""#);
const HEADER_FIELDS: Key =
    Key::new("header_fields", Shape::Whole { min: 8, max: 256 }, "Fields of a message head.")
        .or("100");
const BODY_BYTES: Key = Key::new(
    "body_bytes",
    Shape::Size { min: 0, max: 1 << 40, off: true },
    "Bytes of a request body; more is answered with 413.",
)
.or(r#""off""#);
const WAITING: Key = Key::new(
    "waiting",
    Shape::Whole { min: 0, max: 1_000_000 },
    "Requests of one worker that may wait for a backend of one pool; more are answered with 503.",
)
.or("1024");
const IDLE_CONNECTIONS: Key = Key::new(
    "idle_connections",
    Shape::Whole { min: 0, max: 100_000 },
    "Idle connections that one worker keeps to one backend.",
)
.or("256");

/// Limits of the top level.
pub static LIMITS: Object = Object {
    name: "limits",
    text: "Caps. Those of an exchange may be set nearer, at listener, pool or rule.",
    keys: &[
        Key::new(
            "connections",
            Shape::WholeOrAuto { min: 1, max: 10_000_000 },
            "Client connections over all workers; `auto` = what the limit of open files allows.",
        )
        .or(r#""auto""#),
        HEADER_BYTES,
        HEADER_FIELDS,
        BODY_BYTES,
        WAITING,
        IDLE_CONNECTIONS,
    ],
    later: &["connections_per_client", "rate", "streams"],
};

/// Limits of a listener.
pub static LISTENER_LIMITS: Object = Object {
    name: "listener limits",
    text: "Limits of one listener; what is left out is taken from the top level.",
    keys: &[HEADER_BYTES.inherited(), HEADER_FIELDS.inherited(), BODY_BYTES.inherited()],
    later: &["connections", "connections_per_client", "rate", "streams"],
};

/// Limits of a pool.
pub static POOL_LIMITS: Object = Object {
    name: "pool limits",
    text: "Limits of one pool; what is left out is taken from listener and top level.",
    keys: &[BODY_BYTES.inherited(), WAITING.inherited(), IDLE_CONNECTIONS.inherited()],
    later: &["connections"],
};

/// Limits of a rule.
pub static RULE_LIMITS: Object = Object {
    name: "rule limits",
    text: "Limits of one rule; what is left out is taken from pool, listener and top level.",
    keys: &[BODY_BYTES.inherited(), WAITING.inherited()],
    later: &["rate", "connections"],
};

/// Records.
pub static LOG: Object = Object {
    name: "log",
    text: "What is recorded, and where.",
    keys: &[
        Key::new(
            "access",
            Shape::AccessLog,
            "Access records: `off`, `journal` (native fields), `stderr` or `file:/path` (JSON lines).",
        )
        .or(r#""journal""#),
        Key::new(
            "sample",
            Shape::WholeOrAuto { min: 1, max: 1_000_000_000 },
            "One of how many exchanges with a status below 500 is recorded; those with 500 and above \
             always are. `auto` = 100 in the journal, 1 elsewhere.",
        )
        .or(r#""auto""#),
        Key::new("query", Shape::Flag, "Whether recorded paths keep their query string.").or("false"),
        Key::new(
            "level",
            Shape::Word(&Word { now: &["error", "warn", "info", "debug", "trace"], later: &[] }),
            "Life-cycle events of this level and above.",
        )
        .or(r#""info""#),
    ],
    later: &[],
};

/// Workers.
pub static WORKERS: Object = Object {
    name: "workers",
    text: "Processes that carry the traffic.",
    keys: &[
        Key::new(
            "count",
            Shape::WholeOrAuto { min: 1, max: 32 },
            "How many; `auto` = as many as CPUs may be used.",
        )
        .or(r#""auto""#),
        Key::new(
            "threads",
            Shape::WholeOrAuto { min: 1, max: 64 },
            "Threads for long work in each.",
        )
        .or(r#""auto""#),
    ],
    later: &[],
};

/// A seed document (one with `root`).
pub static SEED_TOP: Object = Object {
    name: "seed document",
    text: "A document in the form of the first Cloud Cup; `root` tells it. Valid unchanged: unknown \
           keys are warnings, `\"*\"` is required.",
    keys: &[
        Key::new("root", Shape::Listen, "The address to listen on, `ip[:port]`, port 80.")
            .required(),
        Key::new("routes", Shape::Any, "Paths to backends.").required(),
        Key::new("ssl", Shape::Any, "Certificate and key of the listener."),
    ],
    later: &[],
};

/// Every object that the manual describes, in its order.
pub static ALL: [&Object; 15] = [
    &TOP,
    &LISTENER,
    &LISTENER_LIMITS,
    &RULE,
    &MATCH,
    &REDIRECT,
    &RESPOND,
    &RULE_LIMITS,
    &POOL,
    &POOL_LIMITS,
    &BACKEND,
    &TIMEOUTS,
    &LIMITS,
    &LOG,
    &WORKERS,
];
