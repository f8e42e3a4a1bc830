//! A look at who owns what of a service, for people; never plans, and never writes.

use evenkeel_manifest::Service;
use evenkeel_planner::{DriftMemory, Fact, Field, Input};

use crate::reconcile::{observe, unreadable};
use crate::{Cloud, CloudError};

/// What one look showed.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// `None` when the service could not be read.
    pub exists: Option<bool>,
    /// See [`evenkeel_planner::fields`].
    pub fields: Vec<Field>,
    /// Why it could not be read.
    pub error: Option<CloudError>,
}

/// Looks at a service as a pass does before it plans.
pub async fn inspect<C: Cloud>(cloud: &C, desired: &Service, instance: &str) -> Inspection {
    let key = &desired.key;
    let (observed, error) = match observe(cloud, key, Some(desired)).await.1 {
        Ok(observed) => (observed, None),
        Err(error) => (unreadable(&error), Some(error)),
    };
    let now = observed.at;
    let drift = DriftMemory::nothing();
    let input = Input { key, desired: Some(desired), observed: &observed, now, instance, drift };
    let exists = match &observed.service {
        Fact::Known(service) => Some(service.status != "INACTIVE"),
        Fact::Absent => Some(false),
        Fact::Unknown(_) => None,
    };
    Inspection { exists, fields: evenkeel_planner::fields(&input), error }
}
