//! Which artifact has a URL: what keeps two from having the same.
//!
//! A claim is an object whose key is made from kind and URL. It is written on the condition that there is none, and
//! names the artifact that has the URL, or is about to. Whoever registers an artifact writes the claim first and the
//! record second; the record alone makes the artifact visible, whole or not at all. What a crash leaves behind:
//!
//! | after | is left | what becomes of it |
//! |---|---|---|
//! | the claim of a registration | a claim whose artifact is not there | after a minute the next registration takes it over |
//! | the claim of a new URL in an update | a claim whose artifact has another URL | the same |
//! | the record of an update with a new URL | the old URL's claim, as above | the same |
//! | the deletion of a record | as above, and files | the same; files are never shown without their record |
//!
//! A minute is only politeness towards whoever may still be at work. That a writer who was slower than that cannot
//! finish after all is ensured by barring its way before its claim is taken over: where the record is missing, its
//! place is taken by a note that it was withdrawn; where it has another URL, it is written anew with its revision
//! counted up. Either way the slow writer's own write, which depends on what it saw, is refused.
//!
//! A claim is given up only as the one that was seen before the record changed, so nobody gives up a claim that
//! somebody else has renewed in the meantime.

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::artifact::{Id, Kind};
use crate::key;
use crate::record::{Record, Stored};
use crate::source::Source;
use crate::store::{Etag, Objects, StoreError};

/// How long a claim stands without its artifact.
const PATIENCE: Duration = Duration::minutes(1);
/// How often a claim is asked for that others are changing.
const TRIES: usize = 16;

/// A claim of ours, as it was written or seen.
#[derive(Debug)]
pub(crate) struct Held {
    key: String,
    etag: Etag,
}

/// Why a claim was not to be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClaimError {
    /// An artifact has the URL, or is about to: then its id is not known yet.
    #[error("another artifact has this URL")]
    Taken(Option<Id>),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the system has no random bytes")]
    Random(#[source] getrandom::Error),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Claim {
    id: Id,
    kind: Kind,
    url: String,
    #[serde(with = "time::serde::rfc3339")]
    claimed_at: OffsetDateTime,
    /// Tells a claim from the next one of the same artifact.
    nonce: String,
}

/// Claims a URL for the artifact `id`.
pub(crate) async fn take(
    objects: &Objects,
    kind: Kind,
    source: &Source,
    id: &Id,
) -> Result<Held, ClaimError> {
    let key = key::claim(kind, source);
    let claim = Claim {
        id: id.clone(),
        kind,
        url: source.as_str().to_owned(),
        claimed_at: OffsetDateTime::now_utc(),
        nonce: nonce().map_err(ClaimError::Random)?,
    };
    let bytes = serde_json::to_vec(&claim).map_err(StoreError::unavailable)?;
    for _ in 0..TRIES {
        match objects.create(&key, bytes.clone()).await {
            Ok(etag) => return Ok(Held { key, etag }),
            Err(StoreError::Exists) => {}
            // Perhaps only the answer was lost. If nobody can tell, it stands for a minute.
            Err(error) => match objects.get(&key).await {
                Ok(Some((standing, etag))) if standing == bytes => return Ok(Held { key, etag }),
                _ => return Err(error.into()),
            },
        }
        let Some((standing, etag)) = objects.get(&key).await? else {
            continue; // it was given up this moment
        };
        if standing == bytes {
            return Ok(Held { key, etag }); // an earlier try of the SDK, whose answer was lost
        }
        // What is not a claim claims nothing.
        if let Ok(standing) = serde_json::from_slice::<Claim>(&standing)
            && standing.id != *id
        {
            match standing.bar(objects).await? {
                Standing::Good => return Err(ClaimError::Taken(Some(standing.id))),
                Standing::Young => return Err(ClaimError::Taken(None)),
                Standing::Changing => continue,
                Standing::Void => {
                    tracing::info!(url = claim.url, from = %standing.id, to = %id, "a claim without an artifact is taken over");
                }
            }
        }
        match objects.replace(&key, bytes.clone(), &etag).await {
            Ok(etag) => return Ok(Held { key, etag }),
            Err(StoreError::Changed) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ClaimError::Taken(None))
}

/// Refuses a URL that another artifact than `id` is known to have, without changing anything: what may be had now may
/// be taken by the time it is claimed.
pub(crate) async fn check(
    objects: &Objects,
    kind: Kind,
    source: &Source,
    id: Option<&Id>,
) -> Result<(), ClaimError> {
    let Some((bytes, _)) = objects.get(&key::claim(kind, source)).await? else {
        return Ok(());
    };
    match serde_json::from_slice::<Claim>(&bytes) {
        Ok(claim) if Some(&claim.id) != id => match claim.look(objects).await? {
            Seen::Standing(Standing::Good) => Err(ClaimError::Taken(Some(claim.id))),
            Seen::Standing(Standing::Young) => Err(ClaimError::Taken(None)),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// The claim that the artifact `id` has to a URL, if it has one.
pub(crate) async fn of(
    objects: &Objects,
    kind: Kind,
    source: &Source,
    id: &Id,
) -> Result<Option<Held>, StoreError> {
    let key = key::claim(kind, source);
    let found = objects.get(&key).await?;
    Ok(found.and_then(|(bytes, etag)| {
        let claim: Claim = serde_json::from_slice(&bytes).ok()?;
        (claim.id == *id).then_some(Held { key, etag })
    }))
}

/// Gives a claim up. What goes wrong is only told to the log: a claim without an artifact is taken over anyway.
pub(crate) async fn release(objects: &Objects, held: Held) {
    match objects.delete_if(&held.key, &held.etag).await {
        Ok(()) | Err(StoreError::Changed) => {}
        Err(error) => {
            tracing::warn!(key = held.key, error = %shared::telemetry::chain(&error), "a claim is left behind");
        }
    }
}

/// What a claim is worth.
enum Standing {
    /// Its artifact has the URL.
    Good,
    /// Its artifact may be about to.
    Young,
    /// It is nobody's, and will not be.
    Void,
    /// Somebody is at work just now.
    Changing,
}

/// What is found at the place of a claim's artifact.
enum Seen {
    /// What the claim is worth, as it is.
    Standing(Standing),
    /// Nothing.
    Nothing,
    /// An artifact with another URL.
    Other(Box<Record>, Etag),
}

impl Claim {
    /// Looks at the claim's artifact; if that does not have the URL, sees to it that it will not get it by a write
    /// that is still under way.
    async fn bar(&self, objects: &Objects) -> Result<Standing, StoreError> {
        let key = key::record(&self.id);
        let barred = match self.look(objects).await? {
            Seen::Standing(standing) => return Ok(standing),
            Seen::Nothing => objects.create(&key, Stored::withdrawn()).await,
            Seen::Other(mut record, etag) => {
                record.revision += 1;
                objects.replace(&key, record.to_bytes(), &etag).await
            }
        };
        match barred {
            Ok(_) => Ok(Standing::Void),
            Err(StoreError::Exists | StoreError::Changed) => Ok(Standing::Changing),
            Err(error) => Err(error),
        }
    }

    async fn look(&self, objects: &Objects) -> Result<Seen, StoreError> {
        let is_young = OffsetDateTime::now_utc() - self.claimed_at < PATIENCE;
        let Some((bytes, etag)) = objects.get(&key::record(&self.id)).await? else {
            return Ok(if is_young {
                Seen::Standing(Standing::Young)
            } else {
                Seen::Nothing
            });
        };
        Ok(match Stored::parse(&self.id, &bytes) {
            Ok(Stored::Withdrawn { .. }) => Seen::Standing(Standing::Void),
            Ok(Stored::Artifact(record)) if record.kind == self.kind && record.url == self.url => {
                Seen::Standing(Standing::Good)
            }
            // Nobody can tell what is in it, so it may be this URL.
            Err(_unreadable) => Seen::Standing(Standing::Good),
            Ok(Stored::Artifact(_)) if is_young => Seen::Standing(Standing::Young),
            Ok(Stored::Artifact(record)) => Seen::Other(record, etag),
        })
    }
}

fn nonce() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(u128::from_le_bytes(bytes).to_string())
}
