//! What a handler logs says which job it was.

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use windlass::{Job, Windlass};

#[derive(Serialize, Deserialize, Job)]
#[job(name = "spoken")]
struct Spoken;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn spans_carry_queue_job_type_id_and_attempt() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let windlass = Windlass::connect("memory:").await.unwrap();
    let queue = windlass.queue("q").declare().await.unwrap();
    let speak = |_: Spoken| async { tracing::info!("here") };
    let handle = queue.enqueue(Spoken).await.unwrap();
    let worker = windlass.worker().queue(&queue).handle(speak).start().await.unwrap();
    handle.wait().await.unwrap();
    worker.stop().await;

    let said = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let span = format!("job{{queue=q job_type=spoken id={} attempt=1}}", handle.id());
    let line = said.lines().find(|line| line.ends_with("here")).unwrap_or_default();
    assert!(line.contains(&span), "{said}");
}
