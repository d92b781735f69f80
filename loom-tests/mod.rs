//! Models of the protocols, one file each: every interleaving is tried.

mod memory;
