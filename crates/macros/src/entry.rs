//! What stands inside `#[job(…)]`, before anything is known of its meaning.

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::parse::Parse;
use syn::{Attribute, Error, MacroDelimiter, Meta, Result};

use crate::errors::Errors;

/// One `key = value`.
pub(crate) struct Entry {
    /// The key.
    pub(crate) key: Ident,
    /// What stands behind the equals sign. Empty if nothing does.
    pub(crate) value: TokenStream,
}

impl Entry {
    /// The value as one literal of this type, or an error that says what would
    /// be right.
    pub(crate) fn literal<T: Parse>(&self, expected: &str) -> Result<T> {
        syn::parse2(self.value.clone()).map_err(|_| self.wrong(expected))
    }

    /// An error at the value, or at the key if it has none.
    pub(crate) fn wrong(&self, message: &str) -> Error {
        if self.value.is_empty() {
            Error::new(self.key.span(), message)
        } else {
            Error::new_spanned(&self.value, message)
        }
    }
}

/// The entries of one `#[job(…)]`.
pub(crate) fn entries(attribute: &Attribute, errors: &mut Errors) -> Vec<Entry> {
    let list = match &attribute.meta {
        Meta::List(list) if matches!(list.delimiter, MacroDelimiter::Paren(_)) => list,
        other => {
            errors.push(Error::new_spanned(
                other,
                "write the attributes of a job in parentheses: \
                 `#[job(name = \"email.welcome\", retries = 5)]`",
            ));
            return Vec::new();
        }
    };
    let parts = split(&list.tokens, errors);
    parts.into_iter().filter_map(|part| errors.check(entry(part))).collect()
}

/// Splits at commas. What is wrong in one part then does not hide the others.
pub(crate) fn split(tokens: &TokenStream, errors: &mut Errors) -> Vec<TokenStream> {
    let mut parts = Vec::new();
    let mut part = TokenStream::new();
    for token in tokens.clone() {
        match token {
            TokenTree::Punct(comma) if comma.as_char() == ',' => {
                if part.is_empty() {
                    errors.push(Error::new(
                        comma.span(),
                        "nothing stands before this comma; remove it",
                    ));
                } else {
                    parts.push(std::mem::take(&mut part));
                }
            }
            other => part.extend([other]),
        }
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

fn entry(part: TokenStream) -> Result<Entry> {
    let mut tokens = part.clone().into_iter();
    let Some(TokenTree::Ident(key)) = tokens.next() else {
        return Err(Error::new_spanned(
            part,
            "expected an attribute with its value, such as `retries = 5`",
        ));
    };
    let value: TokenStream = match tokens.next() {
        None => TokenStream::new(),
        Some(TokenTree::Punct(equals)) if equals.as_char() == '=' => tokens.collect(),
        // `backoff(fixed("5s"))`, `name: "a"` and the like.
        Some(_) => {
            return Err(Error::new_spanned(
                part,
                format!("write `{key} = …`: an equals sign between attribute and value"),
            ));
        }
    };
    match missing_comma(&value) {
        Some(next) => Err(Error::new(next.span(), format!("a comma is missing before `{next}`"))),
        None => Ok(Entry { key, value }),
    }
}

/// The key that follows a complete value without a comma.
fn missing_comma(value: &TokenStream) -> Option<Ident> {
    let tokens: Vec<_> = value.clone().into_iter().collect();
    tokens.windows(2).find_map(|pair| match pair {
        [TokenTree::Literal(_) | TokenTree::Group(_), TokenTree::Ident(next)] => Some(next.clone()),
        _ => None,
    })
}
