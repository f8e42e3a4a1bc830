//! How people ask for a pass from outside of the loop; never says what the pass is to do.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{Order, PastDeployment};
use tokio::sync::Notify;

use crate::orders::{Answer, Ask, Followed, NotFollowed, Orders};

/// Asks a running [`crate::ControlLoop`] for passes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LoopHandle {
    triggers: Arc<Triggers>,
    orders: Arc<Orders>,
}

impl LoopHandle {
    pub(crate) fn new(triggers: Arc<Triggers>, orders: Arc<Orders>) -> Self {
        Self { triggers, orders }
    }

    /// Asks for a pass over `key` now, whatever it waits for. Asking twice before it begins is
    /// asking once; asking while a pass runs gets another one. A key that no manifest names is
    /// ignored.
    pub fn trigger(&self, key: ServiceKey) {
        self.triggers.add(key);
    }

    /// Has a person's command followed by the next pass over `key`, which begins as soon as it can.
    ///
    /// Cancel-safe: a command whose caller has left before a pass took it is not followed.
    ///
    /// # Errors
    ///
    /// Why it was not followed.
    pub async fn order(&self, key: &ServiceKey, order: Order) -> Result<Followed, NotFollowed> {
        match self.ask(key, Ask::Order(order)).await? {
            Answer::Followed(followed) => Ok(followed),
            Answer::History(_) => Err(NotFollowed::Unanswered),
        }
    }

    /// The deployments of a service that ECS lists, newest first; changes nothing.
    ///
    /// # Errors
    ///
    /// Why they cannot be told.
    pub async fn history(&self, key: &ServiceKey) -> Result<Vec<PastDeployment>, NotFollowed> {
        match self.ask(key, Ask::History).await? {
            Answer::History(history) => Ok(history),
            Answer::Followed(_) => Err(NotFollowed::Unanswered),
        }
    }

    async fn ask(&self, key: &ServiceKey, ask: Ask) -> Result<Answer, NotFollowed> {
        let answer = self.orders.add(key, ask)?;
        self.trigger(key.clone());
        answer.await.unwrap_or(Err(NotFollowed::Unanswered))
    }
}

/// The keys asked for since the loop last looked: a set, so that asking a thousand times takes no
/// more memory than asking once.
#[derive(Debug, Default)]
pub(crate) struct Triggers {
    keys: Mutex<BTreeSet<ServiceKey>>,
    added: Notify,
}

impl Triggers {
    fn add(&self, key: ServiceKey) {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
        self.added.notify_one();
    }

    fn take(&self) -> BTreeSet<ServiceKey> {
        std::mem::take(&mut *self.keys.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until there are keys and takes them all.
    ///
    /// Cancel-safe: they are taken in the poll that returns them, and a notification without a
    /// waiter is kept.
    pub(crate) async fn next(&self) -> BTreeSet<ServiceKey> {
        loop {
            let keys = self.take();
            if !keys.is_empty() {
                return keys;
            }
            self.added.notified().await;
        }
    }
}
