//! A short run of chaos.
