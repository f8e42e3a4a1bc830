//! Mutation of JSON as a tree, so that what comes out is JSON again; never keeps a state and never draws
//! randomness from anywhere but its seed.

use serde_json::{Map, Number, Value};

/// Field names, tag keys and words of AWS, one a line in quotes, as libFuzzer reads them.
const WORDS: &str = include_str!("../words.dict");

/// Changes in one mutation.
const EDITS_MAX: u64 = 4;

/// Bytes by which libFuzzer may lengthen a string at once.
const SCRIBBLE_MAX: usize = 32;

/// Characters that separate, or that few expect.
const MARKS: &str = "\0:/= é\u{fffd}\n";

/// Values on which arithmetic, times and formats break.
const NUMBERS: &[f64] = &[
    -1.0,
    0.0,
    0.5,
    1.0,
    2.0,
    100.0,
    200.0,
    65_536.0,
    1.79e9,
    4_294_967_295.0,
    4_294_967_296.0,
    1e17,
    -1e17,
    1e300,
];

/// A mutation of `text` no longer than `most` bytes, the same for the same `seed`; `None` when the text is
/// no JSON or grew too long. `scribble` changes the bytes of one string.
pub fn json(
    text: &[u8],
    most: usize,
    seed: u64,
    scribble: &mut dyn FnMut(&[u8]) -> Vec<u8>,
) -> Option<Vec<u8>> {
    let mut tree: Value = serde_json::from_slice(text).ok()?;
    let mut dice = Dice(seed);
    for _ in 0..=dice.below(EDITS_MAX) {
        // Each edit may make of a tree nine: too long once is too long in the end.
        if least_length(&tree) > most {
            return None;
        }
        let donor = nth(&tree, dice.below(count(&tree))).cloned().unwrap_or_default();
        let index = dice.below(count(&tree));
        if let Some(node) = nth_mut(&mut tree, index) {
            edit(node, donor, &mut dice, scribble);
        }
    }
    Some(tree.to_string().into_bytes()).filter(|text| text.len() <= most)
}

/// What libFuzzer asks for: changes the first `size` bytes of `data` in place and says how many there are
/// now. Most JSON is mutated as a tree; for other text, and now and then, `bytes` of libFuzzer itself does.
pub fn buffer(
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
    bytes: fn(&mut [u8], usize, usize) -> usize,
) -> usize {
    let most = max_size.min(data.len());
    let text = data.get(..size).unwrap_or_default();
    let mut scribble = |text: &[u8]| {
        let mut room = text.to_vec();
        room.resize(text.len() + SCRIBBLE_MAX, 0);
        let length = bytes(&mut room, text.len(), text.len() + SCRIBBLE_MAX);
        room.truncate(length);
        room
    };
    let as_tree = !seed.is_multiple_of(16);
    let mutated = as_tree.then(|| json(text, most, seed.into(), &mut scribble)).flatten();
    match mutated.as_deref().and_then(|text| Some((text, data.get_mut(..text.len())?))) {
        Some((text, room)) => {
            room.copy_from_slice(text);
            text.len()
        }
        None => bytes(data, size, max_size),
    }
}

fn edit(
    node: &mut Value,
    donor: Value,
    dice: &mut Dice,
    scribble: &mut dyn FnMut(&[u8]) -> Vec<u8>,
) {
    match dice.below(8) {
        0 => *node = donor,
        1 => *node = plain(dice),
        _ => match node {
            Value::Object(members) => edit_members(members, donor, dice),
            Value::Array(elements) => edit_elements(elements, donor, dice),
            Value::String(text) => edit_text(text, dice, scribble),
            Value::Number(number) => *node = other_number(number, dice),
            Value::Null | Value::Bool(_) => *node = plain(dice),
        },
    }
}

fn edit_members(members: &mut Map<String, Value>, donor: Value, dice: &mut Dice) {
    let index = dice.index(members.len());
    let name = members.keys().nth(index).cloned();
    match (dice.below(4), name) {
        (0, Some(name)) => drop(members.remove(&name)),
        (1, Some(name)) => drop(members.insert(name, plain(dice))),
        (2, Some(name)) => drop(members.insert(name, donor)),
        _ => drop(members.insert(word(dice), donor)),
    }
}

fn edit_elements(elements: &mut Vec<Value>, donor: Value, dice: &mut Dice) {
    let (at, with) = (dice.index(elements.len()), dice.index(elements.len()));
    match dice.below(5) {
        0 if !elements.is_empty() => drop(elements.remove(at)),
        1 if !elements.is_empty() => elements.swap(at, with),
        2 => elements.extend(elements.get(at).cloned()),
        3 => {
            let copies = 1 + dice.index(8);
            let one = elements.get(at).cloned().unwrap_or(donor);
            elements.extend(std::iter::repeat_n(one, copies));
        }
        _ => elements.insert(at, donor),
    }
}

fn edit_text(text: &mut String, dice: &mut Dice, scribble: &mut dyn FnMut(&[u8]) -> Vec<u8>) {
    let at =
        text.char_indices().map(|(at, _)| at).nth(dice.index(text.chars().count())).unwrap_or(0);
    match dice.below(6) {
        0 => *text = word(dice),
        1 => text.insert_str(at, &word(dice)),
        2 => text.truncate(at),
        3 => *text = text.repeat(1 + dice.index(20)),
        4 => text.insert(at, MARKS.chars().nth(dice.index(MARKS.chars().count())).unwrap_or('x')),
        _ => *text = String::from_utf8_lossy(&scribble(text.as_bytes())).into_owned(),
    }
}

fn other_number(number: &Number, dice: &mut Dice) -> Value {
    match (dice.below(4), number.as_i64()) {
        (0, Some(whole)) => whole.wrapping_add(1).into(),
        (1, Some(whole)) => whole.wrapping_sub(1).into(),
        (2, Some(whole)) => whole.wrapping_mul(2).into(),
        _ => some_number(dice),
    }
}

fn some_number(dice: &mut Dice) -> Value {
    match dice.below(3) {
        0 => i64::from_ne_bytes(dice.roll().to_ne_bytes()).into(),
        1 => dice.below(1000).into(),
        _ => match NUMBERS.get(dice.index(NUMBERS.len())).copied().unwrap_or_default() {
            #[expect(
                clippy::as_conversions,
                clippy::cast_possible_truncation,
                reason = "is whole and fits"
            )]
            whole if whole.fract() == 0.0 && whole.abs() < 1e18 => (whole as i64).into(),
            broken => broken.into(),
        },
    }
}

fn plain(dice: &mut Dice) -> Value {
    match dice.below(8) {
        0 => Value::Null,
        1 => Value::Bool(dice.below(2) == 0),
        2 => Value::Array(Vec::new()),
        3 => Value::Object(Map::new()),
        4 => some_number(dice),
        _ => Value::String(word(dice)),
    }
}

fn word(dice: &mut Dice) -> String {
    let words: Vec<&str> =
        WORDS.lines().filter_map(|line| line.strip_prefix('"')?.strip_suffix('"')).collect();
    words.get(dice.index(words.len())).copied().unwrap_or_default().replace("\\\\", "\\")
}

/// The nodes of a tree.
fn count(value: &Value) -> u64 {
    1 + match value {
        Value::Array(elements) => elements.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}

/// The text of a tree has no fewer bytes.
fn least_length(value: &Value) -> usize {
    1 + match value {
        Value::String(text) => text.len(),
        Value::Array(elements) => elements.iter().map(least_length).sum(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| name.len() + least_length(value)).sum()
        }
        _ => 0,
    }
}

/// The node at this place in the order of reading.
fn nth(value: &Value, mut index: u64) -> Option<&Value> {
    if index == 0 {
        return Some(value);
    }
    index -= 1;
    let children: Vec<&Value> = match value {
        Value::Array(elements) => elements.iter().collect(),
        Value::Object(members) => members.values().collect(),
        _ => return None,
    };
    for child in children {
        let size = count(child);
        if index < size {
            return nth(child, index);
        }
        index -= size;
    }
    None
}

fn nth_mut(value: &mut Value, mut index: u64) -> Option<&mut Value> {
    if index == 0 {
        return Some(value);
    }
    index -= 1;
    let children: Vec<&mut Value> = match value {
        Value::Array(elements) => elements.iter_mut().collect(),
        Value::Object(members) => members.values_mut().collect(),
        _ => return None,
    };
    for child in children {
        let size = count(child);
        if index < size {
            return nth_mut(child, index);
        }
        index -= size;
    }
    None
}

/// `SplitMix64`: good enough to choose, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to below `limit`; 0 when there is nothing below it.
    fn below(&mut self, limit: u64) -> u64 {
        self.roll().checked_rem(limit).unwrap_or(0)
    }

    fn index(&mut self, length: usize) -> usize {
        let limit = u64::try_from(length).unwrap_or(u64::MAX);
        usize::try_from(self.below(limit)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: &[u8] = include_bytes!("../seeds/plans/widening.json");

    fn mutated(seed: u64) -> Option<Vec<u8>> {
        json(LOOK, 64 << 10, seed, &mut |text| text.iter().rev().copied().collect())
    }

    #[test]
    fn a_mutation_of_json_is_other_json_and_the_same_for_the_same_seed() {
        let original: Value = serde_json::from_slice(LOOK).unwrap();
        let mut other = 0;
        for seed in 0..500 {
            let Some(text) = mutated(seed) else { continue };
            let value: Value = serde_json::from_slice(&text).expect("a mutation is JSON");
            other += usize::from(value != original);
            assert_eq!(mutated(seed), Some(text));
        }
        assert!(other > 450, "only {other} of 500 mutations changed anything");
    }

    #[test]
    fn a_mutation_keeps_to_its_bound() {
        assert!((0..200).all(|seed| {
            json(LOOK, 4096, seed, &mut |_| vec![b'x'; 5000]).is_none_or(|text| text.len() <= 4096)
        }));
    }

    #[test]
    fn the_text_of_a_tree_is_never_shorter_than_it_is_taken_for() {
        for seed in 0..200 {
            let Some(text) = mutated(seed) else { continue };
            let value: Value = serde_json::from_slice(&text).expect("a mutation is JSON");
            let least = least_length(&value);
            assert!((text.len() / 3..=text.len()).contains(&least), "{least} of {}", text.len());
        }
        assert!(least_length(&Value::from(vec![Value::Null; 100])) > 100);
    }

    #[test]
    fn what_is_no_json_is_left_to_others() {
        assert_eq!(json(b"kind: Service", 100, 1, &mut <[u8]>::to_vec), None);
    }
}
