//! How far a comparison has come, kept in the database.

use std::time::Duration;

use shared::telemetry::chain;
use tokio_postgres::types::Type;

use super::{Counts, Order};
use crate::index::connections::Connections;
use crate::index::row::{Parameter, escaped};
use crate::index::{DatabaseError, PATIENCE};

/// What giving back the lease may take.
const RELEASE_PATIENCE: Duration = Duration::from_millis(500);

/// The longest interval in hours, a century: dates end somewhere.
const LONGEST: u32 = 876_000;

/// Begins a run, or takes up one that has not finished. Nothing is returned if another instance is at it, or the last
/// run is too young. A run that is thorough stays so.
const BEGIN: &str = "
    insert into registry_rebuild as run (dry_run, thorough, started_at, leased_until, counts)
    values ($1, $2, current_timestamp, current_timestamp + make_interval(secs => $3), '{}')
    on conflict (dry_run) do update set
        (thorough, started_at, position, counts) = (
            select
                excluded.thorough or goes_on and run.thorough,
                case when goes_on then run.started_at else excluded.started_at end,
                case when goes_on then run.position end,
                case when goes_on then run.counts else '{}' end
            from (values (
                run.finished_at is null and not $4::boolean and (run.thorough or not excluded.thorough)
            )) as decided (goes_on)
        ),
        leased_until = excluded.leased_until,
        finished_at = null
    where coalesce(run.leased_until < current_timestamp, true)
        and coalesce(run.finished_at < current_timestamp - make_interval(secs => $5), true)
    returning thorough, position, counts";

const LOOK: &str = "
    select coalesce(leased_until >= current_timestamp, false), counts from registry_rebuild where dry_run = $1";

const NOTE: &str = "update registry_rebuild set position = $2, counts = $3 where dry_run = $1";

/// Ends a run. From the first one on that is not dry, the index is the one of this store.
const END: &str = "
    with marked as (
        insert into registry_artifact (place, stamp, etag, name, description, has_claim, format)
        select '', 1, '', $3::text, '', true, 0::smallint where not $1
        on conflict do nothing
    )
    update registry_rebuild set finished_at = current_timestamp, leased_until = null, counts = $2 where dry_run = $1";

const RELEASE: &str = "update registry_rebuild set leased_until = null where dry_run = $1";

/// A comparison that this instance, and no other, is at.
#[derive(Debug)]
pub(super) struct Run {
    /// A dry run: nothing is written.
    pub(super) counts_only: bool,
    pub(super) is_thorough: bool,
    /// The last place that has been compared.
    pub(super) position: Option<String>,
    pub(super) counts: Counts,
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

impl Run {
    /// Begins a run, or takes up one that has not finished, for this long at most.
    pub(super) async fn begin(
        connections: &Connections,
        order: &Order,
        lease: Duration,
    ) -> Result<Begun, DatabaseError> {
        // The instance may be slow to notice that its time is over.
        let lease = (lease + Duration::from_secs(5)).as_secs_f64();
        // Without an interval no run is too young.
        let interval = order
            .every_hours
            .map_or(0.0, |hours| f64::from(hours.min(LONGEST)) * 3600.0);
        connections
            .run(PATIENCE, |session| async move {
                let parameters: [Parameter<'_>; 5] = [
                    (&order.dry_run, Type::BOOL),
                    (&order.thorough, Type::BOOL),
                    (&lease, Type::FLOAT8),
                    (&order.restart, Type::BOOL),
                    (&interval, Type::FLOAT8),
                ];
                let client = session.client();
                if let Some(row) = client.query_typed_opt(BEGIN, &parameters).await? {
                    return Ok(Begun::Run(Self {
                        counts_only: order.dry_run,
                        is_thorough: row.try_get(0)?,
                        position: row.try_get(1)?,
                        counts: counts(row.try_get(2)?),
                    }));
                }
                let row = client
                    .query_typed_one(LOOK, &[(&order.dry_run, Type::BOOL)])
                    .await?;
                let counts = counts(row.try_get(1)?);
                Ok(if row.try_get(0)? {
                    Begun::Running(counts)
                } else {
                    Begun::NotDue(counts)
                })
            })
            .await
    }

    /// Notes how far the run has come.
    pub(super) async fn note(&self, connections: &Connections) -> Result<(), DatabaseError> {
        let counts = self.counts_text();
        let counts = &counts;
        connections
            .run(PATIENCE, |session| async move {
                let parameters: [Parameter<'_>; 3] = [
                    (&self.counts_only, Type::BOOL),
                    (&self.position, Type::TEXT),
                    (counts, Type::TEXT),
                ];
                session.client().execute_typed(NOTE, &parameters).await
            })
            .await?;
        Ok(())
    }

    /// Ends the run: the next one begins anew.
    pub(super) async fn end(
        &self,
        connections: &Connections,
        store: &str,
    ) -> Result<(), DatabaseError> {
        let (counts, store) = (&self.counts_text(), &escaped(store));
        connections
            .run(PATIENCE, |session| async move {
                let parameters: [Parameter<'_>; 3] = [
                    (&self.counts_only, Type::BOOL),
                    (counts, Type::TEXT),
                    (store, Type::TEXT),
                ];
                session.client().execute_typed(END, &parameters).await
            })
            .await?;
        Ok(())
    }

    /// Lets other instances go on with the run. Should that fail, they may when the lease is over.
    pub(super) async fn release(&self, connections: &Connections) {
        let released = connections.run(RELEASE_PATIENCE, |session| async move {
            let parameters: [Parameter<'_>; 1] = [(&self.counts_only, Type::BOOL)];
            session.client().execute_typed(RELEASE, &parameters).await
        });
        if let Err(error) = released.await {
            tracing::warn!(error = %chain(&error), "the lease of a comparison was not given back");
        }
    }

    fn counts_text(&self) -> String {
        // Plain numbers always have a JSON form.
        serde_json::to_string(&self.counts).unwrap_or_default()
    }
}

/// Counts as they were noted; what cannot be read counts as nothing.
fn counts(text: &str) -> Counts {
    serde_json::from_str(text).unwrap_or_default()
}
