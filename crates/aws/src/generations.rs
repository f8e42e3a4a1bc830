//! A bounded memory of what never changes, by ARN; never keeps what nobody asks for.

use std::collections::HashMap;

/// Two generations bound it: when the young one is full, it becomes the old one, and what was not
/// asked for during a whole generation is forgotten.
#[derive(Debug)]
pub(crate) struct Generations<T> {
    young: HashMap<String, T>,
    old: HashMap<String, T>,
    size: usize,
}

impl<T: Clone> Generations<T> {
    /// Remembers at least the last `size` things, and at most twice as many.
    pub(crate) fn of(size: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), size }
    }

    pub(crate) fn get(&mut self, arn: &str) -> Option<T> {
        if let Some(known) = self.young.get(arn) {
            return Some(known.clone());
        }
        let (arn, known) = self.old.remove_entry(arn)?;
        self.insert(arn, known.clone());
        Some(known)
    }

    pub(crate) fn insert(&mut self, arn: String, known: T) {
        if self.young.len() >= self.size {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(arn, known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_keeps_what_is_in_use() {
        let mut known = Generations::of(100);
        for n in 0..400 {
            known.insert(n.to_string(), n);
            assert_eq!(known.get("0"), Some(0), "asked for all the time");
        }
        assert!(known.young.len() + known.old.len() <= 200);
        assert_eq!(known.get("1"), None);
    }
}
