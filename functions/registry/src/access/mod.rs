//! Who may do what: users, their passwords and their tokens.

pub mod password;
pub mod token;
