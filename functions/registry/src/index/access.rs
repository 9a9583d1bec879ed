//! What instances have to count together: calls of tokens, and failed logins.

use time::{Duration, OffsetDateTime};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::row::{Parameter, escaped};
use super::{DatabaseError, Index};

/// What counting may take: every request waits for it.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(1);

/// Some calls more, unless there have been enough. Gives how many there are now.
const CALL: &str = "
    insert into registry_token as known (token, calls, expires_at) values ($1, $2, $3)
    on conflict (token) do update set calls = known.calls + excluded.calls where known.calls < $4
    returning calls";

/// Lets a try begin, which counts as failed from now on, unless it has to wait. From the eleventh on, each has to wait
/// twice as long as the one before: see `access::throttle`.
const TRY: &str = "
    insert into registry_login as known (name, failures, next_at, forget_at)
    values ($1, 1, $2, $2 + interval '15 minutes')
    on conflict (name) do update set
        failures = case when known.forget_at > $2 then known.failures else 0 end + 1,
        next_at = case when known.forget_at > $2 and known.failures >= 9
            then $2 + make_interval(secs => least(30, 2 ^ least(known.failures - 9, 5))) else $2 end,
        forget_at = excluded.forget_at
    where known.next_at <= $2 or known.forget_at <= $2
    returning next_at";

const WAIT: &str = "select next_at from registry_login where name = $1";

const FORGET: &str = "delete from registry_login where name = $1";

const FORGIVE: &str = "
    update registry_login set failures = failures - 1, next_at = least(next_at, $2) where name = $1 and failures > 0";

impl Index {
    /// Counts `calls` made with a token, which is good for `limit`. Gives how many there are now; `None` if there had
    /// been enough before.
    pub(crate) async fn call(
        &self,
        token: [u8; 16],
        calls: u32,
        limit: u32,
        expires_at: OffsetDateTime,
    ) -> Result<Option<u32>, DatabaseError> {
        let token = Uuid::from_bytes(token);
        let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        let (calls, limit) = (number(calls), number(limit));
        self.connections
            .run(PATIENCE, |session| async move {
                let parameters: [Parameter<'_>; 4] = [
                    (&token, Type::UUID),
                    (&calls, Type::INT4),
                    (&expires_at, Type::TIMESTAMPTZ),
                    (&limit, Type::INT4),
                ];
                let row = session.client().query_typed_opt(CALL, &parameters).await?;
                let calls: Option<i32> = row.map(|row| row.try_get(0)).transpose()?;
                Ok(calls.map(|calls| u32::try_from(calls).unwrap_or_default()))
            })
            .await
    }

    /// Lets a try to log in begin, or says how long to wait.
    pub(crate) async fn begin_login(
        &self,
        user: &str,
        now: OffsetDateTime,
    ) -> Result<Result<(), Duration>, DatabaseError> {
        let user = &escaped(user);
        self.connections
            .run(PATIENCE, |session| async move {
                let parameters: [Parameter<'_>; 2] =
                    [(user, Type::TEXT), (&now, Type::TIMESTAMPTZ)];
                let client = session.client();
                if client.query_typed_opt(TRY, &parameters).await?.is_some() {
                    return Ok(Ok(()));
                }
                let [user, _] = parameters;
                let row = client.query_typed_opt(WAIT, &[user]).await?;
                let next: Option<OffsetDateTime> = row.map(|row| row.try_get(0)).transpose()?;
                // Who was forgiven meanwhile need not wait long.
                let wait = next.map_or(Duration::ZERO, |next| next - now);
                Ok(Err(wait.max(Duration::milliseconds(1))))
            })
            .await
    }

    /// The password was right.
    pub(crate) async fn forget_logins(&self, user: &str) -> Result<(), DatabaseError> {
        let user = &escaped(user);
        self.connections
            .run(PATIENCE, |session| async move {
                session
                    .client()
                    .execute_typed(FORGET, &[(user, Type::TEXT)])
                    .await
            })
            .await?;
        Ok(())
    }

    /// Whether the password was right could not be found out.
    pub(crate) async fn forgive_login(
        &self,
        user: &str,
        now: OffsetDateTime,
    ) -> Result<(), DatabaseError> {
        let user = &escaped(user);
        self.connections
            .run(PATIENCE, |session| async move {
                let parameters: [Parameter<'_>; 2] =
                    [(user, Type::TEXT), (&now, Type::TIMESTAMPTZ)];
                session.client().execute_typed(FORGIVE, &parameters).await
            })
            .await?;
        Ok(())
    }
}
