//! What was read out of the last answer about each thing, for when the same answer comes again; never
//! tells whether it is still true.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::Arc;

use evenkeel_planner::ReadError;
use serde_json::Value;

/// By the name of the thing.
#[derive(Debug)]
pub(super) struct Parsed<K, T>(BTreeMap<K, (Arc<Value>, T)>);

impl<K, T> Default for Parsed<K, T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord, T: Clone> Parsed<K, T> {
    /// What an answer about a thing says.
    pub(super) fn of<N>(
        &mut self,
        name: &N,
        answer: &Arc<Value>,
        read: impl FnOnce(&Value) -> Result<T, ReadError>,
    ) -> Result<T, ReadError>
    where
        K: Borrow<N>,
        N: Ord + ToOwned<Owned = K> + ?Sized,
    {
        if let Some((last, parsed)) = self.0.get(name)
            && Arc::ptr_eq(last, answer)
        {
            return Ok(parsed.clone());
        }
        let parsed = read(answer)?;
        self.0.insert(name.to_owned(), (Arc::clone(answer), parsed.clone()));
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn an_answer_is_read_once_and_another_anew() {
        let (first, second) = (Arc::new(Value::from(1)), Arc::new(Value::from(1)));
        let (mut parsed, read) = (Parsed::<String, Value>::default(), Cell::new(0));
        for (answer, times) in [(&first, 1), (&first, 1), (&second, 2), (&first, 3)] {
            let reading = |value: &Value| {
                read.set(read.get() + 1);
                Ok(value.clone())
            };
            assert_eq!(parsed.of("web", answer, reading), Ok(Value::from(1)));
            assert_eq!(read.get(), times);
        }
        let refused = |_: &Value| Err(ReadError("no".to_owned()));
        assert!(parsed.of("web", &second, refused).is_err());
    }
}
