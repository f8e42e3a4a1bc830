//! A part of the points of a sweep, so that a long one can be played bit by bit or on several machines; never a random one.

use std::fmt;
use std::str::FromStr;

/// Every so many-th point from one on. Written as `3/41`: the third, and every 41st after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// From 1 to `parts`.
    number: usize,
    parts: usize,
}

/// A word that says no part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no part; one looks like 3/41, and is at least the first and at most the last")]
pub struct NoPart(String);

/// The whole.
impl Default for Part {
    fn default() -> Self {
        Self { number: 1, parts: 1 }
    }
}

impl Part {
    /// All parts together are all points, and no two have one in common.
    pub(super) fn of<T>(self, points: Vec<T>) -> Vec<T> {
        points.into_iter().skip(self.number - 1).step_by(self.parts).collect()
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.parts)
    }
}

impl FromStr for Part {
    type Err = NoPart;

    fn from_str(text: &str) -> Result<Self, NoPart> {
        let numbers = text
            .split_once('/')
            .and_then(|(number, parts)| Some((number.parse().ok()?, parts.parse().ok()?)));
        let part = numbers.map(|(number, parts)| Self { number, parts });
        part.filter(|part| (1..=part.parts).contains(&part.number))
            .ok_or_else(|| NoPart(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parts_are_the_whole_and_share_nothing() {
        for parts in 1..=12 {
            let all = (1..=parts).map(|number| Part { number, parts });
            let mut points: Vec<u32> = all.flat_map(|part| part.of((0..10).collect())).collect();
            points.sort_unstable();
            assert_eq!(points, (0..10).collect::<Vec<_>>(), "{parts} parts");
        }
        assert_eq!(Part::default().of(vec![1, 2, 3]), [1, 2, 3]);
    }

    #[test]
    fn a_part_reads_back_as_written_and_what_is_none_is_refused() {
        let part = Part { number: 3, parts: 41 };
        assert_eq!(part.to_string().parse(), Ok(part));
        for text in ["", "3", "0/41", "42/41", "1/0", "0/0", "-1/4", "a/b", "1/2/3"] {
            assert_eq!(text.parse::<Part>(), Err(NoPart(text.to_owned())));
        }
    }
}
