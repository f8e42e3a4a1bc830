//! Tables for people and the same as JSON; never judges more than the promise.

use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

/// So many of so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) count: u32,
    pub(crate) of: u32,
}

impl Share {
    pub(crate) fn part(self) -> f64 {
        f64::from(self.count) / f64::from(self.of)
    }

    /// `3 of 25000: 1.2e-4 (4.1e-5 to 3.5e-4)`.
    fn with_interval(self) -> String {
        let (low, high) = self.interval();
        let [part, low, high] = [self.part(), low, high].map(scientific);
        format!("{} of {}: {part} ({low} to {high})", self.count, self.of)
    }

    /// Wilson's interval, of 95 %.
    fn interval(self) -> (f64, f64) {
        let (n, z) = (f64::from(self.of), 1.96_f64);
        let (part, spread) = (self.part(), z * z / n);
        let middle = (part + spread / 2.0) / (1.0 + spread);
        let half = (part * (1.0 - part) * spread + spread * spread / 4.0).sqrt() / (1.0 + spread);
        ((middle - half).max(0.0), middle + half)
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Cell {
    Text(String),
    Share(Share),
}

impl Cell {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    fn shown(&self, with_interval: bool) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Share(share) if with_interval => share.with_interval(),
            Self::Share(share) => format!("{:.2} %", 100.0 * share.part()),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Share(share) => {
                let (low, high) = share.interval();
                json!({"count": share.count, "of": share.of, "from": low, "to": high})
            }
        }
    }
}

fn scientific(part: f64) -> String {
    if part == 0.0 { "0".to_owned() } else { format!("{part:.1e}") }
}

#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) title: &'static str,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<Cell>>,
    /// What is shown is a rate of false rollbacks: with its interval. The last column says whether the
    /// rate is promised.
    pub(crate) is_false_rate: bool,
}

pub(crate) const PROMISED: &str = "yes";

impl Table {
    /// All false rollbacks that the promise is about.
    pub(crate) fn promised(&self) -> Share {
        self.promises().fold(Share { count: 0, of: 0 }, |sum, share| Share {
            count: sum.count + share.count,
            of: sum.of + share.of,
        })
    }

    fn promises(&self) -> impl Iterator<Item = Share> {
        let rows = self.rows.iter().filter(|_| self.is_false_rate);
        let promised =
            rows.filter(|row| matches!(row.last(), Some(Cell::Text(text)) if text == PROMISED));
        promised.flatten().filter_map(|cell| match cell {
            Cell::Share(share) => Some(*share),
            Cell::Text(_) => None,
        })
    }

    fn lines(&self) -> Vec<String> {
        let shown = |row: &Vec<Cell>| -> Vec<String> {
            row.iter().map(|cell| cell.shown(self.is_false_rate)).collect()
        };
        let all: Vec<Vec<String>> =
            [self.columns.clone()].into_iter().chain(self.rows.iter().map(shown)).collect();
        let width =
            |place: usize| all.iter().filter_map(|row| row.get(place)).map(String::len).max();
        let widths: Vec<usize> = (0..self.columns.len()).filter_map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            cells.collect::<Vec<String>>().join("  ").trim_end().to_owned()
        };
        all.iter().map(line).collect()
    }

    fn json(&self) -> Value {
        let row = |row: &Vec<Cell>| -> Value {
            let cells = self.columns.iter().cloned().zip(row.iter().map(Cell::json));
            Value::Object(cells.collect())
        };
        json!({"title": self.title, "rows": self.rows.iter().map(row).collect::<Vec<Value>>()})
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    tables: Vec<Table>,
}

impl Report {
    #[expect(clippy::unused_self, reason = "what is said belongs to the report")]
    pub(crate) fn say(&self, text: &str) {
        writeln!(std::io::stdout().lock(), "{text}").ok();
    }

    pub(crate) fn add(&mut self, table: Table) {
        self.say(&format!("\n{}\n\n  {}", table.title, table.lines().join("\n  ")));
        if table.promises().next().is_some() {
            self.say(&format!("\n  All that are promised: {}", table.promised().with_interval()));
        }
        self.tables.push(table);
    }

    /// Whether what is promised is within `alpha`: of each table together, and, but for chance, of each
    /// line.
    pub(crate) fn keeps(&self, alpha: f64) -> bool {
        let keeps = |table: &Table| {
            let is_above = |share: Share| share.interval().0 > alpha;
            !(table.promised().part() > alpha || table.promises().any(is_above))
        };
        self.tables.iter().all(keeps)
    }

    pub(crate) fn save(&self, path: Option<&Path>) -> std::io::Result<()> {
        let Some(path) = path else { return Ok(()) };
        let tables: Vec<Value> = self.tables.iter().map(Table::json).collect();
        let text = serde_json::to_string_pretty(&json!({"tables": tables}))?;
        std::fs::write(path, text)
    }
}

pub(crate) fn say_error(error: &dyn std::fmt::Display) {
    writeln!(std::io::stderr().lock(), "\rerror: the JSON file cannot be written: {error}").ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wilson (1927) for 10 of 100, as `statsmodels.stats.proportion.proportion_confint` gives it:
    /// 0.0552 to 0.1744.
    #[test]
    fn the_interval_is_wilsons() {
        let (low, high) = Share { count: 10, of: 100 }.interval();
        assert!((low - 0.0552).abs() < 1e-4 && (high - 0.1744).abs() < 1e-4, "{low} {high}");
        assert!(Share { count: 0, of: 100 }.interval().0.abs() < 1e-12);
    }
}
