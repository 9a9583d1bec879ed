//! Whatever an object contains, and whatever it is called.
#![no_main]

#[path = "../properties/sniff.rs"]
mod sniff;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sniff::hold_for_bytes(bytes));
