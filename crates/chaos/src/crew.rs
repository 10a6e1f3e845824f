//! Processes: started, killed, stopped, continued, and noticed when they end.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use windlass::model::Timestamp;

use crate::Failure;
use crate::fact::{self, Noted};
use crate::judge::{Died, Process};

/// What a process is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duty {
    Worker,
    Producer,
}

impl Duty {
    const fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Producer => "producer",
        }
    }
}

/// What every process of a run is told.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) store: String,
    pub(crate) folder: PathBuf,
    pub(crate) seed: u64,
    pub(crate) lease: Duration,
}

/// A place in the crew, and the process that has it now.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) duty: Duty,
    index: u32,
    /// How many processes have had it.
    began: u32,
    name: String,
    child: Child,
    /// The process ends when this is dropped.
    stdin: Option<ChildStdin>,
    /// When it is to be continued, if it is stopped.
    pub(crate) stopped_until: Option<Instant>,
}

impl Post {
    /// Starts the first process of a place.
    ///
    /// To be called from the main thread: a process is killed when the thread
    /// ends that started it.
    pub(crate) fn begin(setting: &Setting, duty: Duty, index: u32) -> Result<Self, Failure> {
        let (name, mut child) = spawn(setting, duty, index, 0)?;
        let stdin = child.stdin.take();
        Ok(Self { duty, index, began: 1, name, child, stdin, stopped_until: None })
    }

    /// Starts the next one, after the last one has ended.
    pub(crate) fn begin_anew(&mut self, setting: &Setting) -> Result<(), Failure> {
        let (name, mut child) = spawn(setting, self.duty, self.index, self.began)?;
        self.began += 1;
        self.stdin = child.stdin.take();
        (self.name, self.child, self.stopped_until) = (name, child, None);
        Ok(())
    }

    /// Kills it and waits until it is gone. Answers how it came to its end: it
    /// may have been faster.
    pub(crate) fn kill(&mut self) -> Result<ExitStatus, Failure> {
        self.child.kill()?;
        Ok(self.child.wait()?)
    }

    pub(crate) fn stop(&mut self, length: Duration) -> Result<(), Failure> {
        kill_process(self.pid(), Signal::STOP)?;
        self.stopped_until = Some(Instant::now() + length);
        Ok(())
    }

    pub(crate) fn carry_on(&mut self) -> Result<(), Failure> {
        self.stopped_until = None;
        Ok(kill_process(self.pid(), Signal::CONT)?)
    }

    /// Tells it to end.
    pub(crate) fn dismiss(&mut self) {
        self.stdin = None;
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>, Failure> {
        Ok(self.child.try_wait()?)
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// What the process has written down so far.
    pub(crate) fn facts(&self, setting: &Setting) -> Result<Vec<Noted>, Failure> {
        let [history, _] = paths(&setting.folder, &self.name);
        // One that was killed before it began has none.
        if history.exists() { fact::read(&history) } else { Ok(Vec::new()) }
    }

    /// What the process that has ended has left behind.
    pub(crate) fn legacy(&self, setting: &Setting, died: Died) -> Result<Process, Failure> {
        let [_, log] = paths(&setting.folder, &self.name);
        let facts = self.facts(setting)?;
        let said =
            String::from_utf8_lossy(&std::fs::read(log)?).lines().map(str::to_owned).collect();
        Ok(Process { name: self.name.clone(), facts, died, said })
    }
}

impl Drop for Post {
    /// Leaves nobody behind, whatever became of the run.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a process that nobody told to end came to its end.
pub(crate) fn by_itself(status: ExitStatus, now: Timestamp) -> Died {
    match status.signal() {
        Some(signal) if signal == Signal::ABORT.as_raw() => Died::Aborted(now),
        _ => Died::Unexpected,
    }
}

fn paths(folder: &Path, name: &str) -> [PathBuf; 2] {
    [folder.join(format!("{name}.jsonl")), folder.join(format!("{name}.log"))]
}

fn spawn(setting: &Setting, duty: Duty, index: u32, nth: u32) -> Result<(String, Child), Failure> {
    let name = format!("{}-{index}-{nth}", duty.name());
    let [history, log] = paths(&setting.folder, &name);
    let seed = setting.seed ^ (u64::from(index) << 32 | u64::from(nth) << 8 | duty as u64);
    let child = Command::new(std::env::current_exe()?)
        .arg(duty.name())
        .args(["--store", &setting.store])
        .arg("--history")
        .arg(history)
        .args(["--index", &index.to_string(), "--seed", &seed.to_string()])
        .args(["--lease-ms", &setting.lease.as_millis().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(File::create(log)?)
        .spawn()?;
    Ok((name, child))
}
