//! A picture a series: panels side by side, sizes on a logarithmic axis, medians as points.
//!
//! Opaque and white, so that it is read on a dark page as on a bright one. No fonts are asked for: the
//! reader's own are used.

use super::figure::{Figure, Samples, Series, grouped};
use anyhow::{Context, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};

/// Of one panel.
const PANEL: (u32, u32) = (310, 270);
/// Two colours that also the colour-blind tell apart.
const COLOURS: [RGBColor; 2] = [RGBColor(0, 90, 160), RGBColor(205, 85, 0)];
const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(222, 222, 222);
/// Above the greatest value, so that the legend has room.
const ROOM: f64 = 1.35;

/// One panel: its title with the unit, and its lines.
type Panel = (&'static str, &'static [(Figure, &'static str)]);

fn panels(series: Series) -> (&'static str, [Panel; 3]) {
    const COST: Panel = ("CPU of one ticket, ms", &[(Figure::CpuPer1000, "")]);
    const MEMORY: Panel =
        ("memory, MiB", &[(Figure::PeakMib, "at most"), (Figure::RestingMib, "at rest")]);
    const START: Panel = ("start to ready, ms", &[(Figure::ReadyMs, "")]);
    const RESTART: Panel = (
        "start to ready, ms",
        &[(Figure::RecoveredMs, "after kill -9"), (Figure::ReadyMs, "after a stop")],
    );
    const PACE: Panel = ("tickets a second", &[(Figure::PerSecond, "")]);
    match series {
        Series::Pending => ("pending alarms", [COST, MEMORY, RESTART]),
        Series::Backends => ("backends", [COST, MEMORY, START]),
        Series::Clients => ("ticket clients", [COST, MEMORY, PACE]),
    }
}

/// Draws a series; the file.
pub fn write(folder: &Path, series: Series, samples: &Samples) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let path = folder.join(format!("growth-{}.svg", series.name()));
    let mut svg = String::new();
    draw(&mut svg, series, samples)?;
    fs::write(&path, svg).with_context(|| path.display().to_string())?;
    Ok(path)
}

fn draw(svg: &mut String, series: Series, samples: &Samples) -> anyhow::Result<()> {
    let (what, panels) = panels(series);
    let size = (PANEL.0 * 3, PANEL.1);
    let area = SVGBackend::with_string(svg, size).into_drawing_area();
    area.fill(&WHITE).map_err(failed)?;
    for (area, panel) in area.split_evenly((1, panels.len())).iter().zip(panels) {
        draw_panel(area, what, panel, series, samples)?;
    }
    area.present().map_err(failed)
}

fn draw_panel(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    what: &str,
    (title, lines): Panel,
    series: Series,
    samples: &Samples,
) -> anyhow::Result<()> {
    let sizes = samples.sizes(series);
    let (least, most) = (*sizes.first().unwrap_or(&1) as f64, *sizes.last().unwrap_or(&1) as f64);
    let points = |figure: Figure| -> Vec<(f64, f64)> {
        let point = |&size: &usize| Some((size as f64, samples.median(series, size, figure)?));
        sizes.iter().filter_map(point).collect()
    };
    let highest = lines.iter().flat_map(|(figure, _)| points(*figure)).map(|(_, value)| value);
    let highest = highest.fold(f64::MIN_POSITIVE, f64::max);
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .margin_right(18)
        .caption(title, ("sans-serif", 17).into_font().color(&INK))
        .x_label_area_size(42)
        .y_label_area_size(44)
        .build_cartesian_2d((least * 0.8..most * 1.25).log_scale(), 0.0..highest * ROOM)
        .map_err(failed)?;
    let small = || ("sans-serif", 14).into_font().color(&INK);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(INK)
        .label_style(small())
        .axis_desc_style(small())
        .x_labels(5)
        .y_labels(6)
        .x_desc(what)
        .x_label_formatter(&|size| short(*size))
        .y_label_formatter(&|value| {
            if highest < 5.0 { format!("{value:.1}") } else { format!("{value:.0}") }
        })
        .draw()
        .map_err(failed)?;
    for ((figure, name), colour) in lines.iter().zip(COLOURS) {
        let points = points(*figure);
        let line = chart
            .draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))
            .map_err(failed)?;
        if !name.is_empty() {
            line.label(*name).legend(move |(x, y)| {
                PathElement::new([(x, y), (x + 14, y)], colour.stroke_width(2))
            });
        }
        let dots = points.into_iter().map(|point| Circle::new(point, 3, colour.filled()));
        chart.draw_series(dots).map_err(failed)?;
    }
    if lines.len() > 1 {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .label_font(small())
            .margin(4)
            .draw()
            .map_err(failed)?;
    }
    Ok(())
}

/// 1, 1 k, 1 M.
fn short(size: f64) -> String {
    match size.round() as usize {
        size if size >= 1_000_000 => format!("{} M", size / 1_000_000),
        size if size >= 1_000 => format!("{} k", size / 1_000),
        size => grouped(size),
    }
}

/// The library's errors borrow what they are about.
fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("the plot: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_has_its_axes_named_and_a_dot_a_figure() {
        let mut samples = Samples::default();
        for size in [1_000, 100_000, 1_000_000] {
            let figures = [(Figure::CpuPer1000, 0.7), (Figure::PeakMib, 60.0)];
            samples.add(Series::Pending, size, 1, &figures);
        }
        let mut svg = String::new();
        draw(&mut svg, Series::Pending, &samples).unwrap();
        for text in ["pending alarms", "CPU of one ticket, ms", "memory, MiB", "at most", "1 M"] {
            assert!(svg.contains(text), "{text} is not there:\n{svg}");
        }
        assert_eq!(svg.matches("<circle").count(), 6);
        assert!(svg.len() < 60_000, "{} bytes", svg.len());
    }

    #[test]
    fn sizes_are_written_short() {
        assert_eq!([1.0, 10.0, 1e3, 1e4, 1e6].map(short), ["1", "10", "1 k", "10 k", "1 M"]);
    }
}
