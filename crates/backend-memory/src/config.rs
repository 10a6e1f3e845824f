//! How a store in memory is set up.

use windlass_core::model::Clock;

/// How a store in memory is set up. Start from the default and change what
/// differs.
#[derive(Clone, Debug)]
pub struct MemoryConfig {
    /// Whose time the store goes by. Default: the machine's.
    pub clock: Clock,
    /// How many notices wait for one slow subscriber before it loses the
    /// oldest; at least 1. Default 1024.
    pub notice_buffer: usize,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self { clock: Clock::Store, notice_buffer: 1024 }
    }
}
