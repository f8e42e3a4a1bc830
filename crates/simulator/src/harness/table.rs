//! The lease table of several daemons, in memory; never slower to decide than one after the other.

use std::collections::BTreeMap;
use std::time::Duration;

use evenkeel_reconciler::{LeaseRecord, LeaseStore, LeaseStoreError};
use tokio::time::Instant;

use super::course::{Shared, lock};
use super::event::Replica;
use super::wire::thawed;

/// How long a request takes, there and back.
const ANSWERS_AFTER: Duration = Duration::from_millis(20);

/// What is stored, and who cannot reach it until when.
#[derive(Debug, Default)]
pub(crate) struct Table {
    records: BTreeMap<String, LeaseRecord>,
    cut_off: BTreeMap<Replica, Instant>,
}

impl Table {
    pub(crate) fn cut_off(&mut self, replica: Replica, until: Instant) {
        self.cut_off.insert(replica, until);
    }

    /// A person empties it.
    pub(crate) fn wipe(&mut self) {
        self.records.clear();
    }

    pub(crate) fn clear_faults(&mut self) {
        self.cut_off.clear();
    }

    fn reached_by(&self, replica: Replica) -> bool {
        self.cut_off.get(&replica).is_none_or(|until| Instant::now() >= *until)
    }

    fn put(&mut self, name: &str, expected: Option<&LeaseRecord>, record: &LeaseRecord) -> bool {
        let fits = self.records.get(name) == expected;
        if fits {
            self.records.insert(name.to_owned(), record.clone());
        }
        fits
    }
}

/// One daemon's way to the table.
#[derive(Clone)]
pub(super) struct TableStore {
    pub(super) course: Shared,
    pub(super) replica: Replica,
}

impl TableStore {
    /// Carries a request there and back; one in two that fail are carried out.
    async fn ask<T>(
        &self,
        operation: &str,
        carry_out: impl FnOnce(&mut Table) -> T + Send,
    ) -> Result<T, LeaseStoreError> {
        thawed(&self.course, self.replica).await;
        tokio::time::sleep(ANSWERS_AFTER / 2).await;
        let answer = {
            let mut course = lock(&self.course);
            let reached = course.table.reached_by(self.replica);
            let is_carried_out = reached || course.flips_a_coin();
            let answer = is_carried_out.then(|| carry_out(&mut course.table));
            answer.filter(|_| reached)
        };
        tokio::time::sleep(ANSWERS_AFTER / 2).await;
        thawed(&self.course, self.replica).await;
        answer.ok_or_else(|| LeaseStoreError {
            operation: operation.to_owned(),
            message: "no answer".to_owned(),
        })
    }
}

impl LeaseStore for TableStore {
    async fn read(&self) -> Result<BTreeMap<String, LeaseRecord>, LeaseStoreError> {
        self.ask("Query", |table| table.records.clone()).await
    }

    async fn put(
        &self,
        name: &str,
        expected: Option<&LeaseRecord>,
        record: &LeaseRecord,
    ) -> Result<bool, LeaseStoreError> {
        self.ask("PutItem", |table| table.put(name, expected, record)).await
    }

    async fn remove(&self, name: &str, expected: &LeaseRecord) -> Result<bool, LeaseStoreError> {
        self.ask("DeleteItem", |table| {
            let fits = table.records.get(name) == Some(expected);
            if fits {
                table.records.remove(name);
            }
            fits
        })
        .await
    }
}
