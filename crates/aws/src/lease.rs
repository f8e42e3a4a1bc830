//! The lease table in `DynamoDB`, by conditional writes; never decides who holds what, and never tries
//! again.

mod item;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use evenkeel_reconciler::{CloudError, LeaseRecord, LeaseStore, LeaseStoreError};
use tokio::time::Instant;

use self::item::{Condition, INSTALLATION, Item};
use crate::cloud::AwsCloud;
use crate::error::failure;
use crate::metrics::AwsMetrics;
use crate::operation::LeaseOperation;

/// The records of one installation in one `DynamoDB` table, with the keys of
/// `deploy/lease-table.json`.
///
/// Every call is made once and given up after 2 seconds, so that a renewal that fails is known to
/// have failed while there is time for another. A global table must not be used: its replicas agree
/// too late for conditional writes to mean anything.
#[derive(Clone)]
pub struct LeaseTable {
    client: Client,
    metrics: AwsMetrics,
    table: String,
    installation: String,
    /// What is wrong with items, as it was told last.
    garbled: Arc<Mutex<BTreeSet<String>>>,
}

/// 1 MiB a page: tens of thousands of records. A table that needs more holds something else.
const PAGES_MAX: usize = 10;

const CONDITION_FAILED: &str = "ConditionalCheckFailedException";

impl AwsCloud {
    /// The lease table called `table`, in the account and region of this cloud and through the same
    /// connections. Nothing is asked of it yet.
    pub fn lease_table(&self, table: &str, installation: &str) -> LeaseTable {
        LeaseTable {
            client: self.caller.dynamodb.clone(),
            metrics: self.caller.metrics.clone(),
            table: table.to_owned(),
            installation: installation.to_owned(),
            garbled: Arc::default(),
        }
    }
}

impl LeaseStore for LeaseTable {
    async fn read(&self) -> Result<BTreeMap<String, LeaseRecord>, LeaseStoreError> {
        let (mut records, mut garbled) = (BTreeMap::new(), BTreeSet::new());
        let mut next = None;
        for _ in 0..PAGES_MAX {
            let (items, last) = self.page(next).await?;
            for item in items {
                match item::record(&item) {
                    Ok((name, record)) => drop(records.insert(name, record)),
                    Err(wrong) => drop(garbled.insert(wrong)),
                }
            }
            match last {
                None => {
                    self.tell(garbled);
                    return Ok(records);
                }
                last => next = last,
            }
        }
        Err(error(LeaseOperation::Query, format!("it has more than {PAGES_MAX} pages")))
    }

    async fn put(
        &self,
        name: &str,
        expected: Option<&LeaseRecord>,
        record: &LeaseRecord,
    ) -> Result<bool, LeaseStoreError> {
        let condition = Condition::new(expected);
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item::item(&self.installation, name, record)))
            .condition_expression(condition.expression)
            .set_expression_attribute_names(Some(condition.names))
            .set_expression_attribute_values(condition.values);
        self.written(LeaseOperation::PutItem, Box::pin(put.send())).await
    }

    async fn remove(&self, name: &str, expected: &LeaseRecord) -> Result<bool, LeaseStoreError> {
        let condition = Condition::new(Some(expected));
        let delete = self
            .client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(item::key(&self.installation, name)))
            .condition_expression(condition.expression)
            .set_expression_attribute_names(Some(condition.names))
            .set_expression_attribute_values(condition.values);
        self.written(LeaseOperation::DeleteItem, Box::pin(delete.send())).await
    }
}

impl LeaseTable {
    /// Some items, and where to go on if there are more.
    async fn page(&self, from: Option<Item>) -> Result<(Vec<Item>, Option<Item>), LeaseStoreError> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("#i = :i")
            .expression_attribute_names("#i", INSTALLATION)
            .expression_attribute_values(":i", AttributeValue::S(self.installation.clone()))
            .set_exclusive_start_key(from);
        let page = self.call(LeaseOperation::Query, Box::pin(query.send())).await?;
        let Some(page) = page else { return Ok((Vec::new(), None)) };
        let last = page.last_evaluated_key.filter(|key| !key.is_empty());
        Ok((page.items.unwrap_or_default(), last))
    }

    async fn written<T, E>(
        &self,
        operation: LeaseOperation,
        send: impl Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send,
    ) -> Result<bool, LeaseStoreError>
    where
        E: std::error::Error + ProvideErrorMetadata + Send + 'static,
    {
        Ok(self.call(operation, send).await?.is_some())
    }

    /// `None` when the condition of a write did not hold. The futures of the SDK are large: they
    /// come in boxes.
    async fn call<T, E>(
        &self,
        operation: LeaseOperation,
        send: impl Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send,
    ) -> Result<Option<T>, LeaseStoreError>
    where
        E: std::error::Error + ProvideErrorMetadata + Send + 'static,
    {
        let began = Instant::now();
        let result = match send.await {
            Ok(output) => Ok(Some(output)),
            Err(error) if error.code() == Some(CONDITION_FAILED) => Ok(None),
            Err(error) => Err(failure(&error, true)),
        };
        let result =
            result.map_err(|failure| failure.classify_as(operation.name(), operation.mutates()));
        let outcome = result.as_ref().map_or_else(CloudError::class, |_| "ok");
        let took = began.elapsed();
        self.metrics.called(operation.name(), outcome, took);
        tracing::debug!(operation = operation.name(), outcome, ?took, "called the lease table");
        result.map_err(|failed| error(operation, self.in_words(failed)))
    }

    /// What is wrong, with the remedy where there is one.
    fn in_words(&self, error: CloudError) -> String {
        let table = &self.table;
        match error {
            CloudError::Conflict { code, .. } if code == "ResourceNotFoundException" => format!(
                "there is no table `{table}` in this account and region; create it from \
                 deploy/lease-table.json"
            ),
            CloudError::Denied { code, message, .. } => format!(
                "denied ({code}): {message}; the role needs the policy \
                 deploy/iam-policy-lease.json for the table `{table}` and the installation `{}`",
                self.installation
            ),
            CloudError::Rejected { code, message, .. } if code == "ValidationException" => {
                format!(
                    "rejected ({code}): {message}; the table `{table}` needs the keys of \
                     deploy/lease-table.json"
                )
            }
            CloudError::Throttled { message, .. } => format!("throttled: {message}"),
            CloudError::Transient { message, .. } => message,
            CloudError::UnknownOutcome { message, .. } => {
                format!("it may or may not have been carried out: {message}")
            }
            CloudError::Rejected { code, message, .. } => format!("rejected ({code}): {message}"),
            CloudError::Conflict { code, message, .. }
            | CloudError::Quota { code, message, .. } => {
                format!("{code}: {message}")
            }
            CloudError::CapabilityMissing { .. } => "the server does not know the call".to_owned(),
        }
    }

    /// A record that a person edited into something else is left out: nobody can take or renew its
    /// lease, because it is there, and all other leases go on. It is said once.
    fn tell(&self, garbled: BTreeSet<String>) {
        let mut told = self.garbled.lock().unwrap_or_else(PoisonError::into_inner);
        for problem in garbled.difference(&told) {
            tracing::error!(
                table = self.table,
                problem,
                "an item of the lease table is no record: delete it, and it is written anew"
            );
        }
        *told = garbled;
    }
}

fn error(operation: LeaseOperation, message: String) -> LeaseStoreError {
    LeaseStoreError { operation: operation.name().to_owned(), message }
}

impl fmt::Debug for LeaseTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseTable")
            .field("table", &self.table)
            .field("installation", &self.installation)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod moto;
#[cfg(test)]
mod tests;
