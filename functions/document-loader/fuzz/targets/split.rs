//! Whatever a text is, and however it is to be split.
#![no_main]

#[path = "../properties/split.rs"]
mod split;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| split::hold_for_bytes(bytes));
