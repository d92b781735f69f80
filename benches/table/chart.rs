//! The ratios as a picture: right of the line is where filch is ahead.

use crate::common::Ratio;
use crate::common::svg::{Anchor, Svg};
use crate::rows::Line;

const LEFT: f64 = 190.0;
const WIDTH: f64 = 640.0;
const TOP: f64 = 56.0;
const STEP: f64 = 14.0;
/// Ends of the scale, in powers of two.
const LOW: f64 = -2.0;
const HIGH: f64 = 7.0;

const TOKIO: &str = "#c0392b";
const SMOL: &str = "#2471a3";

/// A dot for each runtime in each row that compares, with its interval.
pub(crate) fn ratios(lines: &[Line], rounds: usize) -> String {
    let lines: Vec<&Line> =
        lines.iter().filter(|line| line.tokio.is_some() || line.smol.is_some()).collect();
    let mut groups: Vec<&str> = lines.iter().map(|line| line.group).collect();
    groups.dedup();
    let bottom = TOP + STEP * (lines.len() + groups.len()) as f64;
    let mut svg = Svg::new(LEFT + WIDTH + 20.0, bottom + 24.0);
    let title = format!("how many times what filch takes, medians of {rounds} rounds or more");
    svg.text((LEFT, 16.0), Anchor::Start, title);
    for (number, (name, color)) in [("tokio", TOKIO), ("smol", SMOL)].into_iter().enumerate() {
        let x = LEFT + 420.0 + 70.0 * number as f64;
        svg.dot((x, 12.0), color);
        svg.text((x + 8.0, 16.0), Anchor::Start, name);
    }
    scale(&mut svg, bottom);
    let mut y = TOP;
    let mut group = "";
    for line in lines {
        if line.group != group {
            group = line.group;
            y += STEP;
            svg.text((8.0, y), Anchor::Start, group.to_uppercase());
        }
        y += STEP;
        svg.text((LEFT - 8.0, y), Anchor::End, &line.name);
        for (ratio, up, color) in [(&line.smol, 2.5, SMOL), (&line.tokio, 5.5, TOKIO)] {
            if let Some(ratio) = ratio {
                mark(&mut svg, ratio, y - up, color);
            }
        }
    }
    svg.finish()
}

fn scale(svg: &mut Svg, bottom: f64) {
    for power in LOW as i32..=HIGH as i32 {
        let x = place(2_f64.powi(power));
        let (color, width) = if power == 0 { ("#222222", 1.5) } else { ("#dddddd", 1.0) };
        svg.line((x, TOP - 10.0), (x, bottom + 4.0), color, width);
        let label =
            if power < 0 { format!("1/{}", 1 << -power) } else { format!("{}", 1 << power) };
        svg.text((x, TOP - 16.0), Anchor::Middle, &label);
        svg.text((x, bottom + 18.0), Anchor::Middle, &label);
    }
}

fn mark(svg: &mut Svg, ratio: &Ratio, y: f64, color: &str) {
    svg.line((place(ratio.likely.start), y), (place(ratio.likely.end), y), color, 1.5);
    svg.dot((place(ratio.median), y), color);
}

/// Where a ratio lies, on a scale of powers; what is beyond lies at the end.
fn place(ratio: f64) -> f64 {
    let share = (ratio.log2().clamp(LOW, HIGH) - LOW) / (HIGH - LOW);
    LEFT + WIDTH * share
}
