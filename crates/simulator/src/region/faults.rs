//! What is made to go wrong on purpose; never by chance.

use jiff::Timestamp;

use super::ApiError;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The next `times` calls of `operation` answer `error`. With `applied` the call is carried
    /// out first and only its answer is lost.
    Call { operation: String, error: ApiError, applied: bool, times: u32 },
    /// No task can be placed until then.
    CapacityLoss { until: Timestamp },
    /// The tasks of an availability zone are lost, and none is placed there until then.
    ZoneLoss { zone: String, until: Timestamp },
}

impl Fault {
    /// The next call of `operation` fails and does nothing.
    pub fn refuse(operation: impl Into<String>, error: ApiError) -> Self {
        Self::Call { operation: operation.into(), error, applied: false, times: 1 }
    }

    /// The next call of `operation` is carried out, but answers with `error`.
    pub fn lose_answer(operation: impl Into<String>, error: ApiError) -> Self {
        Self::Call { operation: operation.into(), error, applied: true, times: 1 }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn before(&mut self, operation: &str) -> Option<ApiError> {
        self.take(operation, false)
    }

    pub(crate) fn after(&mut self, operation: &str) -> Option<ApiError> {
        self.take(operation, true)
    }

    fn take(&mut self, called: &str, after: bool) -> Option<ApiError> {
        let error = self.0.iter_mut().find_map(|fault| match fault {
            Fault::Call { operation, error, applied, times }
                if operation == called && *applied == after && *times > 0 =>
            {
                *times -= 1;
                Some(error.clone())
            }
            _ => None,
        });
        self.0.retain(|fault| !matches!(fault, Fault::Call { times: 0, .. }));
        error
    }
}
