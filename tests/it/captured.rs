//! What the process logs.

use std::io::Write;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Everything that is logged in this process from the first call on, at every
/// level, also by threads of a backend.
pub(crate) fn capture() -> &'static Mutex<Vec<u8>> {
    static LOG: OnceLock<Mutex<Vec<u8>>> = OnceLock::new();
    struct Lines;
    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            capture().lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut first = false;
    let log = LOG.get_or_init(|| {
        first = true;
        Mutex::default()
    });
    if first {
        let every_level = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::TRACE)
            .with_writer(|| Lines);
        every_level.init();
    }
    log
}

/// What was logged so far.
pub(crate) fn logged() -> String {
    let log = capture().lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&log).into_owned()
}
