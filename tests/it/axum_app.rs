//! The `axum_app` example as a real process that is asked over the network.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::digest::example;

struct App {
    _folder: TempDir,
    child: Child,
    stdout: BufReader<ChildStdout>,
    address: String,
}

impl Drop for App {
    fn drop(&mut self) {
        // It has ended already, unless a test failed half-way.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl App {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(example("axum_app"))
            .arg(folder.path().join("shop.db"))
            .arg("127.0.0.1:0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap_or_default().to_owned();
        assert!(!address.is_empty(), "it said {line:?}");
        Self { _folder: folder, child, stdout, address }
    }

    /// Answers with the status and the body.
    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        // Only so that a test that fails does not hang.
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    fn order(&self, item: &str, quantity: u32) -> (u16, String) {
        let order = json!({ "item": item, "quantity": quantity });
        self.ask("POST", "/orders", &order.to_string())
    }

    fn counts(&self) -> Value {
        let (status, body) = self.ask("GET", "/orders", "");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Asks it to stop as a service manager does, and answers with what it
    /// said last.
    fn stop(mut self) -> String {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let mut said = String::new();
        self.stdout.read_to_string(&mut said).unwrap();
        assert!(self.child.wait().unwrap().success(), "{said}");
        said
    }
}

#[test]
fn an_order_and_its_job_are_there_together_and_the_job_runs() {
    let app = App::start();
    assert_eq!(app.order("teapot", 2), (201, r#"{"order":1}"#.to_owned()));
    let confirmed = app.ask("GET", "/orders/1/confirmation", "");
    assert_eq!(confirmed, (200, r#""order 1 is confirmed""#.to_owned()));
    assert_eq!(app.counts(), json!({ "orders": 1, "confirmed": 1, "jobs": 1 }));
    assert!(app.stop().contains("stopped; "));
}

#[test]
fn a_request_whose_transaction_rolls_back_leaves_neither_order_nor_job() {
    let app = App::start();
    // There are three teapots, and the order is stored before they are
    // counted.
    assert_eq!(app.order("teapot", 4).0, 409);
    assert_eq!(app.order("kettle", 1).0, 409);
    assert_eq!(app.counts(), json!({ "orders": 0, "confirmed": 0, "jobs": 0 }));
    assert_eq!(app.ask("GET", "/orders/1/confirmation", "").0, 404);

    assert_eq!(app.order("teapot", 3).0, 201);
    assert_eq!(app.order("teapot", 1).0, 409);
    assert_eq!(app.ask("GET", "/orders/1/confirmation", "").0, 200);
    assert_eq!(app.counts(), json!({ "orders": 1, "confirmed": 1, "jobs": 1 }));
    app.stop();
}

#[test]
fn a_request_that_makes_no_sense_is_refused_before_the_store_is_touched() {
    let app = App::start();
    assert_eq!(app.ask("POST", "/orders", "teapot").0, 400);
    assert_eq!(app.ask("POST", "/orders", r#"{"item": "teapot"}"#).0, 422);
    assert_eq!(app.counts(), json!({ "orders": 0, "confirmed": 0, "jobs": 0 }));
    app.stop();
}
