//! Threads for closures that block.
