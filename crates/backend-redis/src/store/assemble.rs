//! Putting a script together from its parts, so that a call of it is cheap.
//!
//! A call runs the whole text, and most of what it does then is to make the functions
//! that the text declares. Each of these looks for every variable that it uses among
//! those of the function around it that are in use already, one by one from the last on,
//! so that a text with 80 functions takes 90 µs before it does anything. Two things
//! mend that:
//! - What a script does not use of its parts is left out.
//! - The parts stand within each other, each in a function of its own. What a function
//!   uses of a part further out is handed on, and is not looked for.

use std::collections::HashSet;

/// How many variables a function of Lua 5.1 can use of those around it.
const MAX_UPVALUES: usize = 60;

/// A declaration, or a statement, that stands at the beginning of a line.
struct Chunk<'a> {
    /// Its lines, without what is only said about it.
    lines: Vec<&'a str>,
    /// What it declares.
    declares: Vec<&'a str>,
    /// Every word in it.
    words: HashSet<&'a str>,
}

/// What the server is given of these files, the last of which is the script itself.
pub(super) fn assemble(files: &[&str]) -> String {
    let mut parts: Vec<Vec<Chunk<'_>>> = files.iter().map(|file| chunks(file)).collect();
    leave_out_unused(&mut parts);
    let mut text = String::new();
    let mut depth = 0;
    let mut outer: HashSet<&str> = HashSet::from(["K"]);
    for (i, part) in parts.iter().enumerate() {
        let used: HashSet<&str> =
            parts[i..].iter().flatten().flat_map(|chunk| chunk.words.iter().copied()).collect();
        if i > 0 && outer.intersection(&used).count() <= MAX_UPVALUES {
            text.push_str("return (function()\n");
            depth += 1;
        }
        for chunk in part {
            outer.extend(&chunk.declares);
            for line in &chunk.lines {
                text.push_str(line.trim_start());
                text.push('\n');
            }
        }
    }
    for _ in 0..depth {
        text.push_str("end)()\n");
    }
    text
}

/// A file's declarations and statements.
fn chunks(file: &str) -> Vec<Chunk<'_>> {
    let mut chunks: Vec<Chunk<'_>> = Vec::new();
    for line in file.lines() {
        if line.trim().is_empty() || line.trim_start().starts_with("--") {
            continue;
        }
        let goes_on = !line.starts_with(|c: char| c.is_ascii_alphabetic())
            || ["end", "else"].iter().any(|word| line.starts_with(word));
        match chunks.last_mut() {
            Some(chunk) if goes_on => chunk.lines.push(line),
            _ => chunks.push(Chunk {
                lines: vec![line],
                declares: declared(line),
                words: HashSet::new(),
            }),
        }
    }
    for chunk in &mut chunks {
        chunk.words = chunk.lines.iter().flat_map(|line| words(line)).collect();
    }
    chunks
}

/// What a line declares.
fn declared(line: &str) -> Vec<&str> {
    let Some(rest) = line.strip_prefix("local ") else { return Vec::new() };
    match rest.strip_prefix("function ") {
        Some(rest) => rest.split('(').take(1).collect(),
        None => rest.split('=').next().unwrap_or_default().split(',').map(str::trim).collect(),
    }
}

/// The words of a line that are no names of fields.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    line.split(move |c| !is_word(c)).filter(move |word| {
        let at = word.as_ptr() as usize - line.as_ptr() as usize;
        let is_field = line[..at].ends_with('.') && !line[..at].ends_with("..");
        !word.is_empty() && !is_field
    })
}

/// Leaves out the declarations that neither the script, the last part, nor a statement
/// needs.
fn leave_out_unused(parts: &mut [Vec<Chunk<'_>>]) {
    let last = parts.len() - 1;
    let mut needed: HashSet<String> = HashSet::new();
    loop {
        let before = needed.len();
        for (i, part) in parts.iter().enumerate() {
            for chunk in part {
                if i == last || is_needed(chunk, &needed) {
                    needed.extend(chunk.words.iter().map(|word| (*word).to_owned()));
                }
            }
        }
        if needed.len() == before {
            break;
        }
    }
    for part in &mut parts[..last] {
        part.retain(|chunk| is_needed(chunk, &needed));
    }
}

fn is_needed(chunk: &Chunk<'_>, needed: &HashSet<String>) -> bool {
    // What declares nothing does something.
    chunk.declares.is_empty() || chunk.declares.iter().any(|name| needed.contains(*name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "-- What it is for.\nlocal sub = string.sub\nlocal function first(s)\n    \
        return sub(s, 1, 1)\nend\n\nlocal function unused()\n    return first('')\nend\n";

    #[test]
    fn what_nothing_uses_is_left_out() {
        let text = assemble(&[BASE, "return first(ARGV[1])\n"]);
        assert_eq!(
            text,
            "local sub = string.sub\nlocal function first(s)\nreturn sub(s, 1, 1)\nend\n\
             return (function()\nreturn first(ARGV[1])\nend)()\n"
        );
    }

    #[test]
    fn a_field_is_no_use_of_a_variable() {
        let text = assemble(&[BASE, "return ARGV.first .. sub('x', 1)\n"]);
        assert!(!text.contains("function first"), "{text}");
        let text = assemble(&[BASE, "return 'x'..first('y')\n"]);
        assert!(text.contains("function first"), "{text}");
    }

    #[test]
    fn a_part_stays_beside_the_others_where_it_uses_too_many_of_them() {
        let names: Vec<String> = (0..61).map(|i| format!("v{i}")).collect();
        let part = format!("local {} = 1\n", names.join(", "));
        let uses = format!("return {}\n", names.join(" + "));
        assert!(!assemble(&[&part, &uses]).contains("(function()"));
        assert!(assemble(&[&part, "return v0\n"]).contains("(function()"));
    }
}
