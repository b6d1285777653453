//! The closed lists of what a worker counts, and their public description.
//!
//! Plain data: names, kinds, units and help of every counter and gauge stand in one table each, from
//! which the board takes its columns and the metrics text its families. Adding a line adds a column
//! (and so a board version); nothing else needs to know.
//!
//! Invariant: rows of one family stand next to each other (the text format demands it; a test holds
//! it).

/// One column: the family it belongs to, its label, and what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Family name without suffix: `cloudcup_` and base units; `_total` is added for counters.
    pub family: &'static str,
    /// The one label that tells the columns of a family apart, as `name="value"`; empty if alone.
    pub label: &'static str,
    /// One sentence for `# HELP`.
    pub help: &'static str,
}

macro_rules! columns {
    ($(#[$doc:meta])* $name:ident, $table:ident {
        $($(#[$vdoc:meta])* $variant:ident: $family:literal $label:literal $help:literal;)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum $name { $(#[doc = $help] $variant,)* }

        impl $name {
            /// Every column, in the order of the board.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// Place of this column, below [`Self::COUNT`].
            pub const fn index(self) -> usize { self as usize }

            /// Its description.
            pub fn column(self) -> &'static Column { &$table[self as usize] }
        }

        static $table: [Column; $name::COUNT] = [
            $(Column { family: $family, label: $label, help: $help },)*
        ];
    };
}

columns! {
    /// What a worker counts upwards, for ever.
    Counter, COUNTERS {
        Accepted: "cloudcup_connections_accepted" "" "Client connections accepted.";
        Closed: "cloudcup_connections_closed" "" "Client connections closed.";
        AcceptErrors: "cloudcup_accept_errors" "" "Calls of accept that failed for another reason than nothing to accept.";
        AcceptPauses: "cloudcup_accept_pauses" "" "Times a worker stepped out of accepting because it held more than its share.";
        Requests: "cloudcup_requests" "" "Requests that ended, however they ended.";
        Status1xx: "cloudcup_responses" "class=\"1xx\"" "Responses sent to clients, by class of status.";
        Status2xx: "cloudcup_responses" "class=\"2xx\"" "Responses sent to clients, by class of status.";
        Status3xx: "cloudcup_responses" "class=\"3xx\"" "Responses sent to clients, by class of status.";
        Status4xx: "cloudcup_responses" "class=\"4xx\"" "Responses sent to clients, by class of status.";
        Status5xx: "cloudcup_responses" "class=\"5xx\"" "Responses sent to clients, by class of status.";
        LocalResponses: "cloudcup_local_responses" "" "Responses made here: redirects, fixed answers, errors.";
        FrontReceived: "cloudcup_front_received_bytes" "" "Bytes received from clients.";
        FrontSent: "cloudcup_front_sent_bytes" "" "Bytes sent to clients.";
        BackReceived: "cloudcup_back_received_bytes" "" "Bytes received from backends.";
        BackSent: "cloudcup_back_sent_bytes" "" "Bytes sent to backends.";
        Dials: "cloudcup_backend_connects" "result=\"tried\"" "Connections to backends, by outcome.";
        DialsFailed: "cloudcup_backend_connects" "result=\"failed\"" "Connections to backends, by outcome.";
        DialsReused: "cloudcup_backend_connects" "result=\"reused\"" "Connections to backends, by outcome.";
        Retries: "cloudcup_retries" "" "Requests sent again, to another backend or on a fresh connection.";
        Tunnels: "cloudcup_tunnels" "" "Exchanges that became tunnels.";
        Spliced: "cloudcup_spliced_bytes" "" "Body bytes that the kernel moved without a copy to this process.";
        FaultClient: "cloudcup_faults" "blame=\"client\"" "Exchanges that ended badly, by who is to blame.";
        FaultBackend: "cloudcup_faults" "blame=\"backend\"" "Exchanges that ended badly, by who is to blame.";
        FaultProxy: "cloudcup_faults" "blame=\"proxy\"" "Exchanges that ended badly, by who is to blame.";
        Malformed: "cloudcup_malformed_messages" "side=\"front\"" "Messages refused as malformed or ambiguous.";
        MalformedBack: "cloudcup_malformed_messages" "side=\"back\"" "Messages refused as malformed or ambiguous.";
        TimeoutHandshake: "cloudcup_timeouts" "phase=\"handshake\"" "Time-outs, by phase.";
        TimeoutHeader: "cloudcup_timeouts" "phase=\"header\"" "Time-outs, by phase.";
        TimeoutBodyIdle: "cloudcup_timeouts" "phase=\"body_idle\"" "Time-outs, by phase.";
        TimeoutIdle: "cloudcup_timeouts" "phase=\"idle\"" "Time-outs, by phase.";
        TimeoutConnect: "cloudcup_timeouts" "phase=\"connect\"" "Time-outs, by phase.";
        TimeoutResponseHeader: "cloudcup_timeouts" "phase=\"response_header\"" "Time-outs, by phase.";
        TimeoutResponseIdle: "cloudcup_timeouts" "phase=\"response_idle\"" "Time-outs, by phase.";
        TimeoutTunnelIdle: "cloudcup_timeouts" "phase=\"tunnel_idle\"" "Time-outs, by phase.";
        TimeoutRequest: "cloudcup_timeouts" "phase=\"request\"" "Time-outs, by phase.";
        TimeoutWaiting: "cloudcup_timeouts" "phase=\"waiting\"" "Time-outs, by phase.";
        MemberDown: "cloudcup_backend_transitions" "to=\"down\"" "Times this worker saw a backend change its state.";
        MemberUp: "cloudcup_backend_transitions" "to=\"up\"" "Times this worker saw a backend change its state.";
        ConnectionsLimit: "cloudcup_connections_limit_hit" "" "Connections turned away because the worker held as many as it may.";
        SourceLimit: "cloudcup_source_connections_limit_hit" "" "Connections turned away because their source held as many as it may.";
        HeaderBytesLimit: "cloudcup_header_bytes_limit_hit" "" "Messages whose head was larger than allowed.";
        HeaderFieldsLimit: "cloudcup_header_fields_limit_hit" "" "Messages with more fields than allowed.";
        BodyLimit: "cloudcup_body_bytes_limit_hit" "" "Requests whose body was larger than allowed.";
        WaitingLimit: "cloudcup_waiting_limit_hit" "" "Requests refused because as many as allowed already waited for a backend.";
        IdleLimit: "cloudcup_idle_connections_limit_hit" "" "Idle backend connections closed because enough were kept.";
        MemberLimit: "cloudcup_backend_connections_limit_hit" "" "Picks passed over a backend that had as many connections as allowed.";
        RetryLimit: "cloudcup_retries_limit_hit" "" "Requests not sent again because the retries were used up.";
        DescriptorLimit: "cloudcup_descriptors_limit_hit" "" "Sockets or pipes not made for lack of descriptors.";
        PipelineLimit: "cloudcup_pipeline_limit_hit" "" "Times a client's pipelined bytes had to wait because its buffer was full.";
        TurnLimit: "cloudcup_turn_limit_hit" "" "Turns that ended with work left because their budget was used up.";
        JobsLimit: "cloudcup_jobs_limit_hit" "" "Jobs for the thread pool done elsewhere or refused because its queue was full.";
        LinkLimit: "cloudcup_link_limit_hit" "" "Reports to the master dropped because the link was full.";
        BoardLimit: "cloudcup_board_lines_limit_hit" "" "Backends, pools or routes that found no line on the board.";
        LogLimit: "cloudcup_log_records_limit_hit" "" "Access records dropped because the ring to the writer was full.";
        LogWritten: "cloudcup_log_records" "result=\"written\"" "Access records, by outcome.";
        LogFailed: "cloudcup_log_records" "result=\"failed\"" "Access records, by outcome.";
        Turns: "cloudcup_loop_turns" "" "Turns of the event loop.";
        LoopBusy: "cloudcup_loop_busy_seconds" "" "Time that the event loops spent working, not waiting (on the board in µs).";
    }
}

columns! {
    /// What a worker holds at this moment.
    Gauge, GAUGES {
        FrontConnections: "cloudcup_connections" "side=\"front\"" "Open connections.";
        BackConnections: "cloudcup_connections" "side=\"back\"" "Open connections.";
        IdleFront: "cloudcup_idle_connections" "side=\"front\"" "Open connections with nothing to do.";
        IdleBack: "cloudcup_idle_connections" "side=\"back\"" "Open connections with nothing to do.";
        Exchanges: "cloudcup_exchanges" "" "Requests in progress.";
        Waiting: "cloudcup_waiting_requests" "" "Requests that wait for a backend.";
        TunnelsOpen: "cloudcup_tunnels_open" "" "Open tunnels.";
        Buffers: "cloudcup_buffers_in_use" "" "Buffer blocks in use.";
        ConnectionsMax: "cloudcup_connections_max" "" "Connections that the workers may hold.";
        Accepting: "cloudcup_workers_accepting" "" "Workers that accept connections now.";
    }
}

columns! {
    /// What a worker measures, in microseconds.
    Timing, TIMINGS {
        Request: "cloudcup_request_duration_seconds" "" "From the first byte of a request to the last of its response.";
        Upstream: "cloudcup_upstream_duration_seconds" "" "From the request sent to the head of the backend's response.";
        Connect: "cloudcup_connect_duration_seconds" "" "Until a new connection to a backend stood.";
    }
}

impl Counter {
    /// The counter of a status's class; unknown classes count as 5xx.
    pub const fn of_status(status: u16) -> Counter {
        match status / 100 {
            1 => Counter::Status1xx,
            2 => Counter::Status2xx,
            3 => Counter::Status3xx,
            4 => Counter::Status4xx,
            _ => Counter::Status5xx,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn check(columns: Vec<&'static Column>) {
        let mut seen = HashSet::new();
        let mut last = "";
        let mut pairs = HashSet::new();
        for column in columns {
            assert!(column.family.starts_with("cloudcup_"), "{}", column.family);
            assert!(column.help.ends_with('.'), "{}", column.help);
            if column.family != last {
                assert!(seen.insert(column.family), "{} stands apart", column.family);
                last = column.family;
            }
            assert!(pairs.insert((column.family, column.label)), "{} twice", column.family);
        }
    }

    #[test]
    fn families_stand_together_and_columns_are_unique() {
        let all = |c: &[Counter]| c.iter().map(|c| c.column()).collect::<Vec<_>>();
        check(
            all(Counter::ALL)
                .into_iter()
                .chain(Gauge::ALL.iter().map(|g| g.column()))
                .chain(Timing::ALL.iter().map(|t| t.column()))
                .collect(),
        );
    }

    #[test]
    fn statuses_find_their_class() {
        assert_eq!(Counter::of_status(101), Counter::Status1xx);
        assert_eq!(Counter::of_status(204), Counter::Status2xx);
        assert_eq!(Counter::of_status(308), Counter::Status3xx);
        assert_eq!(Counter::of_status(404), Counter::Status4xx);
        assert_eq!(Counter::of_status(503), Counter::Status5xx);
        assert_eq!(Counter::of_status(0), Counter::Status5xx);
        assert_eq!(Counter::Accepted.index(), 0);
    }
}
