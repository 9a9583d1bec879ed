//! Metrics and the line in the log of what was loaded.

use std::time::Duration;

use shared::telemetry::{self, Metric};

use crate::report::Report;

/// Publishes what became of documents. Reasons are metrics of their own, published when there are such.
pub(crate) fn publish(
    report: &Report,
    oldest: Option<Duration>,
    duration: Duration,
    role_calls: usize,
) {
    let mut metrics = vec![
        Metric::count("DocumentsLoaded", report.loaded),
        Metric::count("DocumentsUnchanged", report.unchanged),
        Metric::count("LoadsRetried", report.retried),
        Metric::count("LoadsParked", report.parked),
        Metric::count("LoadsFailed", report.failed),
        Metric::count("LoadsNeedingOcr", report.needs_ocr),
        Metric::count("RolesAssumed", role_calls),
        Metric::milliseconds("LoadDuration", duration),
    ];
    if let Some(oldest) = oldest {
        metrics.push(Metric::milliseconds("OldestPendingAge", oldest));
    }
    let count = |codes: &[&str]| -> usize {
        codes
            .iter()
            .filter_map(|code| report.reasons.get(code))
            .sum()
    };
    for metric in [
        Metric::count("ObjectsMissing", count(&["missing", "bucket_missing"])),
        Metric::count("ObjectsDenied", count(&["denied"])),
        Metric::count("ObjectsArchived", count(&["archived"])),
        Metric::count("ObjectsTooLarge", count(&["too_large"])),
        Metric::count(
            "ObjectsUnreadable",
            count(&[
                "encrypted",
                "unsupported",
                "parse_failure",
                "too_costly",
                "refused",
                "rejected",
                "invalid_uri",
            ]),
        ),
        Metric::count("ObjectsSuperseded", count(&["superseded"])),
        Metric::count(
            "ObjectsUnavailable",
            count(&[
                "throttled",
                "unavailable",
                "expired",
                "damaged",
                "timed_out",
                "crashed",
                "overloaded",
            ]),
        ),
        Metric::count(
            "RolesRefused",
            count(&["role_denied", "role_invalid", "role_unavailable"]),
        ),
    ] {
        if metric.is_any() {
            metrics.push(metric);
        }
    }
    telemetry::publish(&metrics);
    tracing::info!(
        finished = report.finished,
        loaded = report.loaded,
        unchanged = report.unchanged,
        retried = report.retried,
        parked = report.parked,
        failed = report.failed,
        needs_ocr = report.needs_ocr,
        returned = report.returned,
        gone = report.gone,
        duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        "{} documents loaded",
        report.loaded,
    );
}
