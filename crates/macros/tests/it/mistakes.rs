//! What the derive refuses, and what it says.

// One file per mistake in `tests/ui`, each with what the compiler prints. All
// of them fail, so that the dependencies are checked only, never built;
// types that must compile are in the other files beside this one.
//
// After a change of a message, `TRYBUILD=overwrite` writes the new ones.
#[test]
fn each_mistake_is_reported_at_its_place_with_what_would_be_right() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
