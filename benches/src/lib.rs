//! Comparisons with what a user would otherwise take: `cargo bench`.

pub mod echo;
pub mod load;
pub mod proxy;
pub mod traces;

use std::path::Path;

/// Print how the time of a criterion benchmark grew with its size: the slope of the logarithms over all sizes.
/// 1 is linear; caches make it a little more.
pub fn growth(group: &str, function: &str, sizes: &[usize]) {
    let points: Vec<(f64, f64)> = sizes
        .iter()
        .filter_map(|&size| Some((as_float(size).ln(), median(group, function, size)?.ln())))
        .collect();
    if points.len() < 2 {
        return;
    }
    let count = as_float(points.len());
    let (sum_x, sum_y) = points
        .iter()
        .fold((0.0, 0.0), |(a, b), (x, y)| (a + x, b + y));
    let (mean_x, mean_y) = (sum_x / count, sum_y / count);
    let (above, below) = points.iter().fold((0.0, 0.0), |(above, below), (x, y)| {
        (
            above + (x - mean_x) * (y - mean_y),
            below + (x - mean_x).powi(2),
        )
    });
    eprintln!(
        "{group}/{function}: time grows with size to the power of {:.2}",
        above / below
    );
}

/// The median that criterion wrote down, in nanoseconds.
fn median(group: &str, function: &str, size: usize) -> Option<f64> {
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../target")
            .display()
            .to_string()
    });
    let plain = |name: &str| name.replace('/', "_");
    let file = Path::new(&target)
        .join("criterion")
        .join(plain(group))
        .join(plain(function))
        .join(size.to_string())
        .join("new/estimates.json");
    let estimates: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(file).ok()?).ok()?;
    estimates["median"]["point_estimate"].as_f64()
}

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
fn as_float(count: usize) -> f64 {
    count as f64
}
