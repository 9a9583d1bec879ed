//! How far a comparison has come, kept in the database.

use std::time::Duration;

use shared::telemetry::chain;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::Counts;
use crate::command::Reconcile;
use crate::documents::{self, Documents};
use crate::ledger::Parameter;

/// What giving back the lease may take, at the end of an invocation.
const PATIENCE: Duration = Duration::from_millis(500);

/// A run that has never been begun.
const CREATE: &str = "
    insert into reconcile_run (bucket, prefix, dry_run, state, started_at, compared,
        listed, documents, missing, different, surplus, repaired, superseded, failed)
    values ($1, $2, $3, 'unfinished', current_timestamp, false, 0, 0, 0, 0, 0, 0, 0, 0)
    on conflict do nothing";

/// Where it is. Others that begin it now wait for the end of the transaction.
const LOOK: &str = "
    select state, position, compared, coalesce(leased_until > current_timestamp, false),
        coalesce(finished_at > current_timestamp - make_interval(secs => $4), false),
        listed, documents, missing, different, surplus, repaired, superseded, failed
    from reconcile_run where bucket = $1 and prefix = $2 and dry_run = $3 for update";

const LEASE: &str = "
    update reconcile_run set leased_until = current_timestamp + make_interval(secs => $4)
    where bucket = $1 and prefix = $2 and dry_run = $3";

const RESTART: &str = "
    update reconcile_run set state = 'unfinished', started_at = current_timestamp, finished_at = null,
        position = null, compared = false, listed = 0, documents = 0, missing = 0, different = 0, surplus = 0,
        repaired = 0, superseded = 0, failed = 0
    where bucket = $1 and prefix = $2 and dry_run = $3";

const CLEAR_SURPLUS: &str = "delete from reconcile_surplus where bucket = $1 and prefix = $2";

/// Also adds the surplus found since, in the same statement, so that neither is there without the other.
const NOTE: &str = "
    with found as (
        insert into reconcile_surplus (bucket, prefix, uri)
        select $1, $2, uri from unnest($14::text[]) as found (uri) on conflict do nothing
    )
    update reconcile_run set position = $4, compared = $5, listed = $6, documents = $7, missing = $8, different = $9,
        surplus = $10, repaired = $11, superseded = $12, failed = $13
    where bucket = $1 and prefix = $2 and dry_run = $3";

const SURPLUS: &str = "
    select uri from reconcile_surplus where bucket = $1 and prefix = $2 order by uri limit $3";

const SETTLE: &str = "
    with settled as (
        delete from reconcile_surplus where bucket = $1 and prefix = $2 and uri = any ($7::text[])
    )
    update reconcile_run set repaired = $4, superseded = $5, failed = $6
    where bucket = $1 and prefix = $2 and dry_run = $3";

const END: &str = "
    with cleared as (
        delete from reconcile_surplus where bucket = $1 and prefix = $2 and not $3
    )
    update reconcile_run set state = $4, finished_at = current_timestamp
    where bucket = $1 and prefix = $2 and dry_run = $3";

const RELEASE: &str = "
    update reconcile_run set leased_until = null where bucket = $1 and prefix = $2 and dry_run = $3";

/// A comparison that this instance, and no other, is at.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) bucket: String,
    pub(super) prefix: String,
    /// A dry run: nothing is repaired.
    pub(super) counts_only: bool,
    /// The last key that has been compared.
    pub(super) position: Option<String>,
    /// Whether all have been.
    pub(super) compared: bool,
    pub(super) counts: Counts,
    /// Position and counts as they are in the database.
    noted: (Option<String>, Counts),
}

/// What came of beginning one.
#[derive(Debug)]
pub(super) enum Begun {
    Run(Run),
    /// With what the last run found.
    NotDue(Counts),
    /// With what it has found so far.
    Running(Counts),
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Finished,
    Refused,
}

impl Run {
    /// Begins a run, or takes up one that has not finished, for this long at most.
    pub(super) async fn begin(
        documents: &Documents,
        order: &Reconcile,
        lease: Duration,
    ) -> Result<Begun, documents::Error> {
        // The instance may be slow to notice that its time is over.
        let lease = (lease + Duration::from_secs(5)).as_secs_f64();
        documents
            .run(move |session| async move {
                let client = session.client();
                client.batch_execute("begin").await?;
                let begun = begin(client, order, lease).await?;
                client.batch_execute("commit").await?;
                Ok(begun)
            })
            .await
    }

    /// Takes back what was compared since the last note. What was repaired since stays so.
    pub(super) fn go_back(&mut self) {
        let (position, counts) = self.noted.clone();
        self.position = position;
        self.counts = counts;
    }

    /// Notes how far the run has come, and the documents found without an object.
    pub(super) async fn note(
        &mut self,
        documents: &Documents,
        surplus: &[String],
    ) -> Result<(), documents::Error> {
        // A dry run only counts them.
        let surplus = if self.counts_only { &[] } else { surplus };
        let run = &*self;
        documents
            .run(move |session| async move {
                let client = session.client();
                let Counts {
                    listed,
                    documents,
                    missing,
                    different,
                    surplus: found,
                    repaired,
                    superseded,
                    failed,
                } = &run.counts;
                let [bucket, prefix, dry_run] = run.name();
                let parameters: [Parameter<'_>; 14] = [
                    bucket,
                    prefix,
                    dry_run,
                    (&run.position, Type::TEXT),
                    (&run.compared, Type::BOOL),
                    (listed, Type::INT8),
                    (documents, Type::INT8),
                    (missing, Type::INT8),
                    (different, Type::INT8),
                    (found, Type::INT8),
                    (repaired, Type::INT8),
                    (superseded, Type::INT8),
                    (failed, Type::INT8),
                    (&surplus, Type::TEXT_ARRAY),
                ];
                client.execute_typed(NOTE, &parameters).await
            })
            .await?;
        self.noted = (self.position.clone(), self.counts);
        Ok(())
    }

    /// Some of the documents without an object; none when there are no more.
    pub(super) async fn surplus(
        &self,
        documents: &Documents,
        limit: usize,
    ) -> Result<Vec<String>, documents::Error> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        documents
            .run(move |session| async move {
                let client = session.client();
                let parameters: [Parameter<'_>; 3] = [
                    (&self.bucket, Type::TEXT),
                    (&self.prefix, Type::TEXT),
                    (&limit, Type::INT8),
                ];
                let rows = client.query_typed(SURPLUS, &parameters).await?;
                rows.iter().map(|row| row.try_get(0)).collect()
            })
            .await
    }

    /// Strikes documents off that have been seen to.
    pub(super) async fn settle(
        &self,
        documents: &Documents,
        surplus: &[String],
    ) -> Result<(), documents::Error> {
        documents
            .run(move |session| async move {
                let client = session.client();
                let [bucket, prefix, dry_run] = self.name();
                let parameters: [Parameter<'_>; 7] = [
                    bucket,
                    prefix,
                    dry_run,
                    (&self.counts.repaired, Type::INT8),
                    (&self.counts.superseded, Type::INT8),
                    (&self.counts.failed, Type::INT8),
                    (&surplus, Type::TEXT_ARRAY),
                ];
                client.execute_typed(SETTLE, &parameters).await
            })
            .await?;
        Ok(())
    }

    /// Ends the run: the next one begins anew.
    pub(super) async fn end(
        &self,
        documents: &Documents,
        state: State,
    ) -> Result<(), documents::Error> {
        let state = match state {
            State::Finished => "finished",
            State::Refused => "refused",
        };
        documents
            .run(move |session| async move {
                let client = session.client();
                let [bucket, prefix, dry_run] = self.name();
                let parameters = [bucket, prefix, dry_run, (&state, Type::TEXT)];
                client.execute_typed(END, &parameters).await
            })
            .await?;
        Ok(())
    }

    /// Lets other instances go on with the run. Should that fail, they may when the lease is over.
    pub(super) async fn release(&self, documents: &Documents) {
        let release = documents.run(move |session| async move {
            let client = session.client();
            client.execute_typed(RELEASE, &self.name()).await
        });
        let Ok(released) = tokio::time::timeout(PATIENCE, release).await else {
            return;
        };
        if let Err(error) = released {
            tracing::warn!(error = %chain(&error), "the lease of a reconcile was not given back");
        }
    }

    fn name(&self) -> [Parameter<'_>; 3] {
        [
            (&self.bucket, Type::TEXT),
            (&self.prefix, Type::TEXT),
            (&self.counts_only, Type::BOOL),
        ]
    }
}

async fn begin(
    client: &Client,
    order: &Reconcile,
    lease: f64,
) -> Result<Begun, tokio_postgres::Error> {
    let name = || -> [Parameter<'_>; 3] {
        [
            (&order.bucket, Type::TEXT),
            (&order.prefix, Type::TEXT),
            (&order.dry_run, Type::BOOL),
        ]
    };
    client.execute_typed(CREATE, &name()).await?;
    // Without an interval no run is too young.
    let interval = order.interval().unwrap_or_default().as_secs_f64();
    let [bucket, prefix, dry_run] = name();
    let looked = [bucket, prefix, dry_run, (&interval, Type::FLOAT8)];
    let row = client.query_typed_one(LOOK, &looked).await?;
    let state: &str = row.try_get(0)?;
    let counts = counts(&row)?;
    if row.try_get(3)? {
        return Ok(Begun::Running(counts));
    }
    let is_over = state != "unfinished";
    if is_over && row.try_get(4)? {
        return Ok(Begun::NotDue(counts));
    }
    let mut run = Run {
        bucket: order.bucket.clone(),
        prefix: order.prefix.clone(),
        counts_only: order.dry_run,
        position: row.try_get(1)?,
        compared: row.try_get(2)?,
        noted: (None, Counts::default()),
        counts,
    };
    if is_over || order.restart {
        client.execute_typed(RESTART, &name()).await?;
        if !order.dry_run {
            let [bucket, prefix, _] = name();
            client
                .execute_typed(CLEAR_SURPLUS, &[bucket, prefix])
                .await?;
        }
        run.position = None;
        run.compared = false;
        run.counts = Counts::default();
    }
    run.noted = (run.position.clone(), run.counts);
    let [bucket, prefix, dry_run] = name();
    let leased = [bucket, prefix, dry_run, (&lease, Type::FLOAT8)];
    client.execute_typed(LEASE, &leased).await?;
    Ok(Begun::Run(run))
}

fn counts(row: &Row) -> Result<Counts, tokio_postgres::Error> {
    Ok(Counts {
        listed: row.try_get(5)?,
        documents: row.try_get(6)?,
        missing: row.try_get(7)?,
        different: row.try_get(8)?,
        surplus: row.try_get(9)?,
        repaired: row.try_get(10)?,
        superseded: row.try_get(11)?,
        failed: row.try_get(12)?,
    })
}
