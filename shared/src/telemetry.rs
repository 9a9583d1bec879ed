//! Logs as AWS Lambda is set up to take them, and metrics in the CloudWatch embedded metric format.

use std::error::Error;
use std::fmt::Display;
use std::io::Write as _;
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// The function's name: the one dimension of every metric. Unset outside Lambda, where metrics are not printed.
static FUNCTION_NAME: OnceLock<String> = OnceLock::new();

/// Starts logging. Format and level come from the deployment (`AWS_LAMBDA_LOG_FORMAT`, `AWS_LAMBDA_LOG_LEVEL`).
///
/// Metrics are printed from here on if this process runs in Lambda.
pub fn init() {
    init_at(None);
}

/// As [`init`], at this level where the deployment names none.
pub fn init_at(level: Option<LogLevel>) {
    let is_deployed = std::env::var_os("AWS_LAMBDA_LOG_LEVEL").is_some();
    match level.filter(|_| !is_deployed) {
        Some(LogLevel(level)) => lambda_runtime::tracing::subscriber::fmt()
            .with_target(false)
            .with_max_level(level)
            .init(),
        None => lambda_runtime::tracing::init_default_subscriber(),
    }
    if let Ok(name) = std::env::var("AWS_LAMBDA_FUNCTION_NAME") {
        FUNCTION_NAME.get_or_init(|| name);
    }
}

/// The least important events that are logged, by the names that Rust or Python has for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLevel(tracing::Level);

impl FromStr for LogLevel {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "critical" | "fatal" => Ok(Self(tracing::Level::ERROR)),
            "warning" => Ok(Self(tracing::Level::WARN)),
            other => other
                .parse()
                .map(Self)
                .map_err(|_unknown| "it must be trace, debug, info, warning or error"),
        }
    }
}

/// An error with all its causes, for a field of a log line: `cannot connect: timed out`.
pub fn chain(error: &dyn Error) -> impl Display {
    let causes = std::iter::successors(Some(error), |cause| (*cause).source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// Publishes values under the names of CloudWatch metrics (namespace `Holdfast`, dimension `FunctionName`).
///
/// One call writes one line, which CloudWatch turns into metrics without an API call:
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>.
///
/// A line costs some microseconds.
pub fn publish(metrics: &[Metric]) {
    if let Some(function_name) = FUNCTION_NAME.get() {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let line = embedded_metric(function_name, now.as_millis(), metrics);
        // A raw line: through `tracing` it would be nested and ignored. In one piece: a write for each token costs more
        // than all the rest. Without standard output there is nobody to tell.
        let _ = std::io::stdout().lock().write_all(line.as_bytes());
    }
}

/// A measured value under a metric's name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    name: &'static str,
    unit: &'static str,
    value: f64,
}

impl Metric {
    /// A number of things.
    pub fn count(name: &'static str, value: usize) -> Self {
        // Counts of one invocation are far below 2^32, where f64 is exact.
        Self {
            name,
            unit: "Count",
            value: f64::from(u32::try_from(value).unwrap_or(u32::MAX)),
        }
    }

    /// Whether it counts anything.
    pub fn is_any(&self) -> bool {
        self.value > 0.0
    }

    /// A duration in milliseconds.
    pub fn milliseconds(name: &'static str, value: std::time::Duration) -> Self {
        Self {
            name,
            unit: "Milliseconds",
            value: value.as_secs_f64() * 1000.0,
        }
    }
}

/// One line, written by hand: it is made for every request, and a tree of values would cost three times as much. Names and
/// units are ours, and need no escapes.
fn embedded_metric(function_name: &str, timestamp: u128, metrics: &[Metric]) -> String {
    let definitions: Vec<String> = metrics
        .iter()
        .map(|metric| format!(r#"{{"Name":"{}","Unit":"{}"}}"#, metric.name, metric.unit))
        .collect();
    let values: Vec<String> = metrics
        .iter()
        .map(|metric| format!(r#","{}":{:?}"#, metric.name, metric.value))
        .collect();
    format!(
        concat!(
            r#"{{"_aws":{{"Timestamp":{},"CloudWatchMetrics":[{{"Namespace":"Holdfast","#,
            r#""Dimensions":[["FunctionName"]],"Metrics":[{}]}}]}},"FunctionName":{}{}}}"#,
            "\n"
        ),
        timestamp,
        definitions.join(","),
        Value::from(function_name),
        values.concat()
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn levels_have_the_names_that_people_use() {
        for (text, level) in [
            ("INFO", tracing::Level::INFO),
            ("warning", tracing::Level::WARN),
            ("Warn", tracing::Level::WARN),
            ("CRITICAL", tracing::Level::ERROR),
            ("debug", tracing::Level::DEBUG),
        ] {
            assert_eq!(text.parse(), Ok(LogLevel(level)), "{text}");
        }
        assert!("loud".parse::<LogLevel>().is_err());
    }

    #[test]
    fn a_line_names_its_metrics_and_carries_their_values() {
        let line = embedded_metric(
            "sy\"nc",
            1_700_000_000_123,
            &[
                Metric::count("Applied", 3),
                Metric::milliseconds("Lag", std::time::Duration::from_millis(1_500)),
            ],
        );
        let expected = json!({
            "_aws": {
                "Timestamp": 1_700_000_000_123_u64,
                "CloudWatchMetrics": [{
                    "Namespace": "Holdfast",
                    "Dimensions": [["FunctionName"]],
                    "Metrics": [
                        { "Name": "Applied", "Unit": "Count" },
                        { "Name": "Lag", "Unit": "Milliseconds" },
                    ],
                }],
            },
            "FunctionName": "sy\"nc",
            "Applied": 3.0,
            "Lag": 1500.0,
        });
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.ends_with('\n'));
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), expected);
    }
}
