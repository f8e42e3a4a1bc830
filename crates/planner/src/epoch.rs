//! Times as AWS's JSON protocols send them, seconds since the epoch with a fraction; never in another form.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Timestamp>, D::Error> {
    let seconds = Option::<f64>::deserialize(deserializer)?;
    Ok(seconds.and_then(|seconds| {
        let duration = jiff::SignedDuration::try_from_secs_f64(seconds).ok()?;
        Timestamp::from_duration(duration).ok()
    }))
}

/// The same number of seconds that was read.
#[expect(clippy::ref_option, reason = "serde hands a field over like that")]
pub(crate) fn serialize<S: Serializer>(
    at: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    at.map(|at| at.as_duration().as_secs_f64()).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct At(#[serde(with = "super")] Option<Timestamp>);

    #[test]
    fn a_time_that_is_read_is_written_as_the_same_number() {
        let told = ["null", "0.0", "1732778000.0", "1732778000.123", "1732778000.9999998"];
        for number in told {
            let read: At = serde_json::from_str(number).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), number);
        }
    }
}
