//! Plots, as SVG that stands in the page.

use plotters::coord::ranged1d::ValueFormatter;
use plotters::prelude::*;

use crate::error::{CompareError, Result};
use crate::point::Point;
use crate::table::Row;

/// Width and height of a plot, in pixels.
const SIZE: (u32, u32) = (900, 420);

/// Colours that colour-blind readers tell apart (Okabe and Ito).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

/// A line of a plot: its name and its points.
type Series = (String, Vec<(f64, f64)>);

/// Median latency (ms) over throughput (thousands a second), both logarithmic; one line a system, its points in their order.
pub fn speed(title: &str, rows: &[&Row<'_>]) -> Result<String> {
    let lines = rows.iter().map(|row| {
        let at = |point| {
            let rate = row.median(point, |outcome| Some(outcome.ops_per_second / 1e3))?;
            let p50 = row.median(point, |outcome| Some(outcome.p50_us / 1e3))?;
            (rate > 0.0 && p50 > 0.0).then_some((rate, p50))
        };
        (row.who.name().to_owned(), row.points().filter_map(at).collect())
    });
    let lines: Vec<Series> = lines.collect();
    let (x, y) = (spread(&lines, |point| point.0), spread(&lines, |point| point.1));
    drawn(&lines, |area| {
        let mut chart = ChartBuilder::on(area);
        let mut chart = chart
            .caption(title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(42)
            .y_label_area_size(62)
            .build_cartesian_2d((x.0..x.1).log_scale(), (y.0..y.1).log_scale())?;
        chart.configure_mesh().x_desc("thousand operations per second").y_desc("p50, ms").draw()?;
        lines_of(&mut chart, &lines)
    })
}

/// Whether there are latencies of this row at this point.
pub fn has_curve(row: &Row<'_>, point: Point) -> bool {
    row.cells.iter().any(|(at, runs)| *at == point && runs.iter().any(|outcome| !outcome.curve.is_empty()))
}

/// Latency (ms, logarithmic) by percentile: each step to the right is a tenth of the share left, 90 %, 99 %, 99.9 %.
pub fn percentiles(title: &str, rows: &[&Row<'_>], point: Point) -> Result<String> {
    let lines: Vec<Series> = rows.iter().map(|row| (row.who.name().to_owned(), curve(row, point))).collect();
    let y = spread(&lines, |point| point.1);
    drawn(&lines, |area| {
        let mut chart = ChartBuilder::on(area);
        let mut chart = chart
            .caption(title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(42)
            .y_label_area_size(62)
            .build_cartesian_2d(0.0..4.2, (y.0..y.1).log_scale())?;
        let share = |nines: &f64| format!("{} %", 100.0 - 100.0 / 10_f64.powf(*nines));
        chart
            .configure_mesh()
            .x_labels(5)
            .x_label_formatter(&share)
            .x_desc("percentile")
            .y_desc("latency, ms")
            .draw()?;
        lines_of(&mut chart, &lines)
    })
}

/// The curve of the first run that has one: shares as their number of nines, latencies in ms.
fn curve(row: &Row<'_>, point: Point) -> Vec<(f64, f64)> {
    let runs = row.cells.iter().filter(|(at, _)| *at == point).flat_map(|(_, runs)| runs);
    let curve = runs.map(|outcome| &outcome.curve).find(|curve| !curve.is_empty());
    let points = curve.into_iter().flatten().filter(|(share, us)| *share < 1.0 && *us > 0.0);
    points.map(|(share, us)| (-(1.0 - share).log10(), us / 1e3)).collect()
}

/// From the least to the greatest of one coordinate, with some air; something drawable if there is nothing.
fn spread(lines: &[Series], of: impl Fn(&(f64, f64)) -> f64) -> (f64, f64) {
    let values = || lines.iter().flat_map(|(_, points)| points.iter().map(&of));
    let (least, greatest) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    if least > greatest {
        return (1.0, 10.0);
    }
    (least / 1.3, greatest * 1.3)
}

type Failed = Box<dyn std::error::Error>;

/// A plot and its legend.
fn drawn(
    lines: &[Series],
    draw: impl FnOnce(&DrawingArea<SVGBackend<'_>, plotters::coord::Shift>) -> std::result::Result<(), Failed>,
) -> Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let done = draw(&area).and_then(|()| Ok(area.present()?));
        done.map_err(|error| CompareError::tool("plots", error.to_string()))?;
    }
    Ok(svg + &legend(lines))
}

fn lines_of<'a, X, Y>(
    chart: &mut ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>,
    lines: &[Series],
) -> std::result::Result<(), Failed>
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    for ((_, points), colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(4))?;
    }
    Ok(())
}

/// Which colour is which system, below the plot: within it the names would hide points.
fn legend(lines: &[Series]) -> String {
    let entry = |((name, _), RGBColor(r, g, b)): (&Series, &RGBColor)| {
        format!("<span style=\"color:rgb({r},{g},{b})\">&#9632;</span> {} &nbsp; ", super::escape(name))
    };
    format!("<p>{}</p>", lines.iter().zip(COLOURS.iter().cycle()).map(entry).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Operation, Outcome, Who};

    #[test]
    fn plots_show_each_system_and_stand_nothing_at_all() {
        let fast = Outcome {
            ops_per_second: 9e4,
            p50_us: 500.0,
            curve: vec![(0.5, 500.0), (0.999, 4_000.0)],
            ..Outcome::default()
        };
        let slow = Outcome { ops_per_second: 3e4, p50_us: 1_500.0, ..Outcome::default() };
        let points = [Point::new(50, 1), Point::new(50, 16)];
        let row = |who, of| Row {
            who,
            operation: Operation::Set,
            cells: points.map(|point| (point, vec![of])).to_vec(),
        };
        let rows = [row(Who::Synod, &fast), row(Who::RedisWait, &slow)];
        let rows: Vec<&Row<'_>> = rows.iter().collect();
        let svg = speed("speed", &rows).unwrap();
        assert!(
            svg.starts_with("<svg") && svg.contains(Who::Synod.name()) && svg.contains(Who::RedisWait.name())
        );
        assert!(has_curve(rows[0], points[0]) && !has_curve(rows[1], points[0]));
        assert!(percentiles("curve", &rows, points[0]).unwrap().contains("99.9 %"));
        let empty = Outcome::default();
        let nothing =
            Row { who: Who::Null, operation: Operation::Get, cells: vec![(points[0], vec![&empty])] };
        speed("nothing", &[&nothing]).unwrap();
        percentiles("nothing", &[&nothing], points[0]).unwrap();
    }
}
