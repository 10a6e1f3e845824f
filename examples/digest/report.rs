//! The manifest and the summary.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{BinaryBytes, HumanCount};
use serde_json::json;
use windlass::Job;
use windlass::model::{Detail, Direction, Filter, FlowId, JobsQuery, State};

use crate::hash::{DigestDirectory, DigestFile, Digested};
use crate::run::{Begun, Finished, Run, root_key};

/// What a run came to.
#[derive(Default)]
pub struct Report {
    /// Path and digest, by path.
    files: Vec<(Vec<u8>, String)>,
    failures: Vec<String>,
    root: Option<String>,
    bytes: u64,
    jobs: u64,
    retries: u64,
}

/// Reads what the jobs of a run came to.
pub async fn collect(run: &Run, finished: Finished) -> anyhow::Result<Report> {
    let client = run.queue.client();
    let mut report = Report::default();
    let root = client.handle_by_key(run.queue.name().as_str(), &root_key(run.id()))?.id();
    if finished == Finished::NotScanned {
        let scan = client.job(&run.scan()).await?;
        let error = scan.and_then(|scan| scan.course.errors.into_iter().next_back());
        let why = error.map_or_else(|| "it was cancelled".to_owned(), |error| error.message);
        report.failures.push(format!("the tree could not be scanned: {why}"));
    }
    let flow = Some(FlowId::from_bytes(*run.id().as_bytes()));
    let mut query = JobsQuery {
        filter: Filter { flow, ..run.queue.filter() },
        direction: Direction::OldestFirst,
        after: None,
        limit: 1000,
        detail: Detail::Full,
    };
    loop {
        let page = client.jobs(query.clone()).await?;
        for job in page.jobs {
            report.jobs += 1;
            let errors = job.course.errors.len() as u64;
            report.retries += errors.saturating_sub(u64::from(job.state == State::Failed));
            let payload = job.payload.unwrap_or_default();
            let digested: Option<Digested> = match &job.result {
                Some(result) => serde_json::from_slice(result.as_slice())?,
                None => None,
            };
            match digested {
                Some(digested) if job.job_type.as_str() == DigestFile::NAME => {
                    let file: DigestFile = serde_json::from_slice(payload.as_slice())?;
                    report.bytes += digested.bytes;
                    report.files.push((file.path.as_slice().to_vec(), digested.sha256));
                }
                Some(digested) if job.id == root => report.root = Some(digested.sha256),
                Some(_) => debug_assert_eq!(job.job_type.as_str(), DigestDirectory::NAME),
                None => {
                    let error = job.course.errors.into_iter().next_back();
                    let why = error.map_or_else(|| job.state.to_string(), |error| error.message);
                    report.failures.push(why);
                }
            }
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    report.files.sort();
    Ok(report)
}

impl Report {
    /// Whether everything was digested.
    pub fn is_clean(&self) -> bool {
        self.failures.is_empty()
    }

    /// Writes what sha256sum would print for the files, sorted by path. The
    /// file is complete or not there at all.
    pub fn write_manifest(&self, path: &Path) -> anyhow::Result<()> {
        let write = || -> std::io::Result<()> {
            let mut part = path.as_os_str().to_owned();
            part.push(format!(".{}.part", std::process::id()));
            let mut out = BufWriter::new(File::create(&part)?);
            for (name, sha256) in &self.files {
                write_line(&mut out, name, sha256)?;
            }
            out.into_inner()?.sync_all()?;
            std::fs::rename(part, path)
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }

    /// Prints the summary for a program.
    pub fn print_json(&self, work: &Work, begun: Begun) -> anyhow::Result<()> {
        let summary = json!({
            "files": self.files.len(),
            "bytes": self.bytes,
            "jobs": self.jobs,
            "retries": self.retries,
            "failures": self.failures,
            "root": self.root,
            "resumed": begun == Begun::Before,
            "settled_here": work.settled,
            "seconds": work.took.as_secs_f64(),
            "jobs_per_s": work.rate(),
        });
        println!("{}", serde_json::to_string(&summary)?);
        Ok(())
    }

    /// Prints the summary for a person.
    pub fn print(&self, work: &Work) {
        for failure in &self.failures {
            eprintln!("failed: {failure}");
        }
        println!(
            "{} files, {}, {} jobs, {} retries, {} failed",
            HumanCount(self.files.len() as u64),
            BinaryBytes(self.bytes),
            HumanCount(self.jobs),
            self.retries,
            self.failures.len()
        );
        let (settled, took) = (HumanCount(work.settled), work.took);
        println!("{settled} jobs in {took:.1?} in this process: {:.0} jobs/s", work.rate());
        if let Some(root) = &self.root {
            println!("root {root}");
        }
    }
}

/// What this process has done.
pub struct Work {
    /// How many jobs it has settled.
    pub settled: u64,
    /// How long that took.
    pub took: Duration,
}

impl Work {
    fn rate(&self) -> f64 {
        self.settled as f64 / self.took.as_secs_f64().max(1e-9)
    }
}

/// A line as sha256sum writes it: a name with a backslash, a newline or a
/// carriage return is escaped, and the line then begins with a backslash.
fn write_line(out: &mut impl Write, name: &[u8], sha256: &str) -> std::io::Result<()> {
    let special = |byte: &u8| matches!(byte, b'\\' | b'\n' | b'\r');
    if !name.iter().any(special) {
        write!(out, "{sha256}  ")?;
        out.write_all(name)?;
        return out.write_all(b"\n");
    }
    write!(out, "\\{sha256}  ")?;
    for &byte in name {
        match byte {
            b'\\' => out.write_all(b"\\\\")?,
            b'\n' => out.write_all(b"\\n")?,
            b'\r' => out.write_all(b"\\r")?,
            other => out.write_all(&[other])?,
        }
    }
    out.write_all(b"\n")
}
