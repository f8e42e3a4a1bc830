//! Elements of AWS's replies, each read as every shape that is read; never expects one.

use evenkeel_planner::{ObservedService, ServiceDeployment, ServiceRevision, Task};
use serde_json::Value;

/// Any JSON is read or refused, the same way each time; what is refused says why.
pub(crate) fn run(data: &[u8]) {
    let Ok(reply) = serde_json::from_slice::<Value>(data) else { return };
    let service = ObservedService::read(&reply);
    if let Ok(service) = &service {
        assert_eq!(*service.document, reply);
    }
    agree(&service, &ObservedService::read(&reply));
    agree(&Task::read(&reply), &Task::read(&reply));
    agree(&ServiceDeployment::read(&reply), &ServiceDeployment::read(&reply));
    agree(&ServiceRevision::read(&reply), &ServiceRevision::read(&reply));
}

fn agree<T: PartialEq + std::fmt::Debug>(
    one: &Result<T, evenkeel_planner::ReadError>,
    other: &Result<T, evenkeel_planner::ReadError>,
) {
    if let Err(error) = one {
        assert!(!error.to_string().is_empty());
    }
    assert_eq!(one, other);
}
