//! The bytes that scripts are given, and give.
//!
//! Numbers are big-endian, and signed ones have their sign bit turned, so that their
//! bytes sort as they do (`src/scripts/shared/base.lua`).

use std::time::Duration;

use windlass_core::model::{Timestamp, Token, When, micros};

/// A number whose bytes sort as it does.
pub(crate) fn signed(number: i64) -> [u8; 8] {
    let mut bytes = number.to_be_bytes();
    bytes[0] ^= 0x80;
    bytes
}

/// The number with these bytes; 0 where there are not 8.
pub(crate) fn to_signed(bytes: &[u8]) -> i64 {
    let Ok(mut bytes) = <[u8; 8]>::try_from(bytes) else { return 0 };
    bytes[0] ^= 0x80;
    i64::from_be_bytes(bytes)
}

/// Stands for no moment.
pub(crate) const NONE: [u8; 8] = [0; 8];

pub(crate) fn moment(moment: Timestamp) -> [u8; 8] {
    signed(moment.as_micros())
}

pub(crate) fn to_moment(bytes: &[u8]) -> Timestamp {
    Timestamp::from_micros(to_signed(bytes))
}

/// The moment with these bytes, unless they are zeros.
pub(crate) fn to_moment_or_none(bytes: &[u8]) -> Option<Timestamp> {
    (bytes != NONE).then(|| to_moment(bytes))
}

pub(crate) fn length(length: Duration) -> [u8; 8] {
    micros(length).to_be_bytes()
}

/// A version or a token: 6 bytes, as its shard knows it. They begin at 0 and grow by one.
/// What stands above them says which shard gave it out (`decide::shards`).
pub(crate) fn number(number: u64) -> [u8; 6] {
    let bytes = number.to_be_bytes();
    [bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]]
}

/// The number with these bytes, at most 8.
pub(crate) fn to_number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

pub(crate) fn token(token: Token) -> [u8; 6] {
    number(token.0)
}

/// A letter and 8 bytes.
pub(crate) fn when(when: When) -> [u8; 9] {
    let (letter, bytes) = match when {
        When::Now => (b'n', NONE),
        When::After(after) => (b'a', length(after)),
        When::At(at) => (b't', moment(at)),
    };
    marked(letter, bytes)
}

/// `h` and a length, or `-`.
pub(crate) fn optional_length(given: Option<Duration>) -> [u8; 9] {
    given.map_or_else(|| marked(b'-', NONE), |given| marked(b'h', length(given)))
}

fn marked(letter: u8, bytes: [u8; 8]) -> [u8; 9] {
    let mut all = [letter; 9];
    all[1..].copy_from_slice(&bytes);
    all
}

/// A text behind its length in 2 bytes.
pub(crate) fn put_text(into: &mut Vec<u8>, text: &[u8]) {
    into.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    into.extend_from_slice(text);
}

/// Bytes behind their length in 4.
pub(crate) fn put_bytes(into: &mut Vec<u8>, bytes: &[u8]) {
    into.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    into.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_sort_as_their_numbers_do() {
        let numbers = [i64::MIN, -1, 0, 1, 255, 256, i64::MAX];
        for pair in numbers.windows(2) {
            assert!(signed(pair[0]) < signed(pair[1]), "{pair:?}");
        }
        for number in numbers {
            assert_eq!(to_signed(&signed(number)), number);
        }
    }

    #[test]
    fn numbers_survive_six_bytes() {
        for n in [0, 1, 65_536, (1 << 48) - 1] {
            assert_eq!(to_number(&number(n)), n);
        }
    }
}
