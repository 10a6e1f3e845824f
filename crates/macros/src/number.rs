//! Numbers.

use std::str::FromStr;

use syn::{Lit, LitInt};

/// The whole number that a literal stands for. `None` if it is out of the
/// range of the type, or has a suffix, which would say nothing.
pub(crate) fn whole<T>(literal: &LitInt) -> Option<T>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    plain(literal.suffix())?;
    literal.base10_parse().ok()
}

/// The finite number that a literal stands for, written with a point or
/// without.
pub(crate) fn real(literal: &Lit) -> Option<f64> {
    let number: f64 = match literal {
        Lit::Float(float) => {
            plain(float.suffix())?;
            float.base10_parse().ok()?
        }
        Lit::Int(int) => {
            plain(int.suffix())?;
            int.base10_parse().ok()?
        }
        _ => return None,
    };
    number.is_finite().then_some(number)
}

fn plain(suffix: &str) -> Option<()> {
    suffix.is_empty().then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_to_the_ends_of_its_range() {
        let whole = |text: &str| whole::<i32>(&syn::parse_str(text).unwrap());
        for (text, number) in [
            ("0", Some(0)),
            ("-3", Some(-3)),
            ("2_147_483_647", Some(i32::MAX)),
            ("-2147483648", Some(i32::MIN)),
            ("0x10", Some(16)),
            ("2147483648", None),
            ("3i32", None),
        ] {
            assert_eq!(whole(text), number, "{text}");
        }
    }

    #[test]
    fn a_factor_or_share_may_be_written_without_a_point() {
        let real = |text: &str| real(&syn::parse_str(text).unwrap());
        for (text, number) in [
            ("2.5", Some(2.5)),
            ("2", Some(2.0)),
            ("-0.5", Some(-0.5)),
            ("1e3", Some(1000.0)),
            ("1e999", None),
            ("2.0f32", None),
            ("2u8", None),
            ("\"2\"", None),
            ("true", None),
        ] {
            assert_eq!(real(text), number, "{text}");
        }
    }
}
