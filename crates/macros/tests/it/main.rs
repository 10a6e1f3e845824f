//! What `#[derive(Job)]` makes of types, and what it refuses.

mod attributes;
mod mistakes;
mod rules;
mod shapes;
