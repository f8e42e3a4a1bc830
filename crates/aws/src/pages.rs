//! Listings page by page; never takes a part of a listing for the whole.

use evenkeel_planner::Lane;
use evenkeel_reconciler::CloudError;
use serde_json::Value;

use crate::caller::Caller;
use crate::operation::Operation;
use crate::reply::text;

/// A listing to read to its end.
#[derive(Debug)]
pub(crate) struct Listing<'a> {
    pub(crate) operation: Operation,
    /// The input, without `nextToken`.
    pub(crate) input: Value,
    /// The member of the reply that holds the list.
    pub(crate) member: &'a str,
    pub(crate) limit: Limit,
}

/// How much of a listing is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    /// All; more elements than this are an error.
    All(usize),
    /// The first ones; there may be more.
    First(usize),
}

/// A listing whose pages never end must not hold a pass for ever.
const PAGES_MAX: usize = 400;

impl Listing<'_> {
    /// The elements in AWS's order. A page may be empty and still not be the last.
    pub(crate) async fn read(
        mut self,
        caller: &Caller,
        lane: Lane,
    ) -> Result<Vec<Value>, CloudError> {
        let mut all = Vec::new();
        for _ in 0..PAGES_MAX {
            let mut reply = caller.json(self.operation, lane, &self.input).await?;
            let page = reply.get_mut(self.member).and_then(Value::as_array_mut);
            all.append(page.unwrap_or(&mut Vec::new()));
            match self.limit {
                Limit::All(most) if all.len() > most => {
                    return Err(self.endless(&format!("more than {most} elements")));
                }
                Limit::First(enough) if all.len() >= enough => {
                    all.truncate(enough);
                    return Ok(all);
                }
                _ => {}
            }
            match text(&reply, "nextToken") {
                "" => return Ok(all),
                token => self.continue_at(token),
            }
        }
        Err(self.endless(&format!("more than {PAGES_MAX} pages")))
    }

    fn continue_at(&mut self, token: &str) {
        if let Some(input) = self.input.as_object_mut() {
            input.insert("nextToken".to_owned(), token.into());
        }
    }

    fn endless(&self, message: &str) -> CloudError {
        let operation = self.operation.name().to_owned();
        CloudError::Transient { operation, message: format!("the listing has {message}") }
    }
}
