//! Batching without waiting.
//!
//! A call goes out at once when nothing is under way; calls that come in
//! meanwhile go together in the next one. So a lone caller waits for nobody,
//! many callers share round trips, and no timer or batch size is there to be
//! tuned.
//!
//! A store that answers without suspending is never under way: each caller is
//! served on its own thread, and there is nothing to share.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};

use futures_util::future::BoxFuture;
use tokio::runtime::{Handle, Id};
use tokio::sync::oneshot;

/// How much goes in one call at most, in whatever the callers weigh.
const MAX_WEIGHT: usize = 10_000;

/// How many turns of the scheduler a batch waits for callers at most.
const TURNS: usize = 8;

/// One caller's part of a batch.
pub(crate) struct Call<I, O> {
    /// What it wants.
    pub(crate) input: I,
    /// Where the answer goes. A caller that has gone away is no error.
    pub(crate) reply: oneshot::Sender<O>,
    weight: usize,
}

type Flush<I, O> = dyn Fn(Vec<Call<I, O>>) -> BoxFuture<'static, ()> + Send + Sync;

/// Collects calls and carries them out together.
pub(crate) struct Batcher<I, O> {
    flush: Box<Flush<I, O>>,
    state: Mutex<State<I, O>>,
    /// Whether something was under way a moment ago, for those who need not wait
    /// for the lock to know. Who is wrong about it goes alone, or looks again.
    busy: AtomicBool,
}

struct State<I, O> {
    waiting: VecDeque<Call<I, O>>,
    /// The runtime whose task carries out what waits, if there is one. Only
    /// callers of the same runtime wait for it: another one may stand still
    /// while they do not.
    under_way: Option<Id>,
}

impl<I: Send + 'static, O: Send + 'static> Batcher<I, O> {
    /// A batcher that hands each batch to `flush`, one at a time as long as
    /// `flush` suspends.
    pub(crate) fn new(
        flush: impl Fn(Vec<Call<I, O>>) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Arc<Self> {
        let state = State { waiting: VecDeque::new(), under_way: None };
        let (flush, state) = (Box::new(flush), Mutex::new(state));
        Arc::new(Self { flush, state, busy: AtomicBool::new(false) })
    }

    /// Takes part in the next call. The call happens even if the receiver is
    /// dropped.
    pub(crate) fn submit(self: &Arc<Self>, input: I, weight: usize) -> oneshot::Receiver<O> {
        let (reply, answer) = oneshot::channel();
        let call = Call { input, reply, weight };
        if self.busy.load(Ordering::Relaxed) {
            let here = Handle::current().id();
            let mut state = self.lock();
            if state.under_way == Some(here) {
                state.waiting.push_back(call);
                return answer;
            }
        }
        let mut call = (self.flush)(vec![call]);
        if call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            self.hand_over(call);
        }
        answer
    }

    /// Lets a task go on with a call that has suspended, so that a caller who
    /// is dropped half-way drops nobody else's call.
    fn hand_over(self: &Arc<Self>, call: BoxFuture<'static, ()>) {
        let here = Handle::current().id();
        let first = {
            let mut state = self.lock();
            self.busy.store(true, Ordering::Relaxed);
            let first = state.under_way.is_none();
            state.under_way.get_or_insert(here);
            first
        };
        if first {
            Runner::spawn(self, Some(call));
        } else {
            // Another caller's call is under way, and its task serves those
            // that wait.
            tokio::spawn(call);
        }
    }

    /// The next batch. Without one, nothing is under way any more.
    fn next(&self) -> Option<Vec<Call<I, O>>> {
        let mut state = self.lock();
        if state.waiting.is_empty() {
            state.under_way = None;
            self.busy.store(false, Ordering::Relaxed);
            return None;
        }
        let mut weight = 0;
        let mut count = 0;
        for call in &state.waiting {
            weight += call.weight;
            if count > 0 && weight > MAX_WEIGHT {
                break;
            }
            count += 1;
        }
        Some(state.waiting.drain(..count).collect())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State<I, O>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Carries out calls while there are any. If one of them panics, its own
/// callers learn that they will not be answered, and those that wait go on in
/// another task. If the runtime ends, all of them learn it: they are of the same
/// runtime.
struct Runner<I: Send + 'static, O: Send + 'static> {
    of: Arc<Batcher<I, O>>,
    stage: Stage,
}

/// How far a runner has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Its task has not been polled.
    New,
    /// It carries out calls.
    Running,
    /// Nothing is under way any more.
    Done,
}

impl<I: Send + 'static, O: Send + 'static> Runner<I, O> {
    fn spawn(of: &Arc<Batcher<I, O>>, first: Option<BoxFuture<'static, ()>>) {
        tokio::spawn(Self { of: Arc::clone(of), stage: Stage::New }.run(first));
    }

    async fn run(mut self, first: Option<BoxFuture<'static, ()>>) {
        self.stage = Stage::Running;
        let mut next = first;
        loop {
            if let Some(call) = next {
                call.await;
                self.let_come().await;
            }
            match self.of.next() {
                Some(batch) => next = Some((self.of.flush)(batch)),
                None => break,
            }
        }
        self.stage = Stage::Done;
    }

    /// Lets those who were just answered come again: most do so at once, and
    /// with them the next batch is twice as large as without. As long as each
    /// turn of the scheduler brings somebody, the next one may too.
    async fn let_come(&self) {
        let mut waiting = self.of.lock().waiting.len();
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
            let now = self.of.lock().waiting.len();
            if now == waiting {
                return;
            }
            waiting = now;
        }
    }
}

impl<I: Send + 'static, O: Send + 'static> Drop for Runner<I, O> {
    fn drop(&mut self) {
        if self.stage == Stage::Done {
            return;
        }
        // A task that was never polled is dropped by a runtime that ends: there
        // the next one would be too, without end.
        let panicked = self.stage == Stage::Running && std::thread::panicking();
        if panicked && Handle::try_current().is_ok() {
            Self::spawn(&self.of, None);
            return;
        }
        let abandoned = {
            let mut state = self.of.lock();
            state.under_way = None;
            self.of.busy.store(false, Ordering::Relaxed);
            std::mem::take(&mut state.waiting)
        };
        // Outside the lock: who learns of it may ask again at once.
        drop(abandoned);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::FutureExt;
    use tokio::sync::Semaphore;

    use super::*;

    fn doubling(
        gate: Option<Arc<Semaphore>>,
        calls: Arc<AtomicUsize>,
    ) -> Arc<Batcher<usize, usize>> {
        Batcher::new(move |batch| {
            calls.fetch_add(1, Ordering::SeqCst);
            let gate = gate.clone();
            async move {
                if let Some(gate) = gate {
                    gate.acquire().await.unwrap().forget();
                }
                for Call { input, reply, .. } in batch {
                    let _ = reply.send(input * 2);
                }
            }
            .boxed()
        })
    }

    #[tokio::test]
    async fn a_lone_call_to_a_store_that_does_not_suspend_is_answered_on_the_spot() {
        let calls = Arc::default();
        let batcher = doubling(None, Arc::clone(&calls));
        assert_eq!(batcher.submit(4, 1).try_recv(), Ok(8));
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn calls_that_come_in_meanwhile_go_together() {
        let gate = Arc::new(Semaphore::new(0));
        let calls = Arc::default();
        let batcher = doubling(Some(Arc::clone(&gate)), Arc::clone(&calls));
        let answers: Vec<_> = (0..100).map(|n| batcher.submit(n, 1)).collect();
        gate.add_permits(100);
        for (n, answer) in answers.into_iter().enumerate() {
            assert_eq!(answer.await, Ok(n * 2));
        }
        // The first went alone, the other 99 together.
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_batch_is_bounded_but_never_empty() {
        let gate = Arc::new(Semaphore::new(0));
        let calls = Arc::default();
        let batcher = doubling(Some(Arc::clone(&gate)), Arc::clone(&calls));
        let answers: Vec<_> = (0..5).map(|n| batcher.submit(n, MAX_WEIGHT + 1)).collect();
        gate.add_permits(100);
        for answer in answers {
            answer.await.unwrap();
        }
        assert_eq!(calls.load(Ordering::SeqCst), 5);
    }

    #[tokio::test]
    async fn a_caller_that_is_dropped_does_not_take_others_with_it() {
        let gate = Arc::new(Semaphore::new(0));
        let batcher = doubling(Some(Arc::clone(&gate)), Arc::default());
        drop(batcher.submit(1, 1));
        let second = batcher.submit(2, 1);
        gate.add_permits(100);
        assert_eq!(second.await, Ok(4));
    }

    #[tokio::test]
    async fn a_call_that_panics_leaves_the_batcher_usable() {
        let batcher: Arc<Batcher<usize, usize>> = Batcher::new(|batch| {
            async move {
                tokio::task::yield_now().await;
                for Call { input, reply, .. } in batch {
                    assert!(input != 13, "unlucky");
                    let _ = reply.send(input);
                }
            }
            .boxed()
        });
        let unlucky = batcher.submit(13, 1);
        let waiting = batcher.submit(6, 1);
        assert!(unlucky.await.is_err());
        // Nobody else has to suffer, neither meanwhile nor afterwards.
        assert_eq!(waiting.await, Ok(6));
        assert_eq!(batcher.submit(7, 1).await, Ok(7));
    }

    fn standing_still() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().build().unwrap()
    }

    #[test]
    fn a_runtime_that_stands_still_keeps_no_caller_of_another_one_waiting() {
        let batcher = Batcher::new(|batch| {
            async move {
                tokio::task::yield_now().await;
                for Call { input, reply, .. } in batch {
                    let _ = reply.send(input);
                }
            }
            .boxed()
        });
        let (one, two) = (standing_still(), standing_still());
        for round in 0..20 {
            // As soon as it has its answer, nobody drives the first one.
            assert_eq!(one.block_on(async { batcher.submit(round, 1).await }), Ok(round));
            assert_eq!(two.block_on(async { batcher.submit(round, 1).await }), Ok(round));
        }
        drop(one);
        assert_eq!(two.block_on(async { batcher.submit(7, 1).await }), Ok(7));
    }

    #[test]
    fn a_runtime_that_ends_in_a_panic_with_a_call_under_way_ends_no_other() {
        let gate = Arc::new(Semaphore::new(0));
        let batcher = doubling(Some(Arc::clone(&gate)), Arc::default());
        let unlucky = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let runtime = standing_still();
            runtime.block_on(async {
                let _under_way = batcher.submit(1, 1);
                let _waiting = batcher.submit(2, 1);
                tokio::task::yield_now().await;
                panic!("a failed assertion of somebody's test");
            });
        }));
        assert!(unlucky.is_err());
        gate.add_permits(100);
        assert_eq!(standing_still().block_on(async { batcher.submit(3, 1).await }), Ok(6));
    }
}
