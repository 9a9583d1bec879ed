//! Temporary credentials of STS as rows.

use std::fmt;

use rusqlite::{Connection, OptionalExtension as _};

use crate::error::Failure;

/// Credentials that end, and what they were issued for.
#[derive(Clone)]
#[expect(
    clippy::struct_field_names,
    reason = "`session_name` is the name in STS"
)]
pub(crate) struct Session {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) token: String,
    /// Milliseconds since 1970.
    pub(crate) expires: i64,
    pub(crate) role_arn: String,
    /// `AROA…:session name`.
    pub(crate) assumed_role_id: String,
    pub(crate) session_name: String,
    pub(crate) external_id: Option<String>,
    pub(crate) policy: Option<String>,
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Session")
            .field("access_key_id", &self.access_key_id)
            .field("role_arn", &self.role_arn)
            .field("session_name", &self.session_name)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// The session of an access key, expired or not.
    pub(crate) fn look_up(
        connection: &Connection,
        access_key_id: &str,
    ) -> Result<Option<Self>, Failure> {
        let session = connection
            .prepare_cached(
                "SELECT access_key_id, secret_access_key, token, expires, role_arn, assumed_role_id, session_name,
                        external_id, policy FROM session WHERE access_key_id = ?1",
            )?
            .query_row([access_key_id], |row| {
                Ok(Self {
                    access_key_id: row.get(0)?,
                    secret_access_key: row.get(1)?,
                    token: row.get(2)?,
                    expires: row.get(3)?,
                    role_arn: row.get(4)?,
                    assumed_role_id: row.get(5)?,
                    session_name: row.get(6)?,
                    external_id: row.get(7)?,
                    policy: row.get(8)?,
                })
            })
            .optional()?;
        Ok(session)
    }

    /// Stores the session, and forgets those that ended before `forget_before` (milliseconds).
    pub(crate) fn insert(
        &self,
        connection: &Connection,
        forget_before: i64,
    ) -> Result<(), Failure> {
        connection
            .prepare_cached("DELETE FROM session WHERE expires < ?1")?
            .execute([forget_before])?;
        connection
            .prepare_cached(
                "INSERT INTO session (access_key_id, secret_access_key, token, expires, role_arn, assumed_role_id,
                                      session_name, external_id, policy) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute((
                &self.access_key_id,
                &self.secret_access_key,
                &self.token,
                self.expires,
                &self.role_arn,
                &self.assumed_role_id,
                &self.session_name,
                &self.external_id,
                &self.policy,
            ))?;
        Ok(())
    }

    /// `arn:aws:sts::…:assumed-role/…/…`, the identity of requests signed by this session.
    pub(crate) fn assumed_role_arn(&self) -> String {
        let role = self.role_arn.rsplit('/').next().unwrap_or_default();
        format!(
            "arn:aws:sts::{}:assumed-role/{role}/{}",
            self.account(),
            self.session_name
        )
    }

    /// The account of the role.
    pub(crate) fn account(&self) -> &str {
        self.role_arn.split(':').nth(4).unwrap_or_default()
    }
}
