//! A server's program that a test runs by itself, with settings of its own.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A process of `redis-server`, or of `valkey-server`, killed at the end.
pub(crate) struct Program {
    child: Child,
    arguments: Vec<String>,
    folder: tempfile::TempDir,
}

/// A port that nobody listens on now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    listener.local_addr().expect("its own address").port()
}

impl Program {
    /// Runs it in an empty folder, where these files are put first, with these arguments.
    pub(crate) fn run(files: &[(&str, &str)], arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).expect("a file is written");
        }
        let arguments: Vec<String> = arguments.iter().map(|one| (*one).to_owned()).collect();
        let child = start(folder.path(), &arguments);
        Self { child, arguments, folder }
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it is ours");
    }

    /// Runs it again after it was killed.
    pub(crate) fn again(&mut self) {
        self.child = start(self.folder.path(), &self.arguments);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = (self.child.kill(), self.child.wait());
    }
}

fn start(folder: &Path, arguments: &[String]) -> Child {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let program = ["redis-server", "valkey-server"]
        .into_iter()
        .find(|name| std::env::split_paths(&path).any(|folder| folder.join(name).is_file()))
        .expect("redis-server is installed; scripts/services sees to it");
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder);
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.spawn().expect("the server starts")
}
