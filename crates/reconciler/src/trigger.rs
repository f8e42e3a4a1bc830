//! How people ask for a pass from outside of the loop; never says what the pass is to do.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use evenkeel_manifest::ServiceKey;
use tokio::sync::Notify;

/// Asks a running [`crate::ControlLoop`] for passes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LoopHandle {
    triggers: Arc<Triggers>,
}

impl LoopHandle {
    pub(crate) fn new(triggers: Arc<Triggers>) -> Self {
        Self { triggers }
    }

    /// Asks for a pass over `key` now, whatever it waits for. Asking twice before it begins is
    /// asking once; asking while a pass runs gets another one. A key that no manifest names is
    /// ignored.
    pub fn trigger(&self, key: ServiceKey) {
        self.triggers.add(key);
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
