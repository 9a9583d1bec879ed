//! Instants, in milliseconds since 1970.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The present one.
pub(crate) fn now() -> i64 {
    let now = OffsetDateTime::now_utc();
    now.unix_timestamp() * 1000 + i64::from(now.millisecond())
}

/// ISO 8601 in whole seconds, as STS and IAM print times.
pub(crate) fn print(milliseconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(milliseconds.div_euclid(1000))
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
        .format(&Rfc3339)
        .unwrap_or_default()
}
