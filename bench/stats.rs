//! Medians, means and the clock.

use std::time::Instant;

/// Runs something and returns its result and how many microseconds it took.
pub(crate) fn timed<T>(run: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(T, f64)> {
    let start = Instant::now();
    let result = run()?;
    Ok((result, start.elapsed().as_secs_f64() * 1e6))
}

/// The middle of the samples; zero of none.
pub(crate) fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// The least of the samples.
pub(crate) fn best(samples: &[f64]) -> f64 {
    samples.iter().copied().fold(f64::INFINITY, f64::min)
}

/// The geometric mean: of ratios, the one that doesn't care which side is the unit.
pub(crate) fn geometric_mean(samples: &[f64]) -> f64 {
    let logs: f64 = samples.iter().map(|sample| sample.ln()).sum();
    #[expect(clippy::cast_precision_loss, reason = "a handful of samples")]
    let count = samples.len() as f64;
    (logs / count).exp()
}
