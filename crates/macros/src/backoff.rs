//! How the wait between two attempts grows.

use std::time::Duration;

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use quote::quote;
use syn::{Error, Path, Result};

use crate::entry::{Entry, split};
use crate::errors::Errors;
use crate::suggest::suggestion;
use crate::{length, number};

/// A backoff as it was written.
pub(crate) enum Backoff {
    /// `fixed(wait)`.
    Fixed(Duration),
    /// `linear(first, step, cap)`.
    Linear { first: Duration, step: Duration, cap: Duration },
    /// `exponential(first, factor, cap)`.
    Exponential { first: Duration, factor: f64, cap: Duration },
    /// `list(wait, …)`.
    List(Vec<Duration>),
}

/// The forms there are, each by its name, with its arguments and an example.
const FORMS: [(&str, &str); 4] = [
    ("fixed", "`fixed(wait)`, such as `fixed(\"5s\")`"),
    ("linear", "`linear(first, step, cap)`, such as `linear(\"1s\", \"5s\", \"1m\")`"),
    (
        "exponential",
        "`exponential(first, factor, cap)`, such as `exponential(\"1s\", 2.0, \"1h\")`",
    ),
    ("list", "`list(wait, …)` with at least one wait, such as `list(\"1s\", \"5s\", \"1m\")`"),
];

impl Backoff {
    /// Reads the value of `backoff = …`.
    ///
    /// # Errors
    /// All mistakes in it, each at its place.
    pub(crate) fn read(entry: &Entry) -> Result<Self> {
        let (form, arguments) = call(entry)?;
        let mut errors = Errors::default();
        let arguments = split(&arguments, &mut errors);
        let backoff = Self::from_call(&form, &arguments, &mut errors);
        errors.finish()?;
        backoff.ok_or_else(|| entry.wrong(&all_forms()))
    }

    /// The expression that makes it.
    pub(crate) fn expression(&self, krate: &Path) -> TokenStream {
        let backoff = quote!(#krate::model::Backoff);
        match self {
            Self::Fixed(wait) => {
                let wait = length::expression(*wait);
                quote!(#backoff::Fixed(#wait))
            }
            Self::Linear { first, step, cap } => {
                let [first, step, cap] = [first, step, cap].map(|l| length::expression(*l));
                quote!(#backoff::Linear { first: #first, step: #step, cap: #cap })
            }
            Self::Exponential { first, factor, cap } => {
                let [first, cap] = [first, cap].map(|l| length::expression(*l));
                quote!(#backoff::Exponential { first: #first, factor: #factor, cap: #cap })
            }
            Self::List(waits) => {
                let waits = waits.iter().map(|wait| length::expression(*wait));
                quote!(#backoff::List(::std::vec::Vec::from([#(#waits),*])))
            }
        }
    }

    fn from_call(form: &Ident, arguments: &[TokenStream], errors: &mut Errors) -> Option<Self> {
        let name = form.to_string();
        let Some((_, usage)) = FORMS.iter().find(|(known, _)| name == *known) else {
            let names = FORMS.map(|(known, _)| known);
            errors.push(Error::new(
                form.span(),
                format!(
                    "there is no backoff `{name}`{}\n{}",
                    suggestion(&name, &names),
                    all_forms()
                ),
            ));
            return None;
        };
        match (name.as_str(), arguments) {
            ("fixed", [wait]) => Some(Self::Fixed(errors.check(wait_of(wait, usage))?)),
            ("linear", [first, step, cap]) => {
                let first = errors.check(wait_of(first, usage));
                let step = errors.check(wait_of(step, usage));
                let cap = errors.check(cap_of(cap, first, usage));
                Some(Self::Linear { first: first?, step: step?, cap: cap? })
            }
            ("exponential", [first, factor, cap]) => {
                let first = errors.check(wait_of(first, usage));
                let factor = errors.check(factor_of(factor));
                let cap = errors.check(cap_of(cap, first, usage));
                Some(Self::Exponential { first: first?, factor: factor?, cap: cap? })
            }
            ("list", [_, ..]) => {
                let waits: Vec<_> =
                    arguments.iter().map(|wait| errors.check(wait_of(wait, usage))).collect();
                waits.into_iter().collect::<Option<_>>().map(Self::List)
            }
            _ => {
                errors.push(Error::new(
                    form.span(),
                    format!("`{name}` does not take {}; write {usage}", count(arguments)),
                ));
                None
            }
        }
    }
}

/// Takes `form(arguments)` apart.
fn call(entry: &Entry) -> Result<(Ident, TokenStream)> {
    let tokens: Vec<_> = entry.value.clone().into_iter().collect();
    match tokens.as_slice() {
        [TokenTree::Ident(form), TokenTree::Group(arguments)]
            if arguments.delimiter() == Delimiter::Parenthesis =>
        {
            Ok((form.clone(), arguments.stream()))
        }
        _ => Err(entry.wrong(&all_forms())),
    }
}

fn wait_of(argument: &TokenStream, usage: &str) -> Result<Duration> {
    let text = syn::parse2(argument.clone()).map_err(|_| {
        Error::new_spanned(argument, format!("expected a length of time in quotes; write {usage}"))
    })?;
    length::read(&text)
}

/// The longest wait. One that is shorter than the first wait would always hold;
/// then two arguments were surely confused.
fn cap_of(argument: &TokenStream, first: Option<Duration>, usage: &str) -> Result<Duration> {
    let cap = wait_of(argument, usage)?;
    match first {
        Some(first) if cap < first => Err(Error::new_spanned(
            argument,
            format!("the cap is shorter than the first wait, so that no wait grows; write {usage}"),
        )),
        _ => Ok(cap),
    }
}

fn factor_of(argument: &TokenStream) -> Result<f64> {
    syn::parse2(argument.clone())
        .ok()
        .and_then(|literal| number::real(&literal))
        .filter(|factor| *factor >= 1.0)
        .ok_or_else(|| {
            Error::new_spanned(
                argument,
                "the factor is a number from 1 on, without quotes, such as `2.0`: \
                 each wait is so many times as long as the one before",
            )
        })
}

fn count(arguments: &[TokenStream]) -> String {
    match arguments.len() {
        1 => String::from("1 argument"),
        n => format!("{n} arguments"),
    }
}

fn all_forms() -> String {
    format!("`backoff` takes one of\n{}", FORMS.map(|(_, usage)| format!("  {usage}")).join("\n"))
}
