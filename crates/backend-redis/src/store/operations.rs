//! Which operation a call is, and calls whose callers went away.
//!
//! Each changing call has a number, and one of a few slots while it is under way. The
//! server keeps, for each client and slot, the last number and what it answered
//! (`src/scripts/shared/write.lua`): a call that is made again because its answer was lost
//! is recognised, and gets the same answer.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use uuid::Uuid;

/// The calls of one client.
#[derive(Clone, Debug)]
pub(super) struct Operations {
    client: Arc<str>,
    slots: Arc<Mutex<Slots>>,
}

#[derive(Debug, Default)]
struct Slots {
    last: u64,
    free: Vec<u32>,
    made: u32,
}

/// A call that is under way.
#[derive(Debug)]
pub(super) struct Operation {
    number: u64,
    slot: u32,
    slots: Arc<Mutex<Slots>>,
}

impl Default for Operations {
    fn default() -> Self {
        Self {
            // Random, so that no two clients ever share their numbers.
            client: Uuid::from_u128(random()).simple().to_string().into(),
            slots: Arc::default(),
        }
    }
}

/// Bits that no other client has: the standard library's keys for hash tables are
/// random for each process and thread.
fn random() -> u128 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let half = || {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u32(std::process::id());
        u128::from(hasher.finish())
    };
    half() << 64 | half()
}

impl Operations {
    pub(super) fn client(&self) -> &str {
        &self.client
    }

    pub(super) fn begin(&self) -> Operation {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.free.pop().unwrap_or_else(|| {
            slots.made += 1;
            slots.made
        });
        // Under the lock: the numbers of a slot rise.
        slots.last += 1;
        let number = slots.last;
        Operation { number, slot, slots: Arc::clone(&self.slots) }
    }

    /// Runs a call to its end once it has begun, whether or not anybody waits for it.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        call: impl Future<Output = T> + Send + 'static,
    ) -> T {
        Attended { call: Some(Box::pin(call)), has_begun: false }.await
    }
}

impl Operation {
    pub(super) fn slot(&self) -> u32 {
        self.slot
    }

    pub(super) fn number(&self) -> [u8; 8] {
        self.number.to_be_bytes()
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).free.push(self.slot);
    }
}

/// A call that somebody waits for. What was sent goes on at the server all the same: if
/// nobody waits any more, a task of its own sees to its end, and to its slot.
struct Attended<T: Send + 'static> {
    /// Absent once it has come to its end.
    call: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    has_begun: bool,
}

impl<T: Send + 'static> Future for Attended<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        self.has_begun = true;
        let Some(call) = self.call.as_mut() else { return Poll::Pending };
        let answer = call.as_mut().poll(context);
        if answer.is_ready() {
            self.call = None;
        }
        answer
    }
}

impl<T: Send + 'static> Drop for Attended<T> {
    fn drop(&mut self) {
        let Some(call) = self.call.take().filter(|_| self.has_begun) else { return };
        // Where the runtime has ended, so have its connections.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(call);
        }
    }
}
