//! A case, and the table that each file has of its own.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use super::context::Context;

/// A case under way. It panics where the store breaks a promise.
pub(crate) type Running<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// One promise of a store, and the code that checks it.
#[derive(Clone, Copy)]
pub struct Case {
    module: &'static str,
    sentence: &'static str,
    rules: &'static [&'static str],
    run: for<'a> fn(&'a Context) -> Running<'a>,
}

impl Case {
    pub(crate) const fn new(
        module: &'static str,
        sentence: &'static str,
        rules: &'static [&'static str],
        run: for<'a> fn(&'a Context) -> Running<'a>,
    ) -> Self {
        Self { module, sentence, rules, run }
    }

    /// The subject that it belongs to, such as `lease`.
    #[must_use]
    pub fn subject(&self) -> &'static str {
        self.module.split_once("::cases::").map_or(self.module, |(_, subject)| subject)
    }

    /// The numbers of the rules that it holds a store to. Empty for a promise
    /// of the trait's documentation that no rule speaks of.
    #[must_use]
    pub const fn rules(&self) -> &'static [&'static str] {
        self.rules
    }

    /// Its full name: `subject::rule_sentence`.
    #[must_use]
    pub fn name(&self) -> String {
        let subject = self.subject();
        let sentence = self.sentence;
        match self.rules.first() {
            Some(rule) => format!("{subject}::{}_{sentence}", rule.to_lowercase()),
            None => format!("{subject}::{sentence}"),
        }
    }

    /// Runs it.
    pub(crate) fn run<'a>(&self, context: &'a Context) -> Running<'a> {
        (self.run)(context)
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Case").field(&self.name()).finish()
    }
}

/// Every case, subject by subject.
pub fn all_cases() -> impl Iterator<Item = &'static Case> {
    crate::cases::ALL.iter().copied().flatten()
}

/// Makes a file's table of cases: the rules in brackets, then the function.
macro_rules! case_table {
    ($( [$($rule:ident)*] $case:ident, )*) => {
        /// The cases of this file.
        pub(crate) const CASES: &[$crate::harness::Case] = &[$(
            $crate::harness::Case::new(
                module_path!(),
                stringify!($case),
                &[$(stringify!($rule)),*],
                |context| Box::pin($case(context)),
            ),
        )*];
    };
}
pub(crate) use case_table;
