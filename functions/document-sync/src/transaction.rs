//! One batch as one transaction: ledger, documents and quarantine.

use std::collections::HashMap;

use time::OffsetDateTime;
use tokio_postgres::Client;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::documents::{Applied, State};
use crate::ledger::{self, Contents, Entered, Parameter, Sorted};
use crate::quarantine::{self, Quarantined};
use crate::sequencer::Sequencer;
use crate::table::Table;

/// What a transaction is to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work<'a> {
    /// At most one state per object.
    pub(crate) states: &'a [State],
    /// Messages to put into quarantine along with it.
    pub(crate) quarantined: &'a [Quarantined<'a>],
    /// Whether the documents are compared even where the ledger says that nothing changed: they were found to differ.
    pub(crate) repair: bool,
    pub(crate) unknown: Unknown,
}

/// How objects are written that the ledger did not know a moment ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// As new in both tables, which is fast, and fails if one of them is there after all.
    Inserted,
    /// Like those it knows.
    Upserted,
}

/// Two round trips if every object is new, three otherwise: what does not depend on an answer is sent along with
/// what comes before it.
///
/// The documents are written by statements of their own, after those of the ledger: their snapshots then include
/// what the transactions waited for there have written. In one statement with those, a deletion would miss a row
/// just inserted by another transaction.
pub(crate) async fn transact(
    client: &Client,
    table: &Table,
    work: Work<'_>,
) -> Result<Applied, tokio_postgres::Error> {
    let mut sorted: Sorted<'_> = work
        .states
        .iter()
        .map(|state| (state.location.digest(), state))
        .collect();
    sorted.sort_unstable_by_key(|(object, _)| *object);
    let mut duplicate = 0;
    let (new, newer) = match work.unknown {
        Unknown::Inserted => {
            let objects: Vec<Uuid> = sorted.iter().map(|(object, _)| *object).collect();
            let (begun, known) = tokio::join!(
                client.batch_execute("begin"),
                ledger::known(client, &objects)
            );
            begun?;
            compare(&sorted, &known?, &mut duplicate)
        }
        Unknown::Upserted => {
            client.batch_execute("begin").await?;
            (Vec::new(), sorted)
        }
    };
    let mut writes = Writes::default();
    for (_, state) in &new {
        writes.add_new(state, table);
    }
    let mut entered = new.len();
    let mut changed = new.len();
    if newer.is_empty() {
        let (met, finished) = tokio::join!(
            ledger::meet(client, &new),
            finish(client, table, &writes, work.quarantined)
        );
        met?;
        finished?;
    } else {
        let (met, rows) = tokio::join!(ledger::meet(client, &new), ledger::enter(client, &newer));
        met?;
        let rows = rows?;
        entered += rows.len();
        for row in rows.iter().filter(|row| row.changed || work.repair) {
            changed += 1;
            writes.add_entered(*row);
        }
        finish(client, table, &writes, work.quarantined).await?;
    }
    Ok(Applied {
        changed,
        confirmed: entered - changed,
        stale: work.states.len() - entered - duplicate,
        duplicate,
        refused: Vec::new(),
    })
}

/// Splits off what the ledger does not know, and leaves out what it knows to be late. That stays late, so no lock is
/// needed; what is newer is compared again when it is entered.
fn compare<'a>(
    sorted: &[(Uuid, &'a State)],
    known: &HashMap<Uuid, Sequencer>,
    duplicate: &mut usize,
) -> (Sorted<'a>, Sorted<'a>) {
    let (mut new, mut newer) = (Vec::new(), Vec::new());
    for entry in sorted {
        match known.get(&entry.0) {
            None => new.push(*entry),
            Some(known) if *known < entry.1.sequencer => newer.push(*entry),
            Some(known) => *duplicate += usize::from(*known == entry.1.sequencer),
        }
    }
    (new, newer)
}

/// Writes the documents that changed and the quarantine, and commits. Should writing fail, the commit sent along
/// with it is answered with a rollback.
async fn finish(
    client: &Client,
    table: &Table,
    writes: &Writes<'_>,
    quarantined: &[Quarantined<'_>],
) -> Result<(), tokio_postgres::Error> {
    let (removed, overwritten, inserted, kept, committed) = tokio::join!(
        remove(client, table, &writes.gone),
        overwrite(client, table, &writes.there),
        insert(client, table, &writes.new),
        quarantine::keep(client, quarantined),
        client.batch_execute("commit"),
    );
    removed
        .and(overwritten)
        .and(inserted)
        .and(kept)
        .and(committed)
}

async fn remove(
    client: &Client,
    table: &Table,
    gone: &[&State],
) -> Result<(), tokio_postgres::Error> {
    if !gone.is_empty() {
        let gone: Vec<String> = gone.iter().map(|state| state.location.uri()).collect();
        let parameters: [Parameter<'_>; 1] = [(&gone, Type::TEXT_ARRAY)];
        client.execute_typed(&table.remove, &parameters).await?;
    }
    Ok(())
}

async fn overwrite(
    client: &Client,
    table: &Table,
    there: &[(&State, bool)],
) -> Result<(), tokio_postgres::Error> {
    if !there.is_empty() {
        let there = in_order(there, |(state, _)| state);
        let (states, changed): (Vec<&State>, Vec<bool>) = there.into_iter().unzip();
        let rows = Rows::of(&states);
        let [uri, title, size, etag, version_id, time] = rows.parameters();
        let changed: Parameter<'_> = (&changed, Type::BOOL_ARRAY);
        let parameters = [uri, title, size, etag, version_id, time, changed];
        client.execute_typed(&table.overwrite, &parameters).await?;
    }
    Ok(())
}

async fn insert(
    client: &Client,
    table: &Table,
    new: &[&State],
) -> Result<(), tokio_postgres::Error> {
    if !new.is_empty() {
        let rows = Rows::of(&in_order(new, |state| state));
        client
            .execute_typed(&table.insert, &rows.parameters())
            .await?;
    }
    Ok(())
}

/// The order of the URIs: neighbours in the index are written together.
fn in_order<T: Copy>(entries: &[T], state: impl Fn(&T) -> &State) -> Vec<T> {
    let mut entries = entries.to_vec();
    entries.sort_unstable_by(|left, right| {
        let name = |entry| {
            let location = &state(entry).location;
            (location.bucket(), location.key())
        };
        name(left).cmp(&name(right))
    });
    entries
}

/// What is to be done with the documents.
#[derive(Default)]
struct Writes<'a> {
    gone: Vec<&'a State>,
    /// With what the ledger says: whether the object changed.
    there: Vec<(&'a State, bool)>,
    new: Vec<&'a State>,
}

impl<'a> Writes<'a> {
    /// Of an object that was entered as new. Without a unique index to tell, its document may be there already.
    fn add_new(&mut self, state: &'a State, table: &Table) {
        match &state.content {
            None => self.gone.push(state),
            Some(_) if table.is_unique => self.new.push(state),
            Some(_) => self.there.push((state, false)),
        }
    }

    fn add_entered(&mut self, entered: Entered<'a>) {
        match &entered.state.content {
            None => self.gone.push(entered.state),
            Some(_) => self
                .there
                .push((entered.state, entered.changed && entered.known)),
        }
    }
}

/// Documents as columns.
struct Rows<'a> {
    uris: Vec<String>,
    titles: Vec<&'a str>,
    contents: Contents<'a>,
    times: Vec<OffsetDateTime>,
}

impl<'a> Rows<'a> {
    fn of(states: &[&'a State]) -> Self {
        Self {
            uris: states.iter().map(|state| state.location.uri()).collect(),
            titles: states.iter().map(|state| state.location.title()).collect(),
            contents: Contents::of(states),
            times: states.iter().map(|state| state.time).collect(),
        }
    }

    fn parameters(&self) -> [Parameter<'_>; 6] {
        [
            (&self.uris, Type::TEXT_ARRAY),
            (&self.titles, Type::TEXT_ARRAY),
            (&self.contents.sizes, Type::INT8_ARRAY),
            (&self.contents.etags, Type::TEXT_ARRAY),
            (&self.contents.version_ids, Type::TEXT_ARRAY),
            (&self.times, Type::TIMESTAMPTZ_ARRAY),
        ]
    }
}
