//! The names of jobs and queues.

use heck::ToSnakeCase;
use syn::ext::IdentExt;
use syn::{Error, Ident, LitStr, Result};

/// Refuses what core would refuse as the name of a queue or a job type.
///
/// Core has the rule (E5); it stands here a second time so that a build does
/// not wait for core. A test holds the two together.
pub(crate) fn check(name: LitStr) -> Result<LitStr> {
    if is_valid(&name.value()) {
        Ok(name)
    } else {
        Err(Error::new(
            name.span(),
            format!("{:?} is not a valid name: {RULE}", abridged(&name.value())),
        ))
    }
}

/// The name of a job whose type was given no other: that of the type, in
/// `snake_case`.
pub(crate) fn of_type(ident: &Ident) -> Result<LitStr> {
    let name = ident.unraw().to_string().to_snake_case();
    if is_valid(&name) {
        Ok(LitStr::new(&name, ident.span()))
    } else {
        Err(Error::new(
            ident.span(),
            format!(
                "the name of this type, {:?}, is not valid as the name of a job: {RULE}\n\
                 give it another one: `#[job(name = \"email.welcome\")]`",
                abridged(&name),
            ),
        ))
    }
}

const RULE: &str = "use 1 to 128 of the characters A-Z a-z 0-9 _ . : -";

fn is_valid(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-');
    (1..=128).contains(&name.len()) && name.bytes().all(allowed)
}

/// An error quotes the beginning of a long name only.
fn abridged(name: &str) -> String {
    name.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use proc_macro2::Span;
    use windlass_core::model::{JobType, QueueName};

    use super::*;

    #[test]
    fn a_name_is_valid_here_if_and_only_if_it_is_valid_in_core() {
        let long = "x".repeat(129);
        let ascii = (0..=127_u8).map(|byte| char::from(byte).to_string());
        let others = ["", "a b", "é", "a/b", "a\0", "email.welcome", &long, &long[1..]];
        for name in ascii.chain(others.map(String::from)) {
            let verdict = check(LitStr::new(&name, Span::call_site())).is_ok();
            assert_eq!(verdict, QueueName::new(name.as_str()).is_ok(), "{name:?}");
            assert_eq!(verdict, JobType::new(name.as_str()).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn the_name_of_a_type_becomes_snake_case() {
        // Stored jobs depend on these: they must never change.
        for (ident, name) in [
            ("Welcome", "welcome"),
            ("SendWelcomeMail", "send_welcome_mail"),
            ("HTTPRequest", "http_request"),
            ("Resize2", "resize2"),
            ("Sha256Sum", "sha256_sum"),
            ("already_snake", "already_snake"),
            ("r#Match", "match"),
        ] {
            let ident = syn::parse_str(ident).unwrap();
            assert_eq!(of_type(&ident).unwrap().value(), name);
        }
    }

    #[test]
    fn a_type_whose_name_cannot_be_a_jobs_is_told_how_to_give_one() {
        for ident in ["Größe", "__", &"X".repeat(129)] {
            let error = of_type(&syn::parse_str(ident).unwrap()).err().unwrap();
            let message = error.to_string();
            assert!(message.contains("#[job(name ="), "{message}");
        }
    }
}
