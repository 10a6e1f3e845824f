//! Whatever text comes in as a name or a key: it is taken or refused as the
//! rule says, and the refusal fits on a line.

use windlass_core::model::{
    DedupKey, InvalidName, JobKey, JobType, PartitionKey, QueueName, RepeatableKey, StepName, Tag,
};

use crate::numbers::Numbers;

const PIECES: [&str; 32] = [
    "a",
    "Z",
    "0",
    "_",
    ".",
    ":",
    "-",
    "queue",
    "..",
    "/",
    "\\",
    "\0",
    "\n",
    "\t",
    " ",
    "'",
    "\"",
    "`",
    ";--",
    "{",
    "}",
    "%",
    "*",
    "$(x)",
    "é",
    "e\u{301}",
    "\u{202e}",
    "\u{200b}",
    "\u{feff}",
    "🕰",
    "ﬀ",
    "\u{10ffff}",
];

/// The rule, said another way.
fn is_name(text: &str) -> bool {
    let right = |c: char| matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '.' | ':' | '-');
    !text.is_empty() && text.chars().count() <= 128 && text.chars().all(right)
}

/// The rule, said another way.
fn is_key(text: &str) -> bool {
    (1..257).contains(&text.len()) && !text.bytes().any(|byte| byte == 0)
}

fn agrees<T>(made: Result<T, InvalidName>, expected: bool, text: &str) -> bool {
    match &made {
        Ok(_) => assert!(expected, "taken: {text:?}"),
        Err(error) => {
            assert!(!expected, "refused: {error}");
            let said = error.to_string();
            assert!(said.len() < 900 && said.contains("; use 1 to "), "{said}");
            assert!(!said.contains(['\0', '\n', '\u{202e}', '\u{200b}', '\u{feff}']), "{said}");
        }
    }
    made.is_ok()
}

#[test]
fn any_text_is_taken_or_refused_as_the_rule_says() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let (mut names, mut keys) = (0, 0);
    for round in 0..20_000 {
        // Half of them of harmless pieces, at the longest a little too long.
        let pieces = if round % 2 == 0 { 8 } else { PIECES.len() };
        let length = numbers.below(if round % 3 == 0 { 150 } else { 12 });
        let text: String = (0..length).map(|_| PIECES[numbers.below(pieces)]).collect();
        let (name, key) = (is_name(&text), is_key(&text));
        let text = text.as_str();
        names += u32::from(agrees(QueueName::new(text), name, text));
        agrees(JobType::new(text), name, text);
        agrees(RepeatableKey::new(text), name, text);
        keys += u32::from(agrees(JobKey::new(text), key, text));
        agrees(DedupKey::new(text), key, text);
        agrees(PartitionKey::new(text), key, text);
        agrees(Tag::new(text), key, text);
        agrees(StepName::new(text), key, text);
        let stored = serde_json::to_string(text).expect("writable");
        assert_eq!(serde_json::from_str::<QueueName>(&stored).is_ok(), name, "{text:?}");
        assert_eq!(serde_json::from_str::<JobKey>(&stored).is_ok(), key, "{text:?}");
    }
    eprintln!("20000 texts: {names} names, {keys} keys");
    assert!((5_000..15_000).contains(&names) && (10_000..19_000).contains(&keys));
}
