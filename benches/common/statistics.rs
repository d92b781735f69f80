//! Medians, and how far they can be trusted.

use std::ops::Range;

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

pub(crate) fn geometric_mean(values: &[f64]) -> f64 {
    let sum: f64 = values.iter().map(|value| value.ln()).sum();
    (sum / values.len() as f64).exp()
}

/// How many times as much something costs as something else, round by round.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ratio {
    /// The median over the rounds.
    pub(crate) median: f64,
    /// Where it lies in nine of ten worlds, by bootstrap: what the median of as many rounds, drawn
    /// from these with repetition, would be.
    pub(crate) likely: Range<f64>,
}

/// Draws for the bootstrap.
const WORLDS: usize = 2_000;

impl Ratio {
    /// Of pairs from the same rounds; nothing without pairs, or if one of them is no number.
    pub(crate) fn of(theirs: &[f64], ours: &[f64]) -> Option<Self> {
        let ratios: Vec<f64> =
            theirs.iter().zip(ours).map(|(theirs, ours)| theirs / ours).collect();
        if ratios.is_empty() || !ratios.iter().all(|ratio| ratio.is_finite()) {
            return None;
        }
        let mut random = fastrand::Rng::with_seed(1);
        let mut medians: Vec<f64> = (0..WORLDS)
            .map(|_| median(ratios.iter().map(|_| ratios[random.usize(..ratios.len())]).collect()))
            .collect();
        medians.sort_by(f64::total_cmp);
        let likely = medians[WORLDS / 20]..medians[WORLDS - 1 - WORLDS / 20];
        Some(Self { median: median(ratios), likely })
    }
}
