//! Everything that happens in one course of the simulation, as properties see it; never what anybody
//! makes of it.

use std::sync::Arc;

use evenkeel_manifest::{Service, ServiceKey};
use evenkeel_planner::{Command, Lane};
use evenkeel_reconciler::{CloudError, Followed, NotFollowed};
use jiff::Timestamp;
use serde_json::Value;

use crate::{Api, ApiError, ServiceFacts};

/// One daemon; a restart has the number of the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Replica(pub usize);

/// One API call of a daemon.
#[derive(Clone, Debug)]
pub struct Sent {
    pub by: Replica,
    /// Counts all calls of the course, from 0.
    pub number: u64,
    /// The service that the pass behind it is about; `None` for the listing of our services.
    pub about: Option<ServiceKey>,
    /// The pass behind it; each pass of the course has another number. 0 for the listing.
    pub pass: u64,
    pub api: Api,
    pub operation: String,
    pub input: Value,
    /// What a write is for and in which lane it goes; `None` for reads.
    pub action: Option<(Lane, String)>,
}

impl Sent {
    pub fn is_write(&self) -> bool {
        self.action.is_some()
    }
}

/// Times are the region's, which nobody can see but the properties.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// A daemon starts with an empty disk.
    Started(Replica),
    /// It is gone: killed, or told to stop.
    Ended(Replica),
    /// It neither hears nor does anything until then, and does not notice.
    Frozen { by: Replica, until: At },
    /// The manifests of a daemon changed: this is what it wants of a service from now on. `None` when no
    /// manifest names the service any more. All of them are told again after a start.
    Wanted { by: Replica, key: &'a ServiceKey, service: Option<&'a Service> },
    /// The newest text of a manifest is bad (`true`) or good again; the last good one stays in force.
    Invalid { by: Replica, key: &'a ServiceKey, is: bool },
    /// Not all manifests of a daemon can be read (`true`), or all can again.
    Incomplete { by: Replica, is: bool },
    /// A call leaves the daemon.
    Sent(&'a Sent),
    /// The region has carried out a write, or refused it; what it changed is told after this.
    CarriedOut { call: &'a Sent, reply: Result<&'a Value, &'a ApiError> },
    /// The daemon hears of it. An answer can be lost, late, or from the past.
    Answered { call: &'a Sent, answer: Result<&'a Value, &'a CloudError>, is_stale: bool },
    /// Somebody else (a person, an autoscaler, another tool) makes a call that changes something.
    Edited { by: &'static str, operation: &'a str, input: &'a Value },
    /// A person gives a command about a service to a daemon, and waits for the answer.
    Asked { of: Replica, key: &'a ServiceKey, who: &'a str, command: &'a Command },
    /// The person is answered, or gives up waiting.
    Heard {
        from: Replica,
        key: &'a ServiceKey,
        who: &'a str,
        command: &'a Command,
        answer: Result<&'a Followed, &'a NotFollowed>,
    },
    /// The truth about a service changed, or may have.
    Changed(&'a Arc<ServiceFacts>),
    /// Faults are possible from now on (`false`), or all is well again (`true`).
    Calm(bool),
    /// The course is over; there was calm for long enough that everything should have settled.
    Over,
}

impl Event<'_> {
    /// Whether something may be different for good after it: in the region, or in what people and manifests say.
    pub(crate) fn lasts(&self) -> bool {
        match self {
            Event::Started(_)
            | Event::Ended(_)
            | Event::Sent(_)
            | Event::Answered { .. }
            | Event::Changed(_)
            | Event::Over => false,
            Event::Frozen { .. }
            | Event::Wanted { .. }
            | Event::Invalid { .. }
            | Event::Incomplete { .. }
            | Event::CarriedOut { .. }
            | Event::Edited { .. }
            | Event::Asked { .. }
            | Event::Heard { .. }
            | Event::Calm(_) => true,
        }
    }
}

/// When something happened.
pub type At = Timestamp;
