//! What is wrong with a JSON text, told without what stands in it.

use serde_json::error::Category;

/// How deeply JSON that a handler can read is nested at most: the reader's own
/// bound against texts that would use up the stack.
pub const MAX_DEPTH: usize = 127;

/// The kinds of value that the reader names before it quotes the value.
const KINDS: [&str; 17] = [
    "null",
    "boolean",
    "integer",
    "floating point",
    "character",
    "string",
    "byte array",
    "unit value",
    "Option value",
    "newtype struct",
    "sequence",
    "map",
    "enum",
    "unit variant",
    "newtype variant",
    "tuple variant",
    "struct variant",
];

/// What is wrong with a JSON text, and where, without the value that was found
/// there: a payload may hold secrets, and errors go to logs and dashboards.
///
/// What the type expected is told, and so are the names of its own fields. What
/// a type's own code says about a value it refuses is not: it mostly quotes it.
#[must_use]
pub fn problem(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let (said, place) = match text.strip_suffix(&place) {
        Some(said) => (said, place.as_str()),
        None => (text.as_str(), ""),
    };
    match error.classify() {
        Category::Data => format!("{}{place}", without_values(said)),
        // About the form of the text, in words that do not depend on it.
        Category::Io | Category::Syntax | Category::Eof => format!("{said}{place}"),
    }
}

/// How deeply a JSON text that is well formed is nested.
#[must_use]
pub fn depth(text: &[u8]) -> usize {
    // What is opened is closed again: nothing this short is deeper.
    if text.len() <= 2 * MAX_DEPTH {
        return 0;
    }
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'"' => break,
                        b'\\' => drop(bytes.next()),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    deepest
}

fn without_values(said: &str) -> String {
    for known in ["missing field `", "duplicate field `"] {
        // The names are those of the type that reads.
        let name = said.strip_prefix(known).and_then(|rest| rest.strip_suffix('`'));
        if name.is_some_and(|name| name.len() <= 128 && !name.contains(char::is_whitespace)) {
            return said.to_owned();
        }
    }
    for (unknown, none) in
        [("unknown field", ", there are no fields"), ("unknown variant", ", there are no variants")]
    {
        if said.starts_with(&format!("{unknown} `")) {
            // Whatever stands in the name, the last words are the reader's.
            let right = if said.ends_with(none) { none.to_owned() } else { expected(said) };
            return format!("{unknown}{right}");
        }
    }
    for wrong in ["invalid type: ", "invalid value: "] {
        if let Some(found) = said.strip_prefix(wrong) {
            let kind = KINDS.iter().find(|kind| found.starts_with(**kind)).unwrap_or(&"a value");
            return format!("{wrong}{kind}{}", expected(said));
        }
    }
    if let Some(found) = said.strip_prefix("invalid length ") {
        let length: String = found.chars().take_while(char::is_ascii_digit).collect();
        return format!("invalid length {length}{}", expected(said));
    }
    "a value was refused by the type that reads it".to_owned()
}

/// What the type expected, which stands last.
fn expected(said: &str) -> String {
    match said.rsplit_once(", expected ") {
        // Some say at the end what they found.
        Some((_, expected)) => {
            let expected = expected.split(", found ").next().unwrap_or(expected);
            format!(", expected {}", expected.chars().take(256).collect::<String>())
        }
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer};

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Letter {
        #[serde(rename = "to")]
        _to: u8,
        #[serde(default, rename = "kind")]
        _kind: Option<Kind>,
        #[serde(default, rename = "pair")]
        _pair: Option<(u8, u8)>,
        #[serde(default, rename = "own", deserialize_with = "own")]
        _own: (),
        #[serde(default, rename = "none")]
        _none: Option<Nothing>,
        #[serde(default, rename = "flags")]
        _flags: HashMap<String, bool>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Short,
        Long,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}

    fn own<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
        let text = String::deserialize(deserializer)?;
        Err(D::Error::custom(format!("{text} will not do")))
    }

    #[test]
    fn a_problem_says_what_was_expected_and_where_and_not_what_was_found() {
        for (text, says) in [
            (r#"{"to": "CANARY"}"#, "invalid type: string, expected u8 at line 1 column 15"),
            (r#"{"to": "CANARY, expected CANARY"}"#, "invalid type: string, expected u8 at"),
            (r#"{"to": 7734}"#, "invalid value: integer, expected u8 at"),
            (r#"{"to": 77.34}"#, "invalid type: floating point, expected u8 at"),
            (r#"{"to": 7, "kind": "CANARY"}"#, "unknown variant, expected `short` or `long` at"),
            (
                r#"{"to": 7, "kind": "C`, expected CANARY"}"#,
                "unknown variant, expected `short` or `long` at",
            ),
            (r#"{"to": 7, "CANARY": 1}"#, "unknown field, expected one of `to`, `kind`"),
            (
                r#"{"to": 7, "none": {"C, expected CANARY": 1}}"#,
                "unknown field, there are no fields at",
            ),
            (r#"{"to": 7, "pair": [1]}"#, "invalid length 1, expected a tuple of size 2 at"),
            (r#"{"to": 7, "to": 8}"#, "duplicate field `to` at"),
            (r#"{"kind": "short"}"#, "missing field `to` at line 1 column 17"),
            (r#"{"to": 7, "own": "CANARY"}"#, "a value was refused by the type that reads it at"),
            (r#"{"to": 7, "flags": {"a": "CANARY"}}"#, "invalid type: string, expected a boolean"),
            (r#"{"to": CANARY}"#, "expected value at line 1 column 8"),
            (r#"{"to": 7"#, "EOF while parsing an object at line 1 column 8"),
        ] {
            let error = serde_json::from_str::<Letter>(text).unwrap_err();
            let told = problem(&error);
            assert!(told.starts_with(says), "{told}");
            assert!(!told.contains("CANARY") && !told.contains("77"), "{told}");
        }
    }

    #[test]
    fn the_depth_of_a_text_is_counted_outside_its_strings() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let padding = format!(r#"{{"a": "{}", "b\"[[[": "\\"}}"#, "[{".repeat(200));
        assert_eq!(depth(padding.as_bytes()), 1);
        assert_eq!(depth(nested(MAX_DEPTH + 1).as_bytes()), MAX_DEPTH + 1);
        assert_eq!(depth(nested(1_000_000).as_bytes()), 1_000_000);
        // The bound is the reader's.
        let read = |depth| serde_json::from_str::<serde_json::Value>(&nested(depth));
        assert!(read(MAX_DEPTH).is_ok() && read(MAX_DEPTH + 1).is_err());
    }
}
