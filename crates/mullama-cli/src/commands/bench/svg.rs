//! Draws a sweep: a panel of lines or bars for each of its charts, as one SVG file.

use std::fmt::Write as _;

use super::measure::Metric;
use super::report::{Chart, Point, Runs, Sweep, range};

/// The picture of a sweep. `caption`: what was measured with what.
pub(super) fn draw(sweep: &Sweep, caption: &str) -> String {
    let sides = side_names(sweep);
    let (columns, height) = (sweep.charts.len().max(1) as f64, TOP + PANEL_HEIGHT + BOTTOM);
    let width = columns.max(2.0) * PANEL_WIDTH;
    let panel = width / columns;
    let mut svg = Svg(String::new());
    svg.element(format_args!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" font-family="sans-serif">"#
    ));
    svg.element(format_args!(r#"<rect width="{width}" height="{height}" fill="{PAPER}"/>"#));
    svg.text((20.0, 28.0), (17.0, Anchor::Start, INK), sweep.name);
    svg.text((20.0, 47.0), (12.0, Anchor::Start, FAINT), &sweep.title);
    let mut x = 20.0;
    for (index, side) in sides.iter().enumerate() {
        svg.element(format_args!(r#"<rect x="{x}" y="60" width="12" height="12" fill="{}"/>"#, colour(index)));
        svg.text((x + 18.0, 70.5), (12.0, Anchor::Start, INK), side);
        x += 18.0 + side.chars().count() as f64 * 7.0 + 24.0;
    }
    for (index, chart) in sweep.charts.iter().enumerate() {
        Panel::new(sweep, chart, &sides, (index as f64 * panel, panel)).draw(&mut svg);
    }
    svg.text((20.0, height - 14.0), (10.0, Anchor::Start, FAINT), caption);
    svg.0.push_str("</svg>\n");
    svg.0
}

/// The sides in the order in which they come.
fn side_names(sweep: &Sweep) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for runs in sweep.points.iter().flat_map(|point| &point.sides) {
        if !names.contains(&runs.side.as_str()) {
            names.push(&runs.side);
        }
    }
    names
}

/// One chart, and where it stands.
struct Panel<'a> {
    sweep: &'a Sweep,
    chart: &'a Chart,
    sides: &'a [&'a str],
    left: f64,
    width: f64,
    /// The largest value of the axis, and its step.
    limit: f64,
    step: f64,
}

impl<'a> Panel<'a> {
    fn new(sweep: &'a Sweep, chart: &'a Chart, sides: &'a [&'a str], (left, width): (f64, f64)) -> Self {
        let runs = sweep.points.iter().flat_map(|point| &point.sides);
        let values = runs.flat_map(|runs| chart.metrics.iter().map(|(metric, _)| spread(runs, *metric).1));
        let (_, largest) = range(&values.chain(chart.target).collect::<Vec<_>>());
        let (limit, step) = axis(largest);
        Self { sweep, chart, sides, left: left + 66.0, width: width - 90.0, limit, step }
    }

    fn draw(&self, svg: &mut Svg) {
        let Self { chart, left, width, .. } = self;
        let right = left + width;
        svg.text((*left, TOP - 14.0), (13.0, Anchor::Start, INK), &self.heading());
        let mut value = 0.0;
        while value <= self.limit * 1.000_1 {
            let y = self.y(value);
            let colour = if value == 0.0 { INK } else { GRID };
            svg.line((*left, y), (right, y), colour, "");
            svg.text((left - 8.0, y + 4.0), (11.0, Anchor::End, FAINT), &number(value, self.step));
            value += self.step;
        }
        // Of one point alone the title tells all.
        if self.sweep.points.len() > 1 {
            for (index, point) in self.sweep.points.iter().enumerate() {
                svg.text((self.x(index), TOP + PLOT_HEIGHT + 18.0), (11.0, Anchor::Middle, INK), &point.label);
            }
            let middle = f64::midpoint(*left, right);
            svg.text((middle, TOP + PLOT_HEIGHT + 36.0), (11.0, Anchor::Middle, FAINT), self.sweep.axis);
        }
        match chart.lines {
            true => self.lines(svg),
            false => self.bars(svg),
        }
        if let Some(target) = chart.target {
            let y = self.y(target);
            svg.line((*left, y), (right, y), TARGET, r#" stroke-dasharray="6 4""#);
            svg.text((right, y - 5.0), (11.0, Anchor::End, TARGET), &format!("target {target}"));
        }
    }

    /// "Time to first token (ms): p50 solid, p95 dashed".
    fn heading(&self) -> String {
        let Chart { title, unit, metrics, .. } = self.chart;
        let styles = ["solid", "dashed"];
        let named: Vec<_> = metrics.iter().zip(styles).map(|((_, name), style)| format!("{name} {style}")).collect();
        let legend = if metrics.len() > 1 { format!(": {}", named.join(", ")) } else { String::new() };
        format!("{title} ({unit}){legend}")
    }

    fn lines(&self, svg: &mut Svg) {
        for (index, side) in self.sides.iter().enumerate() {
            for (order, (metric, _)) in self.chart.metrics.iter().enumerate() {
                let points: Vec<(f64, f64, (f64, f64))> = self
                    .side_of_points(side)
                    .filter_map(|(at, runs)| Some((self.x(at), runs.median.get(*metric)?, spread(runs, *metric))))
                    .collect();
                let path: Vec<_> = points.iter().map(|(x, value, _)| format!("{x:.1},{:.1}", self.y(*value))).collect();
                let dash = if order == 0 { "" } else { r#" stroke-dasharray="5 4""# };
                let (path, colour) = (path.join(" "), colour(index));
                svg.element(format_args!(
                    r#"<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>"#
                ));
                for (x, value, (low, high)) in points {
                    svg.line((x, self.y(low)), (x, self.y(high)), colour, "");
                    svg.element(format_args!(
                        r#"<circle cx="{x:.1}" cy="{:.1}" r="3" fill="{colour}"/>"#,
                        self.y(value)
                    ));
                }
            }
        }
    }

    fn bars(&self, svg: &mut Svg) {
        let Some((metric, _)) = self.chart.metrics.first() else { return };
        let room = self.width / self.sweep.points.len().max(1) as f64;
        let width = (room * 0.8 / self.sides.len().max(1) as f64).min(64.0);
        for (index, side) in self.sides.iter().enumerate() {
            let shift = (index as f64 - self.sides.len() as f64 / 2.0) * width;
            for (at, runs) in self.side_of_points(side) {
                let Some(value) = runs.median.get(*metric) else { continue };
                let (left, top) = (self.x(at) + shift, self.y(value));
                let (inner, height, colour) = (width - 4.0, self.y(0.0) - top, colour(index));
                svg.element(format_args!(
                    r#"<rect x="{:.1}" y="{top:.1}" width="{inner:.1}" height="{height:.1}" fill="{colour}"/>"#,
                    left + 2.0
                ));
                let (low, high) = spread(runs, *metric);
                let middle = left + width / 2.0;
                svg.line((middle, self.y(low)), (middle, self.y(high)), INK, "");
                svg.text((middle, self.y(high) - 5.0), (11.0, Anchor::Middle, INK), &metric.text(value));
            }
        }
    }

    /// The points at which a side was measured.
    fn side_of_points(&self, side: &str) -> impl Iterator<Item = (usize, &'a Runs)> {
        let find =
            move |(at, point): (usize, &'a Point)| Some((at, point.sides.iter().find(|runs| runs.side == side)?));
        self.sweep.points.iter().enumerate().filter_map(find)
    }

    fn x(&self, index: usize) -> f64 {
        self.left + (index as f64 + 0.5) * self.width / self.sweep.points.len().max(1) as f64
    }

    fn y(&self, value: f64) -> f64 {
        TOP + PLOT_HEIGHT * (1.0 - value / self.limit)
    }
}

/// The least and the largest of a side's runs.
fn spread(runs: &Runs, metric: Metric) -> (f64, f64) {
    let values: Vec<f64> = runs.runs.iter().filter_map(|run| run.get(metric)).collect();
    if values.is_empty() { (0.0, 0.0) } else { range(&values) }
}

/// Where an axis ends and its step, 1, 2 or 5 times a power of ten: a little above the largest value, in 4 to 10 steps.
fn axis(largest: f64) -> (f64, f64) {
    let largest = if largest.is_finite() && largest > 0.0 { largest * 1.08 } else { 1.0 };
    let power = 10_f64.powf((largest / 4.0).log10().floor());
    let step = [5.0, 2.0, 1.0].map(|factor| factor * power).into_iter().find(|step| largest / step >= 4.0);
    let step = step.unwrap_or(power);
    ((largest / step).ceil() * step, step)
}

/// A value of an axis, with as many digits as its steps have.
fn number(value: f64, step: f64) -> String {
    let digits = if step >= 1.0 {
        0
    } else if step >= 0.1 {
        1
    } else {
        3
    };
    format!("{value:.digits$}")
}

/// The text of an SVG file.
struct Svg(String);

#[derive(Debug, Clone, Copy)]
enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    fn element(&mut self, element: std::fmt::Arguments<'_>) {
        // A String takes everything.
        let _ = writeln!(self.0, "{element}");
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &str, more: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.element(format_args!(
            r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="{colour}"{more}/>"#
        ));
    }

    fn text(&mut self, (x, y): (f64, f64), (size, anchor, colour): (f64, Anchor, &str), text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escaped(text);
        self.element(format_args!(
            r#"<text x="{x:.1}" y="{y:.1}" font-size="{size}" text-anchor="{anchor}" fill="{colour}">{text}</text>"#
        ));
    }
}

/// Names come from servers and files.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            character if character.is_control() => safe.push(' '),
            character => safe.push(character),
        }
    }
    safe
}

/// Colours that differ for eyes of every kind (Okabe and Ito).
fn colour(index: usize) -> &'static str {
    const COLOURS: [&str; 4] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7"];
    COLOURS[index % COLOURS.len()]
}

const PAPER: &str = "#ffffff";
const INK: &str = "#222222";
const FAINT: &str = "#666666";
const GRID: &str = "#dddddd";
const TARGET: &str = "#c0392b";
const TOP: f64 = 118.0;
const PANEL_WIDTH: f64 = 420.0;
const PANEL_HEIGHT: f64 = PLOT_HEIGHT + 44.0;
const PLOT_HEIGHT: f64 = 240.0;
const BOTTOM: f64 = 34.0;

#[cfg(test)]
mod tests {
    use super::super::measure::Metrics;
    use super::*;

    #[test]
    fn an_axis_ends_above_its_largest_value_in_round_steps() {
        assert_eq!(axis(92.0), (100.0, 20.0));
        assert_eq!(axis(93.0), (120.0, 20.0));
        assert_eq!(axis(1_000.0), (1_200.0, 200.0));
        assert_eq!(axis(0.9).1, 0.2);
        assert_eq!(axis(0.0), axis(f64::NEG_INFINITY));
        for largest in [0.003, 0.7, 1.0, 3.9, 17.0, 450.0, 98_765.0] {
            let (limit, step) = axis(largest);
            assert!(limit >= largest && (4.0..=10.5).contains(&(limit / step)), "{largest}: {limit} {step}");
        }
    }

    #[test]
    fn every_side_is_drawn_and_names_are_no_markup() {
        let charts = vec![
            Chart::lines("Rate", "tokens/s", vec![(Metric::Throughput, "")]),
            Chart::bars("Gap", "ms", Metric::GapP95).target(60.0),
        ];
        let mut sweep = Sweep::new("test", "a < b".to_owned(), "streams", charts);
        for (label, rate) in [("1", 10.0), ("2", 20.0)] {
            let mut point = Point::new(label);
            for side in ["one", "<two>"] {
                point.push(side, Metrics::default().with(Metric::Throughput, rate).with(Metric::GapP95, 5.0));
            }
            point.sum_up();
            sweep.points.push(point);
        }
        let svg = draw(&sweep, "caption");
        assert!(svg.contains("a &lt; b") && svg.contains("&lt;two&gt;") && !svg.contains("<two>"));
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert_eq!(svg.matches("<circle").count(), 4);
        // The paper, two in the legend, and four bars.
        assert_eq!(svg.matches("<rect").count(), 7);
        assert!(svg.contains("target 60") && !svg.contains("NaN") && !svg.contains("inf"));
        assert_eq!(svg.matches('<').count(), svg.matches('>').count());
    }
}
