//! Disturbs the store: runs commands at random moments, one at a time.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use windlass::model::Timestamp;

use crate::Failure;
use crate::fact::machine_time;
use crate::judge::Disturbance;

/// What is to be done to the store, again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// A command for the shell.
    pub(crate) command: String,
    /// How often it is to be run, on average; the first time within that.
    pub(crate) every: Duration,
}

/// Runs commands when it is time.
#[derive(Debug)]
pub(crate) struct Disturber {
    troubles: Vec<(Trouble, Instant)>,
    under_way: Option<UnderWay>,
    done: Vec<Disturbance>,
    /// What the commands say.
    log: PathBuf,
}

#[derive(Debug)]
struct UnderWay {
    command: String,
    begin: Timestamp,
    child: Child,
}

impl Disturber {
    /// One that keeps what commands say in this folder.
    pub(crate) fn new(troubles: &[Trouble], folder: &Path, random: &mut fastrand::Rng) -> Self {
        let now = Instant::now();
        let mut first =
            |trouble: &Trouble| (trouble.clone(), now + share(trouble, 0..=100, random));
        let troubles = troubles.iter().map(&mut first).collect();
        let log = folder.join("disturbances.log");
        Self { troubles, under_way: None, done: Vec::new(), log }
    }

    /// Whether there is anything that it may do.
    pub(crate) fn is_idle(&self) -> bool {
        self.troubles.is_empty()
    }

    /// Notices that a command has come to its end, and begins the next one that
    /// is due.
    pub(crate) fn look(&mut self, random: &mut fastrand::Rng) -> Result<(), Failure> {
        if self.is_under_way()? {
            return Ok(());
        }
        let now = Instant::now();
        let due = self.troubles.iter_mut().filter(|(_, next)| *next <= now);
        let Some((trouble, next)) = due.min_by_key(|(_, next)| *next) else { return Ok(()) };
        *next = now + share(trouble, 50..=150, random);
        let command = trouble.command.clone();
        eprintln!("now: {command}");
        let log = OpenOptions::new().create(true).append(true).open(&self.log)?;
        let child = begin(&command, log)?;
        self.under_way = Some(UnderWay { command, begin: machine_time(), child });
        Ok(())
    }

    /// Whether a command has begun and not ended.
    pub(crate) fn is_under_way(&mut self) -> Result<bool, Failure> {
        let Some(mut under_way) = self.under_way.take() else { return Ok(false) };
        let Some(status) = under_way.child.try_wait()? else {
            self.under_way = Some(under_way);
            return Ok(true);
        };
        let UnderWay { command, begin, .. } = under_way;
        if !status.success() {
            let said = std::fs::read_to_string(&self.log).unwrap_or_default();
            return Err(format!("{command} failed with {status}, having said: {said}").into());
        }
        self.done.push(Disturbance { command, begin, end: machine_time() });
        Ok(false)
    }

    /// What has been done to the store.
    pub(crate) fn done(&self) -> &[Disturbance] {
        &self.done
    }
}

impl Drop for Disturber {
    /// A server that is half-way through a restart would stay so: what has begun
    /// comes to its end, whatever became of the run.
    fn drop(&mut self) {
        if let Some(under_way) = &mut self.under_way {
            let _ = under_way.child.wait();
        }
    }
}

fn begin(command: &str, log: File) -> Result<Child, Failure> {
    let child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    Ok(child)
}

/// A random share of how often something is to be done, in percent.
fn share(
    trouble: &Trouble,
    percent: std::ops::RangeInclusive<u32>,
    random: &mut fastrand::Rng,
) -> Duration {
    trouble.every * random.u32(percent) / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disturber(command: &str, folder: &Path, random: &mut fastrand::Rng) -> Disturber {
        let trouble = Trouble { command: command.to_owned(), every: Duration::ZERO };
        Disturber::new(&[trouble], folder, random)
    }

    /// Begins one command and lets it come to its end.
    fn run(disturber: &mut Disturber, random: &mut fastrand::Rng) -> Result<(), Failure> {
        disturber.look(random)?;
        disturber.under_way.as_mut().unwrap().child.wait()?;
        disturber.is_under_way().map(|_| ())
    }

    #[test]
    fn commands_are_run_again_and_again_and_what_they_say_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut random = fastrand::Rng::with_seed(1);
        let mut disturber = disturber("echo done to it", folder.path(), &mut random);
        for _ in 0..2 {
            run(&mut disturber, &mut random).unwrap();
        }
        assert_eq!(disturber.done().len(), 2);
        let said = std::fs::read_to_string(&disturber.log).unwrap();
        assert_eq!(said, "done to it\ndone to it\n");
    }

    #[test]
    fn a_command_that_fails_is_no_disturbance_but_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let mut random = fastrand::Rng::with_seed(1);
        let mut disturber = disturber("echo no server; false", folder.path(), &mut random);
        let error = run(&mut disturber, &mut random).unwrap_err().to_string();
        assert!(error.contains("no server"), "{error}");
        assert!(disturber.done().is_empty());
    }

    #[test]
    fn nothing_is_done_before_it_is_time() {
        let folder = tempfile::tempdir().unwrap();
        let mut random = fastrand::Rng::with_seed(1);
        let trouble = Trouble { command: "true".to_owned(), every: Duration::from_secs(86_400) };
        let mut disturber = Disturber::new(&[trouble], folder.path(), &mut random);
        disturber.look(&mut random).unwrap();
        assert!(!disturber.is_under_way().unwrap());
    }
}
