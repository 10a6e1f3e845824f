//! Parts of a workload that run in processes of their own.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::options::{Options, Retention, Workload};

/// This program, started again on the same store with another workload.
fn again(options: &Options, workload: Workload) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg(workload.name())
        .args(["--store", &options.store])
        .args(["--jobs", &options.jobs.to_string()])
        .args(["--payload", &options.payload.to_string()])
        .args(["--keys", &options.keys.to_string()])
        .kill_on_drop(true);
    if options.retention == Retention::Remove {
        command.args(["--retention", "remove"]);
    }
    if let Some(concurrency) = options.concurrency {
        command.args(["--concurrency", &concurrency.to_string()]);
    }
    Ok(command)
}

/// Has another process fill the store, so that its memory is not counted as
/// the worker's.
pub(crate) async fn load(options: &Options, workload: Workload) -> Result<()> {
    let status = again(options, workload)?.stdout(Stdio::null()).status().await?;
    ensure!(status.success(), "the process that fills the store failed");
    Ok(())
}

/// A worker in a process of its own. It says a line when it is ready, begins
/// when it is told a line, and ends when it is told another.
pub(crate) struct Worker {
    child: Child,
    tell: ChildStdin,
    says: Lines<BufReader<ChildStdout>>,
}

impl Worker {
    pub(crate) async fn start(options: &Options) -> Result<Self> {
        let mut child =
            again(options, Workload::Work)?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let tell = child.stdin.take().context("a worker without a standard input")?;
        let out = child.stdout.take().context("a worker without a standard output")?;
        let mut worker = Self { child, tell, says: BufReader::new(out).lines() };
        worker.hear().await?;
        Ok(worker)
    }

    /// Tells it to go on to its next stage.
    pub(crate) async fn go(&mut self) -> Result<()> {
        Ok(self.tell.write_all(b"\n").await?)
    }

    /// The next line that it says.
    pub(crate) async fn hear(&mut self) -> Result<String> {
        self.says.next_line().await?.context("a worker process ended early")
    }

    /// Waits for its end.
    pub(crate) async fn end(mut self) -> Result<()> {
        drop(self.tell);
        ensure!(self.child.wait().await?.success(), "a worker process failed");
        Ok(())
    }
}
