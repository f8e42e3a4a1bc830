//! Expressions of Prometheus at the end of each closed minute; never asks twice for a minute that is closed.
//!
//! Source: Prometheus, "HTTP API", range queries.

#[cfg(test)]
mod real;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use evenkeel_planner::{Evaluated, MetricQuestion, Minutes};
use futures_util::future::try_join_all;
use hyper::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::web::Web;
use crate::style::safe;

/// A look that is much older is not acted on, whatever else it saw.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Expressions whose newest answer is kept.
const KEPT_MAX: usize = 1_000;
/// A minute.
const STEP: SignedDuration = SignedDuration::from_mins(1);

/// A server.
#[derive(Debug)]
pub(super) struct Prometheus {
    range: String,
    web: Web,
    kept: Mutex<BTreeMap<String, Kept>>,
}

/// What an expression came to over a range of minutes.
#[derive(Clone, Debug)]
struct Kept {
    from: Timestamp,
    until: Timestamp,
    minutes: Minutes,
}

#[derive(Debug, Deserialize)]
struct Answer {
    data: Option<Data>,
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Data {
    result: Vec<Matrix>,
}

#[derive(Debug, Deserialize)]
struct Matrix {
    /// Seconds since the epoch, and the number as text.
    values: Vec<(f64, String)>,
}

impl Prometheus {
    /// `url` is where its pages are, with or without a path.
    pub(super) fn new(url: &str, web: Web) -> Self {
        let range = format!("{}/api/v1/query_range", url.trim_end_matches('/'));
        Self { range, web, kept: Mutex::default() }
    }

    /// Every expression, or why one of them has no numbers.
    pub(super) async fn evaluate(&self, asked: &MetricQuestion) -> Result<Vec<Evaluated>, String> {
        let each = asked.expressions.iter().map(|expression| self.evaluated(expression, asked));
        try_join_all(each).await
    }

    async fn evaluated(
        &self,
        expression: &str,
        asked: &MetricQuestion,
    ) -> Result<Evaluated, String> {
        let minutes = match self.kept(expression, asked) {
            Some(minutes) => minutes,
            None => self.query(expression, asked).await?,
        };
        Ok(Evaluated { expression: expression.to_owned(), minutes })
    }

    fn kept(&self, expression: &str, asked: &MetricQuestion) -> Option<Minutes> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |one: &&Kept| one.from == asked.from && one.until == asked.until;
        kept.get(expression).filter(same).map(|one| one.minutes.clone())
    }

    async fn query(&self, expression: &str, asked: &MetricQuestion) -> Result<Minutes, String> {
        let first = asked.from.checked_add(STEP).map_err(|error| error.to_string())?;
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("query", expression)
            .append_pair("start", &first.as_second().to_string())
            .append_pair("end", &asked.until.as_second().to_string())
            .append_pair("step", "60")
            .finish();
        let form = [("content-type", "application/x-www-form-urlencoded".to_owned())];
        let (status, body) = self.web.post(&self.range, &form, body.into_bytes(), TIMEOUT).await?;
        let minutes = read(status, &body).map_err(|why| format!("`{expression}`: {why}"))?;
        self.keep(expression, asked, &minutes);
        Ok(minutes)
    }

    fn keep(&self, expression: &str, asked: &MetricQuestion, minutes: &Minutes) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        let (from, until) = (asked.from, asked.until);
        kept.insert(expression.to_owned(), Kept { from, until, minutes: minutes.clone() });
    }
}

/// The numbers of the one series in an answer.
fn read(status: StatusCode, body: &[u8]) -> Result<Minutes, String> {
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|_| format!("status {status}, and the body is none of Prometheus's"))?;
    if let Some(error) = answer.error {
        return Err(safe(&error).into_owned());
    }
    let series = answer.data.map(|data| data.result).unwrap_or_default();
    if series.len() > 1 {
        let number = series.len();
        return Err(format!("it has {number} results and must have one: aggregate, as by sum()"));
    }
    Ok(series.iter().flat_map(|one| &one.values).filter_map(minute).collect())
}

/// A number belongs to the minute at whose end it was evaluated.
fn minute((at, number): &(f64, String)) -> Option<(Timestamp, f64)> {
    let end = Timestamp::from_duration(SignedDuration::try_from_secs_f64(*at).ok()?).ok()?;
    let number = number.parse().ok().filter(|number: &f64| number.is_finite())?;
    Some((end.checked_sub(STEP).ok()?, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<(i64, f64)>, String> {
        let minutes = read(StatusCode::OK, text.as_bytes())?;
        Ok(minutes.into_iter().map(|(at, number)| (at.as_second(), number)).collect())
    }

    #[test]
    fn a_number_belongs_to_the_minute_that_it_ends() {
        let text = r#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{},"values":[[120,"0.5"],[180,"NaN"],[240.0,"+Inf"],[300,"2"]]}]}}"#;
        assert_eq!(read_text(text), Ok(vec![(60, 0.5), (240, 2.0)]));
    }

    #[test]
    fn several_results_are_no_number_and_none_is_no_minute() {
        let two = r#"{"data":{"result":[{"values":[]},{"values":[]}]}}"#;
        assert!(read_text(two).unwrap_err().contains("2 results"));
        assert_eq!(read_text(r#"{"data":{"result":[]}}"#), Ok(Vec::new()));
    }

    #[test]
    fn an_error_is_told_in_prometheus_s_words() {
        let refused =
            r#"{"status":"error","errorType":"bad_data","error":"parse error: unclosed"}"#;
        assert_eq!(read_text(refused), Err("parse error: unclosed".to_owned()));
        assert!(read_text("<html>").unwrap_err().contains("none of Prometheus's"));
    }
}
