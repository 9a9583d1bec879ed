use futures_util::future::join;
use time::OffsetDateTime;

use super::{Error, Registry};
use crate::artifact::{Id, Kind};
use crate::audit::{Action, Actor, Entry, Subject, Trail};
use crate::index::Announcement;
use crate::record::Record;

impl Registry {
    /// What was done to artifacts.
    pub fn trail(&self) -> &Trail {
        &self.trail
    }

    /// Writes down that `user` does something to an artifact. When this returns, it is there for good: call it before
    /// the answer is given, and on a registry that is there to be written to.
    ///
    /// # Errors
    ///
    /// [`Error::Audit`].
    pub async fn audit(&self, user: &Actor, record: &Record, action: Action) -> Result<(), Error> {
        self.note(user, record.into(), action).await
    }

    /// What must be there before an artifact changes, both at once: the entry of who changes it, unless there is one already,
    /// and the announcement to the index.
    pub(super) async fn prepare<'a>(
        &'a self,
        id: &'a Id,
        entry: Option<(&Actor, &Record, Action)>,
    ) -> Result<Announcement<'a>, Error> {
        let noted = async {
            match entry {
                Some((user, record, action)) => self.audit(user, record, action).await,
                None => Ok(()),
            }
        };
        match Box::pin(join(noted, self.announce(id))).await {
            (Ok(()), announced) => announced,
            (Err(error), announced) => {
                if let Ok(announced) = announced {
                    announced.nothing().await;
                }
                Err(error)
            }
        }
    }

    pub(super) async fn note(
        &self,
        user: &Actor,
        artifact: Subject,
        action: Action,
    ) -> Result<(), Error> {
        let entry = Entry {
            user: user.clone(),
            date: OffsetDateTime::now_utc(),
            artifact,
            action,
        };
        Ok(self.trail.record(entry).await?)
    }

    /// What was done to an artifact, as [`Trail::entries`] has it; that somebody has asked is written down as well. Of an
    /// artifact that is gone, an admin may know.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Audit`].
    pub async fn history(
        &self,
        kind: Kind,
        id: &Id,
        user: &Actor,
        after: u64,
        enough: usize,
    ) -> Result<(Vec<Entry>, Option<u64>), Error> {
        let artifact = match self.read(kind, id).await {
            Ok((record, _)) => Some(Subject::from(&record)),
            Err(Error::NotFound) if user.is_admin => None,
            Err(error) => return Err(error),
        };
        let (entries, next) = self.trail.entries(id, after, enough).await?;
        let last = || entries.last().map(|entry| entry.artifact.clone());
        let artifact = artifact.or_else(last).filter(|known| known.kind == kind);
        let artifact = artifact.ok_or(Error::NotFound)?;
        self.note(user, artifact, Action::Audit).await?;
        Ok((entries, next))
    }
}
