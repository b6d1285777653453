//! Numbers of one run, their transport between processes as a line of text, and medians over rounds.

/// What a load saw.
#[derive(Default, Clone, Debug)]
pub struct Outcome {
    /// Answers that were complete and right.
    pub requests: u64,
    /// Everything else.
    pub errors: u64,
    /// From the first request to the end.
    pub seconds: f64,
    /// Latency of each answer in microseconds (within the process that measured).
    pub micros: Vec<u32>,
    /// 50th, 99th and 99.9th percentile in microseconds.
    pub percentiles: [u32; 3],
}

impl Outcome {
    /// One line: requests, errors, seconds, percentiles.
    pub fn line(&mut self) -> String {
        self.micros.sort_unstable();
        let at = |share: f64| percentile(&self.micros, share);
        let [p50, p99, p999] = [at(0.5), at(0.99), at(0.999)];
        format!("{} {} {:.6} {p50} {p99} {p999}", self.requests, self.errors, self.seconds)
    }

    /// Reads such a line.
    pub fn parse(line: &str) -> Option<Outcome> {
        let mut words = line.split_whitespace();
        let mut number = || words.next()?.parse::<f64>().ok();
        let (requests, errors) = (number()? as u64, number()? as u64);
        let seconds = number()?;
        let percentiles = [number()? as u32, number()? as u32, number()? as u32];
        Some(Outcome { requests, errors, seconds, micros: Vec::new(), percentiles })
    }

    /// Requests per second.
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds
    }
}

/// The value below which `share` of the sorted values lie.
pub fn percentile(sorted: &[u32], share: f64) -> u32 {
    let index = ((sorted.len() as f64) * share).ceil() as usize;
    sorted.get(index.saturating_sub(1)).copied().unwrap_or(0)
}

/// Median, least and most.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spread {
    /// The middle value.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The greatest.
    pub most: f64,
}

impl Spread {
    /// Of some values; zeros when there are none.
    pub fn of(values: &[f64]) -> Spread {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let Some(last) = sorted.len().checked_sub(1) else { return Spread::default() };
        let median = (sorted[last / 2] + sorted[sorted.len() / 2]) / 2.0;
        Spread { median, least: sorted[0], most: sorted[last] }
    }
}
