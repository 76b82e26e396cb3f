//! What a run says: a line a figure as it comes, and tables of ratios at the end.

use crate::measure::{Figures, Report, Row};
use crate::programs::Kind;
use comfy_table::{Table, presets};

/// One run's figures in a line.
pub fn line(figures: &Figures) -> String {
    let mut parts = Vec::new();
    let mut say = |value: Option<f64>, decimals: usize, unit: &str| {
        if let Some(value) = value {
            parts.push(format!("{value:.decimals$} {unit}"));
        }
    };
    say(figures.per_second, 0, "tickets/s");
    say(figures.p50_ms, 2, "ms p50");
    say(figures.p99_ms, 2, "ms p99");
    say(figures.taken_per_second, 0, "alarms/s taken");
    say(figures.ready_ms, 0, "ms to ready");
    say(figures.idle_percent, 2, "% CPU idle");
    say(figures.cpu_per_1000, 3, "CPU s/1,000");
    say(figures.broker_cpu_per_1000, 3, "broker's");
    say(figures.backend_cpu_per_1000, 3, "backends'");
    say(figures.peak_mib, 1, "MiB peak");
    if let Some(waited) = figures.lanes_waited {
        let [first, between, last] = waited.map(|share| share * 100.0);
        parts.push(format!("lanes waited {first:.1} + {between:.1} + {last:.1} %"));
    }
    parts.join(", ")
}

/// The tables.
pub fn print(report: &Report) {
    println!(
        "\nRatios to the bare loop of the same round: median (least to most). Others: medians.\n\
         {} cores, fsync of a page {} us, binary {:.1} MiB",
        report.cores,
        report.fsync_median_us,
        report.binary_bytes as f64 / (1024.0 * 1024.0)
    );
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "measurement",
        "program",
        "tickets/s",
        "ratio",
        "CPU s/1,000",
        "ratio",
        "broker's",
        "p50 ms",
        "over bare",
        "p99 ms",
        "over bare",
        "MiB",
        "other",
    ]);
    let mut names: Vec<&str> = Vec::new();
    for row in &report.rows {
        if !names.contains(&row.measure.as_str()) {
            names.push(&row.measure);
        }
    }
    for name in names {
        for program in Kind::ALL {
            let of = |row: &&Row| row.measure == name && row.program == program;
            let rows: Vec<&Row> = report.rows.iter().filter(of).collect();
            if !rows.is_empty() {
                table.add_row(cells(report, name, program, &rows));
            }
        }
    }
    println!("{table}");
}

type Of = fn(&Figures) -> Option<f64>;

fn cells(report: &Report, name: &str, program: Kind, rows: &[&Row]) -> Vec<String> {
    let value = |of: Of, decimals: usize| {
        let mut values: Vec<f64> = rows.iter().filter_map(|row| of(&row.figures)).collect();
        median(&mut values).map_or(String::new(), |it| format!("{it:.decimals$}"))
    };
    // Against the same round's, so that what disturbed one disturbed the other.
    let against = |of: Of, join: fn(f64, f64) -> f64, decimals: usize| {
        let mut values: Vec<f64> = rows
            .iter()
            .filter_map(|row| {
                let bare = |it: &&Row| {
                    it.round == row.round && it.measure == name && it.program == Kind::Bare
                };
                let bare = report.rows.iter().find(bare)?;
                Some(join(of(&row.figures)?, of(&bare.figures)?))
            })
            .collect();
        if program == Kind::Bare {
            values.clear();
        }
        let middle = median(&mut values);
        middle.map_or(String::new(), |middle| {
            let (least, most) = (values[0], values[values.len() - 1]);
            format!("{middle:.decimals$} ({least:.decimals$} to {most:.decimals$})")
        })
    };
    let ratio: fn(f64, f64) -> f64 = |one, other| one / other;
    let over: fn(f64, f64) -> f64 = |one, other| one - other;
    let mut other = Vec::new();
    for (of, decimals, unit) in [
        ((|it| it.ready_ms) as Of, 0, "ms to ready"),
        (|it| it.idle_percent, 2, "% CPU idle"),
        (|it| it.taken_per_second, 0, "alarms/s taken"),
    ] {
        let text = value(of, decimals);
        if !text.is_empty() {
            other.push(format!("{text} {unit}"));
        }
    }
    vec![
        name.to_owned(),
        program.to_string(),
        value(|it| it.per_second, 0),
        against(|it| it.per_second, ratio, 2),
        value(|it| it.cpu_per_1000, 3),
        against(|it| it.cpu_per_1000, ratio, 2),
        value(|it| it.broker_cpu_per_1000, 3),
        value(|it| it.p50_ms, 2),
        against(|it| it.p50_ms, over, 2),
        value(|it| it.p99_ms, 2),
        against(|it| it.p99_ms, over, 2),
        value(|it| it.peak_mib, 1),
        other.join(", "),
    ]
}

/// Sorts, and gives the middle one.
pub fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_one_of_the_values() {
        assert_eq!(median(&mut []), None);
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&mut [4.0, 1.0]), Some(1.0));
    }
}
