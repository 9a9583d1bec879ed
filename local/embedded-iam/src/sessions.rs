//! The sessions that were issued: in memory, and as files, so that they outlive a restart.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::now;
use crate::file::{self, Survives};
use crate::session::Session;

/// Ended sessions are remembered for a day, so that their requests hear that they expired.
const MEMORY: i64 = 24 * 60 * 60 * 1000;
/// More sessions at a time are not issued.
const MOST: usize = 50_000;

#[derive(Debug)]
pub(crate) struct Sessions {
    folder: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    sessions: HashMap<String, Arc<Session>>,
    /// No session lasts longer, whatever was asked for.
    longest: Option<Duration>,
}

/// Why a session was not issued.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IssueError {
    #[error("there are too many sessions")]
    TooMany,
    #[error("the session could not be stored")]
    Io(#[from] io::Error),
}

impl Sessions {
    /// Reads those of earlier runs, and forgets those that ended long ago.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        file::make_folder(folder)?;
        let mut sessions = HashMap::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            // What is not a session is what was left of one that was never issued.
            let session: Option<Session> =
                file::read(&path)?.and_then(|text| serde_json::from_str(&text).ok());
            match session {
                Some(session) if session.expires > now() - MEMORY => {
                    sessions.insert(session.access_key_id.clone(), Arc::new(session));
                }
                _ => fs::remove_file(&path)?,
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            state: Mutex::new(State {
                sessions,
                longest: None,
            }),
        })
    }

    /// Issues a session of at most `lasts`, made by `make` from its end (milliseconds since 1970).
    pub(crate) fn issue(
        &self,
        lasts: Duration,
        make: impl FnOnce(i64) -> io::Result<Session>,
    ) -> Result<Arc<Session>, IssueError> {
        let longest = {
            let mut state = self.state();
            if state.sessions.len() >= MOST {
                self.forget(&mut state);
            }
            if state.sessions.len() >= MOST {
                return Err(IssueError::TooMany);
            }
            state.longest
        };
        let lasts = longest.map_or(lasts, |longest| lasts.min(longest));
        let expires = now() + i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX / 2);
        let session = Arc::new(make(expires)?);
        let text = serde_json::to_string(&*session).map_err(io::Error::other)?;
        // Before anyone knows it: a session that was answered is there after a restart.
        file::write(&self.path(&session), &text, Survives::Process)?;
        let key = session.access_key_id.clone();
        self.state().sessions.insert(key, Arc::clone(&session));
        Ok(session)
    }

    /// The session of an access key, ended or not.
    pub(crate) fn find(&self, access_key_id: &str) -> Option<Arc<Session>> {
        self.state().sessions.get(access_key_id).cloned()
    }

    /// Ends every session there is.
    pub(crate) fn end_all(&self) {
        for session in self.state().sessions.values_mut() {
            Arc::make_mut(session).expires = 0;
        }
    }

    /// From now on sessions last this long at most.
    pub(crate) fn limit(&self, longest: Option<Duration>) {
        self.state().longest = longest;
    }

    fn forget(&self, state: &mut State) {
        let limit = now() - MEMORY;
        state.sessions.retain(|_, session| {
            if session.expires > limit {
                return true;
            }
            if let Err(error) = file::remove(&self.path(session)) {
                tracing::warn!(%error, "the file of an ended session could not be removed");
            }
            false
        });
    }

    fn path(&self, session: &Session) -> PathBuf {
        self.folder.join(format!("{}.json", session.access_key_id))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
