//! Servers of a test's own, which it may harm.

use std::path::Path;
use std::process::Command;

use crate::server::Server;

/// Servers that nobody else uses, removed at the end.
pub(crate) struct Own {
    instance: &'static str,
    pub(crate) server: Server,
}

impl Own {
    /// Starts a service of `scripts/services` under a name that no other test uses.
    pub(crate) fn start(instance: &'static str, service: &str) -> Self {
        let said = services(instance, &["--only", service, "start"]);
        let named = |names: [&str; 2]| {
            let find = |name: &str| {
                let start = format!("export {name}=");
                said.lines().find_map(|line| line.strip_prefix(&start))
            };
            names.into_iter().find_map(find).expect("services tells a URL").to_owned()
        };
        let url = named(["REDIS_URL", "WINDLASS_TEST_REDIS_CLUSTER_URL"]);
        let admin =
            named(["WINDLASS_TEST_REDIS_ADMIN_URL", "WINDLASS_TEST_REDIS_CLUSTER_ADMIN_URL"]);
        Self { instance, server: Server::at(&url, &admin) }
    }

    /// Does to them what `scripts/services` can, while the test goes on; answers what it
    /// says.
    pub(crate) async fn harm(&self, what: &'static str) -> String {
        let instance = self.instance;
        let arguments: Vec<&str> = what.split(' ').collect();
        let done = tokio::task::spawn_blocking(move || services(instance, &arguments));
        done.await.expect("scripts/services can be run").trim().to_owned()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        services(self.instance, &["remove"]);
    }
}

fn services(instance: &str, arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/services");
    let output = Command::new(script)
        .args(["--instance", instance])
        .args(arguments)
        // The servers of the other tests are not to be harmed.
        .env_remove("REDIS_URL")
        .env_remove("WINDLASS_TEST_REDIS_CLUSTER_URL")
        .output()
        .expect("scripts/services can be run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "services {arguments:?}: {said}");
    String::from_utf8(output.stdout).expect("text")
}
