//! The same as in `registry.rs`, with an index: nobody can tell the difference, except by what S3 is asked.

#[path = "registry.rs"]
mod behaviour;
