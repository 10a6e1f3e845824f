//! Guesses at what was meant.

/// `"; did you mean …?"`, if one of the known names is close to what was
/// written; otherwise nothing.
pub(crate) fn suggestion(written: &str, known: &[&str]) -> String {
    known
        .iter()
        // This measure forgives swapped letters and a different end of the
        // word: `nmae`, `retry`, `prio`.
        .map(|name| (strsim::jaro_winkler(written, name), name))
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .filter(|(likeness, _)| *likeness > 0.8)
        .map(|(_, name)| format!("; did you mean `{name}`?"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_recognised_and_another_word_is_not() {
        let known =
            ["name", "queue", "retries", "backoff", "jitter", "timeout", "priority", "crate"];
        for (written, meant) in [
            ("nmae", "name"),
            ("quue", "queue"),
            ("retry", "retries"),
            ("time", "timeout"),
            ("time_out", "timeout"),
            ("prio", "priority"),
            ("krate", "crate"),
            ("Backoff", "backoff"),
            ("max_attempts", ""),
            ("delay", ""),
            ("tags", ""),
            ("id", ""),
        ] {
            let expected = match meant {
                "" => String::new(),
                meant => format!("; did you mean `{meant}`?"),
            };
            assert_eq!(suggestion(written, &known), expected, "{written}");
        }
    }
}
