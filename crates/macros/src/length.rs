//! Lengths of time, written as text.

use std::time::Duration;

use humantime::DurationError;
use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, LitStr, Result};

/// Reads a length of time, such as `"1h30m"`.
///
/// The notation is humantime's, less what is easily misread there: `M` (a
/// month) beside `m` (a minute), and spaces, which may split a number in two
/// (`"1 2s"` means 12 seconds).
pub(crate) fn read(text: &LitStr) -> Result<Duration> {
    let value = text.value();
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.';
    if !value.chars().all(known) {
        return Err(wrong(text, "write numbers and units in lower case, without spaces or signs"));
    }
    // Bounded numbers keep every sum far from the largest duration, at which
    // the arithmetic of humantime panics.
    let numbers = value.split(|c: char| c.is_ascii_lowercase());
    if value.len() > 64 || numbers.map(str::len).any(|digits| digits > 9) {
        return Err(wrong(text, "a number has at most 9 digits; take a larger unit"));
    }
    humantime::parse_duration(&value).map_err(|error| wrong(text, &reason(&error)))
}

/// The expression that makes this length of time.
pub(crate) fn expression(length: Duration) -> TokenStream {
    let (secs, nanos) = (length.as_secs(), length.subsec_nanos());
    quote!(::core::time::Duration::new(#secs, #nanos))
}

/// What is wrong, in the terms of this macro's documentation.
fn reason(error: &DurationError) -> String {
    match error {
        DurationError::UnknownUnit { unit, value, .. } if unit.is_empty() => {
            format!("{value} of what? Write a unit behind each number")
        }
        DurationError::UnknownUnit { unit, .. } => {
            format!("there is no unit `{unit}`; use ms, s, m, h or d")
        }
        DurationError::NumberOverflow => String::from("it is too long, or finer than a nanosecond"),
        _ => String::from("write numbers, each with a unit behind it"),
    }
}

fn wrong(text: &LitStr, why: &str) -> Error {
    let value = text.value();
    Error::new(
        text.span(),
        format!(
            "{value:?} is not a length of time: {why}\n\
             right are, for example, \"500ms\", \"30s\", \"5m\", \"1h30m\" and \"2d\""
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Duration> {
        read(&LitStr::new(text, proc_macro2::Span::call_site()))
    }

    #[test]
    fn a_length_of_time_is_a_sum_of_numbers_with_units() {
        for (text, millis) in [
            ("0s", 0),
            ("0", 0),
            ("500ms", 500),
            ("30s", 30_000),
            ("1.5s", 1_500),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("2d", 172_800_000),
            ("1w", 604_800_000),
        ] {
            assert_eq!(parse(text).unwrap(), Duration::from_millis(millis), "{text}");
        }
    }

    #[test]
    fn what_is_easily_misread_is_refused_with_an_example() {
        for text in [
            "", "5", "s", "-5s", "1 2s", "1 s", "1M", "5S", "1h 30m", "1,5s", "5 µs", "5parsecs",
            "1.s", ".5s", "1e3s", "∞",
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.contains("\"1h30m\""), "{text}: {message}");
        }
    }

    #[test]
    fn enormous_lengths_are_refused_and_do_not_panic() {
        for text in [
            "18446744073709551615s1000ms",
            "99999999999999999999y",
            "584542046090y",
            &"9".repeat(1_000_000),
            &"999999999y".repeat(1_000),
            "0.0000000000000001s",
        ] {
            assert!(parse(text).is_err());
        }
        assert!(parse(&"999999999y".repeat(6)).is_ok());
    }
}
