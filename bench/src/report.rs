//! What is printed: one line of JSON.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::options::{Options, Retention};

/// One measurement. What does not apply to a workload is left out.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    workload: String,
    store: String,
    pub(crate) jobs: u64,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    jobs_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p50_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p99_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_ms: Option<f64>,
    peak_rss_mb: f64,
    /// Calls of the backend by the measured process while it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) round_trips: Option<u64>,
    retention: &'static str,
    /// What only this workload has to tell.
    #[serde(flatten)]
    more: Map<String, Value>,
}

impl Report {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            workload: options.workload.name(),
            store: options.scheme().to_owned(),
            retention: match options.retention {
                Retention::Default => "default",
                Retention::Remove => "remove",
            },
            ..Self::default()
        }
    }

    /// So many jobs took so long.
    pub(crate) fn rate(mut self, jobs: usize, took: Duration) -> Self {
        self.jobs = jobs as u64;
        self.seconds = round(took.as_secs_f64());
        self.jobs_per_s = Some(per_second(jobs, took));
        self
    }

    /// Each of these jobs took so long.
    pub(crate) fn latencies(mut self, each: Vec<Duration>, took: Duration) -> Self {
        let at = |part: f64| percentile(each.clone(), part);
        self.jobs = each.len() as u64;
        self.seconds = round(took.as_secs_f64());
        (self.p50_ms, self.p99_ms, self.max_ms) = (at(0.5), at(0.99), at(1.0));
        self
    }

    pub(crate) fn round_trips(mut self, count: u64) -> Self {
        self.round_trips = Some(count);
        self
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// Prints it, with the most memory that this process has had.
    pub(crate) fn print(mut self) -> anyhow::Result<()> {
        self.peak_rss_mb = round(peak_rss_mb()?);
        println!("{}", serde_json::to_string(&self)?);
        Ok(())
    }
}

/// What so large a part of them does not exceed, in milliseconds.
pub(crate) fn percentile(mut each: Vec<Duration>, part: f64) -> Option<f64> {
    each.sort_unstable();
    let index = ((each.len() as f64 * part) as usize).min(each.len().saturating_sub(1));
    each.get(index).map(|took| round(took.as_secs_f64() * 1000.0))
}

/// Jobs per second, whole.
pub(crate) fn per_second(jobs: usize, took: Duration) -> f64 {
    (jobs as f64 / took.as_secs_f64()).round()
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// The high-water mark of this process's resident memory, as Linux counts it.
fn peak_rss_mb() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kib.unwrap_or("0").trim().parse::<f64>()? / 1024.0)
}
