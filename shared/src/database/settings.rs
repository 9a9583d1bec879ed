use crate::config::{Env, FromEnv};

use super::Url;

/// Where the database is and how a function proves who it is.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `DATABASE_URL`.
    pub url: Url,
}

impl FromEnv for Settings {
    fn from_env(env: &mut Env) -> Option<Self> {
        let url = env.required("DATABASE_URL");
        Some(Self { url: url? })
    }
}

impl From<Url> for Settings {
    fn from(url: Url) -> Self {
        Self { url }
    }
}
