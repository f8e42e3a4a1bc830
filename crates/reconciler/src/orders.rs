//! People's commands on their way into passes; never carries one out.
//!
//! A command is followed at the beginning of a pass over its service: so no other pass is under way,
//! what it needs is read anew, and the pass goes on from what it wrote.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{Order, PastDeployment};
use tokio::sync::oneshot;

use crate::{CloudError, Withheld};

/// More at once for one service are turned away.
const WAITING_MAX: usize = 8;

/// What a person asks of a pass.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Order(Order),
    History,
}

/// What a person is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Followed(Followed),
    History(Vec<PastDeployment>),
}

/// A command that was followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// False when all was as it was asked for.
    pub changed: bool,
    /// What follows from it.
    pub sentence: String,
}

/// Why a command was not followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFollowed {
    #[error("no manifest in force names this service")]
    Unmanaged,
    #[error("another replica looks after this service{}: ask it", replica.as_ref().map_or(String::new(), |name| format!(", {name}")))]
    Elsewhere { replica: Option<String> },
    /// As things stand; says what to do.
    #[error("{0}")]
    Refused(String),
    #[error("there are commands for this service that were not followed yet; try again")]
    Busy,
    #[error("nothing was written: {}; try again", .0.message())]
    Withheld(Withheld),
    #[error("{0}")]
    Failed(#[from] CloudError),
    #[error(
        "the daemon gave no answer: whether the command was followed shows in the status of the service"
    )]
    Unanswered,
}

impl NotFollowed {
    /// One word for metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Unmanaged => "unmanaged",
            Self::Elsewhere { .. } => "elsewhere",
            Self::Refused(_) => "refused",
            Self::Busy => "busy",
            Self::Withheld(_) => "withheld",
            Self::Failed(_) => "failed",
            Self::Unanswered => "unanswered",
        }
    }
}

pub(crate) type Reply = Result<Answer, NotFollowed>;

/// Something asked, and where its answer goes.
#[derive(Debug)]
pub(crate) struct Pending {
    ask: Ask,
    reply: oneshot::Sender<Reply>,
}

impl Pending {
    /// `None` when nobody waits for the answer any more: then it is not done either.
    pub(crate) fn ask(&self) -> Option<&Ask> {
        (!self.reply.is_closed()).then_some(&self.ask)
    }

    pub(crate) fn answer(self, reply: Reply) {
        // Who asked may have left meanwhile.
        let _heard = self.reply.send(reply);
    }
}

/// All that was asked and that no pass has taken yet.
#[derive(Debug)]
pub(crate) struct Orders {
    /// `None` once the loop has ended.
    waiting: Mutex<Option<BTreeMap<ServiceKey, Vec<Pending>>>>,
}

impl Default for Orders {
    fn default() -> Self {
        Self { waiting: Mutex::new(Some(BTreeMap::new())) }
    }
}

/// The loop's end of it. Without a loop nothing is followed, and nobody waits for an answer.
#[derive(Debug, Default)]
pub(crate) struct OrdersEnd(pub(crate) Arc<Orders>);

impl Drop for OrdersEnd {
    fn drop(&mut self) {
        *self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl std::ops::Deref for OrdersEnd {
    type Target = Orders;

    fn deref(&self) -> &Orders {
        &self.0
    }
}

impl Orders {
    /// Where the answer comes.
    pub(crate) fn add(
        &self,
        key: &ServiceKey,
        ask: Ask,
    ) -> Result<oneshot::Receiver<Reply>, NotFollowed> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let line = waiting.as_mut().ok_or(NotFollowed::Unanswered)?.entry(key.clone()).or_default();
        line.retain(|pending| pending.ask().is_some());
        if line.len() >= WAITING_MAX {
            return Err(NotFollowed::Busy);
        }
        let (reply, answer) = oneshot::channel();
        line.push(Pending { ask, reply });
        Ok(answer)
    }

    /// In the order in which they were asked.
    pub(crate) fn take(&self, key: &ServiceKey) -> Vec<Pending> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.as_mut().and_then(|waiting| waiting.remove(key)).unwrap_or_default()
    }

    /// Answers all that was asked about a service that no pass will be over.
    pub(crate) fn turn_away(&self, key: &ServiceKey, why: &NotFollowed) {
        for pending in self.take(key) {
            pending.answer(Err(why.clone()));
        }
    }
}
