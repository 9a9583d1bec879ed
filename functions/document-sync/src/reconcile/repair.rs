//! What is done about differences.

use std::collections::HashSet;

use time::OffsetDateTime;
use tokio::time::Instant;
use uuid::Uuid;

use super::Error;
use super::difference::{Kind, Suspicion};
use super::run::Run;
use crate::change::Location;
use crate::documents::{Applied, State};
use crate::handle::DocumentSync;
use crate::question::ask;
use crate::sequencer::Sequencer;
use crate::transaction::Unknown;

impl DocumentSync {
    /// Finds out what the objects are, and writes the documents. `complete`: the listing tells all that there is to
    /// tell. `false` when there was no time to ask about all of them until `stop`.
    pub(super) async fn follow_up(
        &self,
        suspicions: Vec<Suspicion>,
        complete: bool,
        run: &mut Run,
        stop: Instant,
    ) -> Result<bool, Error> {
        if suspicions.is_empty() {
            return Ok(true);
        }
        let objects: Vec<Uuid> = suspicions
            .iter()
            .map(|suspicion| suspicion.location.digest())
            .collect();
        let known = self.documents.sequencers(&objects).await?;
        let now = OffsetDateTime::now_utc();
        let (mut told, mut questions) = (Vec::new(), Vec::new());
        for suspicion in suspicions {
            let sequencer = known.get(&suspicion.location.digest()).copied();
            // Of an object without an entry no event has come, so the listing's word is as good as any: should an
            // event come before this is entered, its entry stands. With an entry, S3 has to be asked after that was
            // read.
            let is_told = sequencer.is_none() && complete;
            let state = State {
                location: suspicion.location,
                sequencer: sequencer.unwrap_or(Sequencer::ZERO).successor(),
                time: suspicion.time.unwrap_or(now),
                content: is_told.then_some(suspicion.listed),
            };
            if is_told {
                told.push((state, suspicion.kind));
            } else {
                questions.push((state, suspicion.kind));
            }
        }
        let answers = ask(&self.s3, &self.filter, questions, stop).await;
        run.failed(answers.unanswered.len() + answers.denied.len());
        told.extend(answers.known);

        let (missing, different): (Vec<_>, Vec<_>) = told
            .into_iter()
            .partition(|(_, kind)| *kind == Kind::Missing);
        let states = |told: Vec<(State, Kind)>| -> Vec<State> {
            told.into_iter().map(|(state, _)| state).collect()
        };
        let (missing, different) = (states(missing), states(different));
        run.add(&self.documents.repair(&missing, Unknown::Inserted).await?);
        run.add(&self.documents.repair(&different, Unknown::Upserted).await?);
        Ok(answers.unasked.is_empty())
    }

    /// Removes documents of which S3 says, asked once more, that there is no object. Gives those that there was no
    /// time to ask about until `stop`.
    pub(super) async fn follow_up_surplus(
        &self,
        uris: &[String],
        run: &mut Run,
        stop: Instant,
    ) -> Result<HashSet<String>, Error> {
        let base = format!("s3://{}/", run.bucket);
        let locations: Vec<Location> = uris
            .iter()
            .filter_map(|uri| {
                Location::new(run.bucket.clone(), uri.strip_prefix(&base)?.to_owned()).ok()
            })
            .collect();
        run.failed(uris.len() - locations.len());
        let objects: Vec<Uuid> = locations.iter().map(Location::digest).collect();
        let known = self.documents.sequencers(&objects).await?;
        let now = OffsetDateTime::now_utc();
        let questions = locations
            .into_iter()
            .map(|location| {
                let sequencer = known.get(&location.digest()).copied();
                let state = State {
                    sequencer: sequencer.unwrap_or(Sequencer::ZERO).successor(),
                    time: now,
                    content: None,
                    location,
                };
                let uri = state.location.uri();
                (state, uri)
            })
            .collect();
        let answers = ask(&self.s3, &self.filter, questions, stop).await;
        run.failed(answers.unanswered.len() + answers.denied.len());
        let states: Vec<State> = answers.known.into_iter().map(|(state, _)| state).collect();
        run.add(&self.documents.repair(&states, Unknown::Upserted).await?);
        Ok(answers.unasked.into_iter().collect())
    }
}

impl Run {
    fn add(&mut self, applied: &Applied) {
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.counts.repaired += count(applied.changed + applied.confirmed);
        self.counts.superseded += count(applied.stale + applied.duplicate);
        self.failed(applied.refused.len());
    }

    fn failed(&mut self, number: usize) {
        self.counts.failed += i64::try_from(number).unwrap_or(i64::MAX);
    }
}
