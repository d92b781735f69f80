//! Panels side by side: what an operation costs over what grows, both on scales of powers.

use crate::common::svg::{Anchor, Svg};
use crate::measure::{Curve, Line, Point};

/// What is drawn upward, and what it is called.
#[derive(Clone, Copy)]
pub(crate) struct Value {
    pub(crate) name: &'static str,
    pub(crate) of: fn(&Point) -> f64,
}

pub(crate) const CPU: Value = Value { name: "ns of CPU", of: |point| point.cpu };

/// Never is drawn as one in a hundred thousand: such a scale has no zero.
pub(crate) const SLEEPS: Value =
    Value { name: "sleeps per 1,000", of: |point| (1_000.0 * point.sleeps).max(0.01) };

const PANEL: f64 = 270.0;
const LEFT: f64 = 46.0;
const TOP: f64 = 44.0;
const WIDTH: f64 = PANEL - LEFT - 14.0;
const HEIGHT: f64 = 180.0;

fn color(engine: &str) -> &'static str {
    match engine {
        "filch" => "#1e8449",
        "tokio" => "#c0392b",
        _ => "#2471a3",
    }
}

/// A panel for each curve.
pub(crate) fn panels(curves: &[&Curve], value: Value) -> String {
    let mut svg = Svg::new(PANEL * curves.len() as f64, TOP + HEIGHT + 44.0);
    for (number, curve) in curves.iter().enumerate() {
        Panel::new(curve, value, PANEL * number as f64).draw(&mut svg);
    }
    svg.finish()
}

/// One panel, and what its edges mean.
struct Panel<'a> {
    curve: &'a Curve,
    value: Value,
    left: f64,
    x: (f64, f64),
    y: (f64, f64),
}

impl<'a> Panel<'a> {
    fn new(curve: &'a Curve, value: Value, left: f64) -> Self {
        let points = || curve.lines.iter().flat_map(|line: &Line| &line.points);
        let edges = |values: Vec<f64>, round: bool| {
            let low = values.iter().copied().fold(f64::INFINITY, f64::min).log2();
            let high = values.iter().copied().fold(0.0, f64::max).log2();
            if round { (low.floor(), high.ceil().max(low.floor() + 1.0)) } else { (low, high) }
        };
        let x = edges(points().map(|point| point.at as f64).collect(), false);
        let y = edges(points().map(value.of).collect(), true);
        Self { curve, value, left: left + LEFT, x, y }
    }

    fn place(&self, at: f64, cost: f64) -> (f64, f64) {
        let share = |value: f64, (low, high): (f64, f64)| {
            (value.log2() - low) / (high - low).max(f64::EPSILON)
        };
        let x = self.left + WIDTH * share(at, self.x);
        (x, TOP + HEIGHT * (1.0 - share(cost, self.y)))
    }

    fn draw(&self, svg: &mut Svg) {
        let title = format!("{}: {} by {}", self.curve.name, self.value.name, self.curve.axis);
        svg.text((self.left, 16.0), Anchor::Start, title);
        self.scale(svg);
        for (number, line) in self.curve.lines.iter().enumerate() {
            let color = color(line.engine);
            let x = self.left + 70.0 * number as f64;
            svg.dot((x, 28.0), color);
            svg.text((x + 8.0, 32.0), Anchor::Start, line.engine);
            let place = |point: &Point| self.place(point.at as f64, (self.value.of)(point));
            let places: Vec<(f64, f64)> = line.points.iter().map(place).collect();
            for pair in places.windows(2) {
                svg.line(pair[0], pair[1], color, 1.5);
            }
            for place in places {
                svg.dot(place, color);
            }
        }
    }

    fn scale(&self, svg: &mut Svg) {
        let (low, high) = self.y;
        for power in low as i32..=high as i32 {
            let cost = 2_f64.powi(power);
            let (_, y) = self.place(2_f64.powf(self.x.0), cost);
            svg.line((self.left, y), (self.left + WIDTH, y), "#dddddd", 1.0);
            svg.text((self.left - 6.0, y + 4.0), Anchor::End, cost);
        }
        for point in &self.curve.lines[0].points {
            let (x, _) = self.place(point.at as f64, 2_f64.powf(low));
            svg.text((x, TOP + HEIGHT + 18.0), Anchor::Middle, point.at);
        }
    }
}
