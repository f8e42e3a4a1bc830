//! A row of numbers as a row of blocks, or as numbers where no terminal shows them; never judges them.

use super::TrendView;
use crate::style::{self, paint};

/// How a row of numbers is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// On a terminal.
    AsBlocks,
    /// For a file or another program.
    AsNumbers,
}

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Rows from elsewhere may be longer than this version's.
const SHOWN_MAX: usize = 20;

impl Numbers {
    pub(super) fn show(self, trend: &TrendView) -> String {
        let values = trend.values.iter().copied().filter(|value| value.is_finite());
        let values: Vec<f64> = values.collect();
        let values = values.get(values.len().saturating_sub(SHOWN_MAX)..).unwrap_or_default();
        match self {
            Self::AsBlocks => blocks(values, trend),
            Self::AsNumbers => {
                let texts: Vec<String> = values.iter().copied().map(rounded).collect();
                texts.join(" ")
            }
        }
    }
}

/// From zero to the largest of the numbers and their limit, so that one sees how near they are to it. What
/// is beyond the limit is red.
fn blocks(values: &[f64], trend: &TrendView) -> String {
    let limit = trend.most.or(trend.least).unwrap_or(0.0);
    let top = values.iter().copied().fold(limit, f64::max);
    let bottom = values.iter().copied().fold(limit.min(0.0), f64::min);
    let one = |value: &f64| {
        let block = block(*value, bottom, top);
        let is_over = trend.most.is_some_and(|most| *value > most)
            || trend.least.is_some_and(|least| *value < least);
        if is_over { paint(style::BAD, block) } else { block.to_string() }
    };
    values.iter().map(one).collect()
}

fn block(value: f64, bottom: f64, top: f64) -> char {
    let [lowest, higher @ ..] = BLOCKS;
    let share = (value - bottom) / (top - bottom);
    let steps = [0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875];
    let reached = steps.iter().zip(higher).take_while(|(step, _)| share >= **step);
    reached.last().map_or(lowest, |(_, block)| block)
}

/// Four digits after the point at most, without trailing zeros.
fn rounded(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(values: &[f64], most: Option<f64>, least: Option<f64>) -> String {
        let trend = TrendView { values: values.to_vec(), most, least, ..TrendView::default() };
        anstream::adapter::strip_str(&Numbers::AsBlocks.show(&trend)).to_string()
    }

    #[test]
    fn a_row_is_as_high_as_its_numbers_and_their_limit() {
        assert_eq!(shown(&[0.0, 1.0, 2.0, 4.0, 7.9, 8.0], None, None), "▁▂▃▅██");
        assert_eq!(shown(&[0.0, 0.1, 0.2], Some(1.0), None), "▁▁▂");
        assert_eq!(shown(&[2.0, 1.0, 0.0], None, Some(2.0)), "█▅▁");
    }

    #[test]
    fn no_numbers_and_numbers_that_are_all_alike_are_shown_too() {
        assert_eq!(shown(&[], Some(1.0), None), "");
        assert_eq!(shown(&[0.0, 0.0], None, None), "▁▁");
        assert_eq!(shown(&[5.0, 5.0], None, None), "██");
        assert_eq!(shown(&[-1.0, 0.0, 1.0], None, None), "▁▅█");
        assert_eq!(shown(&[f64::NAN, f64::INFINITY, 1.0], None, None), "█");
    }

    #[test]
    fn what_is_beyond_the_limit_is_marked() {
        let trend = TrendView { values: vec![0.5, 2.0], most: Some(1.0), ..TrendView::default() };
        let over = paint(style::BAD, '█');
        assert_eq!(Numbers::AsBlocks.show(&trend), format!("▃{over}"));
        assert_eq!(Numbers::AsNumbers.show(&trend), "0.5 2");
    }
}
