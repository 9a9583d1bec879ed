//! From measurements to the figures that are printed.

use std::time::Duration;

/// What stands where a machine does not tell, such as macOS, which has no `/proc`.
pub(crate) const NOT_MEASURED: &str = "not measured here";

/// The value that this share of the values, from 0 to 1, is not greater than; NaN of nothing.
pub(crate) fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    let index = (values.len() * percent / 100).min(values.len().saturating_sub(1));
    values.get(index).copied().unwrap_or(f64::NAN)
}

/// The 50th percentile.
pub(crate) fn median(values: &[f64]) -> f64 {
    percentile(values, 50)
}

/// The median, in milliseconds.
pub(crate) fn median_milliseconds(times: &[Duration]) -> f64 {
    median(&milliseconds(times))
}

/// Each time in milliseconds.
pub(crate) fn milliseconds(times: &[Duration]) -> Vec<f64> {
    times.iter().map(|time| time.as_secs_f64() * 1e3).collect()
}

/// The median rate of doing something this many times, per second.
pub(crate) fn median_rate(count: usize, times: &[Duration]) -> f64 {
    let rates: Vec<f64> = times.iter().map(|time| rate(count, *time)).collect();
    median(&rates)
}

/// How often per second.
pub(crate) fn rate(count: usize, time: Duration) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / time.as_secs_f64()
}

/// The median of the ratios of each floor to the time measured in the same round: 1 is as fast as the floor.
pub(crate) fn ratio(floors: &[Duration], times: &[Duration]) -> f64 {
    let ratios: Vec<f64> = floors
        .iter()
        .zip(times)
        .map(|(floor, time)| floor.as_secs_f64() / time.as_secs_f64())
        .collect();
    median(&ratios)
}

/// The median, or that there is none.
pub(crate) fn if_measured(values: &[f64]) -> String {
    if values.is_empty() {
        NOT_MEASURED.to_owned()
    } else {
        format!("{:.2}", median(values))
    }
}

/// Bytes in units of 1,000,000.
pub(crate) fn megabytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1000).unwrap_or(u32::MAX)) / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values = [5.0, 1.0, 4.0, 2.0, 3.0];
        let found = [0, 10, 50, 90, 100].map(|percent| percentile(&values, percent).to_string());
        assert_eq!(found, ["1", "1", "3", "5", "5"]);
        assert!(percentile(&[], 50).is_nan());
    }

    #[test]
    fn a_ratio_of_one_is_the_floor() {
        let [one, two] = [1, 2].map(Duration::from_millis);
        assert_eq!(ratio(&[one, two, two], &[two, two, two]).to_string(), "1");
    }
}
