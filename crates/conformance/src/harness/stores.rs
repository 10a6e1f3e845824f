//! Where the suite gets its stores from.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use windlass_core::model::Clock;
use windlass_core::{Backend, Error};

/// Opens stores for the suite: all that a backend's author writes.
#[async_trait]
pub trait Stores: Send + Sync + 'static {
    /// Opens a handle on the store of this name, which goes by this clock.
    ///
    /// A name not seen before means a new, empty store. The same name again
    /// means a further handle on the same store; that is only asked for if the
    /// backend claims the capability `shared`. A name is 1 to 32 of `a-z 0-9`,
    /// begins with a letter, and is never used by another run.
    ///
    /// # Errors
    /// Any error fails the case.
    async fn open(&self, name: &str, clock: Clock) -> Result<Arc<dyn Backend>, Error>;

    /// Told when a case has passed and its handles are gone: the store of this
    /// name is of no more use. Does nothing by default; a failed case's store
    /// is left to be looked at.
    async fn discard(&self, name: &str) {
        let _ = name;
    }
}

/// Stores that are opened by a function of a name and a clock, as
/// [`Stores::open`] describes them.
pub fn opening<F, O, B>(open: F) -> impl Stores
where
    F: Fn(String, Clock) -> O + Send + Sync + 'static,
    O: Future<Output = Result<B, Error>> + Send + 'static,
    B: Backend,
{
    Opening(open)
}

/// Stores that are opened by a function.
struct Opening<F>(F);

#[async_trait]
impl<F, O, B> Stores for Opening<F>
where
    F: Fn(String, Clock) -> O + Send + Sync + 'static,
    O: Future<Output = Result<B, Error>> + Send + 'static,
    B: Backend,
{
    async fn open(&self, name: &str, clock: Clock) -> Result<Arc<dyn Backend>, Error> {
        let opened = (self.0)(name.to_owned(), clock);
        Ok(Arc::new(opened.await?))
    }
}
