//! A server that is spoken to by TLS, and known by a root certificate of one's own.

use std::path::Path;
use std::process::Command;

use windlass_core::Backend;
use windlass_core::ErrorKind;
use windlass_core::model::Interest;
use windlass_redis::redis::TlsCertificates;
use windlass_redis::{RedisBackend, RedisConfig};

use crate::connections::hears;
use crate::fixture::*;
use crate::program::{Program, free_port};

/// Makes a root certificate, and one of a server that it vouches for, in a folder.
fn make_certificates(folder: &Path) {
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        command.args(arguments.split(' ')).current_dir(folder);
        let output = command.output().expect("openssl is installed (Debian: openssl)");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments}: {said}");
    };
    std::fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1").unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {key} -days 2 -subj /CN=root -keyout root.key -out root.pem"));
    openssl(&format!("req -new {key} -subj /CN=server -keyout server.key -out server.csr"));
    openssl(
        "x509 -req -in server.csr -CA root.pem -CAkey root.key -CAcreateserial -days 2 \
         -extfile names -out server.pem",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_reached_by_tls_and_one_that_nobody_vouches_for_is_not() {
    let folder = tempfile::tempdir().unwrap();
    make_certificates(folder.path());
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let (root, certificate, key) = (read("root.pem"), read("server.pem"), read("server.key"));
    let port = free_port();
    let files = [("root.pem", &*root), ("server.pem", &*certificate), ("server.key", &*key)];
    let tls_port = port.to_string();
    let _server = Program::run(
        &files,
        &[
            ["--port", "0", "--bind", "127.0.0.1"],
            ["--save", "", "--tls-port", &tls_port],
            ["--tls-cert-file", "server.pem", "--tls-key-file", "server.key"],
            ["--tls-ca-cert-file", "root.pem", "--tls-auth-clients", "no"],
        ]
        .concat(),
    );
    let mut config = RedisConfig::parse(&format!("rediss://127.0.0.1:{port}")).unwrap();
    config.certificates = Some(TlsCertificates { client_tls: None, root_cert: Some(root.into()) });
    let backend = connect(config.clone()).await;
    backend.declare(&spec()).await.unwrap();
    let mut stream = backend.watch(Interest::Work);
    enqueue(&backend, jobs(3)).await;
    let leased = take(&backend, 10).await;
    assert_eq!(leased.len(), 3);
    apply(&backend, leased.iter().map(done).collect()).await;
    hears(&mut stream, &connect(config.clone()).await).await;

    // The operating system has never heard of that root.
    config.certificates = None;
    config.patience = std::time::Duration::from_millis(100);
    let error = RedisBackend::connect(config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:#}");
    assert!(format!("{error:#}").to_lowercase().contains("certificate"), "{error:#}");
}
