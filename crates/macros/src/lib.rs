//! The derive macro of Windlass.
//!
//! Use it through the `windlass` crate, which exports [`macro@Job`] beside the
//! trait of the same name.
//!
//! `expand` turns a type into its implementation. `settings` reads what
//! `#[job(…)]` says, with the help of `entry` (the syntax of one `key =
//! value`) and of one file for each kind of value. Nothing here stops at the
//! first mistake: `errors` collects them.

mod backoff;
mod entry;
mod errors;
mod expand;
mod length;
mod name;
mod number;
mod settings;
mod suggest;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a type a job: implements the trait `Job` for it.
///
/// The type must also be `Serialize`, `DeserializeOwned`, `Send` and
/// `'static`. Structs and enums will do, with type parameters too. Everything
/// below is checked when the type is compiled; a mistake is reported at its
/// place, together with all others.
///
/// ```
/// # use windlass_macros::Job;
/// # use windlass_runtime::Job;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Job)]
/// # #[job(crate = "windlass_runtime")]
/// #[job(name = "email.welcome", queue = "emails", retries = 5, timeout = "30s")]
/// struct Welcome {
///     to: String,
/// }
///
/// assert_eq!(Welcome::NAME, "email.welcome");
/// assert_eq!(Welcome::defaults().queue, Some("emails"));
/// ```
///
/// # Attributes
///
/// All are optional, and each is given at most once; `#[job(…)]` itself may
/// be repeated. An enqueue can override every one but `name`.
///
/// | attribute | its value | without it |
/// |---|---|---|
/// | `name = "email.welcome"` | 1 to 128 of the characters `A-Z a-z 0-9 _ . : -`. Stored with each job: a worker finds the handler by it | the name of the type in `snake_case`, without its parameters |
/// | `queue = "emails"` | the queue it is meant for; characters as above | none |
/// | `retries = 5` | how many attempts may follow the first one, 0 to 4294967294 | 19 |
/// | `backoff = …` | how the wait between attempts grows; see below | `exponential("1s", 2.0, "1h")` |
/// | `jitter = 0.1` | how far a wait may stray, as a share of it, 0 to 1 | 0.1 |
/// | `timeout = "30s"` | how long one attempt may run; more than zero | no bound |
/// | `priority = 3` | -2147483647 to 2147483647; what it means is the queue's to say | none |
/// | `crate = "my::path"` | where the trait is, if the `windlass` crate has another name or is reached through another one | `::windlass` |
///
/// | backoff | the waits |
/// |---|---|
/// | `fixed("5s")` | always the same |
/// | `linear("1s", "5s", "1m")` | the first, then each longer by the second, at most the third |
/// | `exponential("1s", 2.0, "1h")` | the first, then each so many times as long (from 1 on), at most the third |
/// | `list("1s", "5s", "1m")` | one by one; the last one repeats |
///
/// A length of time is a sum of numbers with units, in lower case and without
/// spaces: `"500ms"`, `"30s"`, `"1.5s"`, `"5m"`, `"1h30m"`, `"2d"`. The units
/// are those of the [humantime](https://docs.rs/humantime) crate but for `M`.
///
/// # Generic types
///
/// `struct Batch<T> { … }` is a job for each `T` with which it is
/// `Serialize`, `DeserializeOwned`, `Send` and `'static`; the `serde` crate
/// must then be a dependency under that name. All of them share one `NAME`, so
/// a worker handles one of them only.
#[proc_macro_derive(Job, attributes(job))]
pub fn derive_job(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::job(&input).into()
}
