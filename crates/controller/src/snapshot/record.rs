//! Looks at one service for a snapshot; never plans, and never writes to AWS.

use evenkeel_manifest::Service;
use evenkeel_planner::{Questions, questions_to_record};
use evenkeel_reconciler::{Cloud, CloudError, ask};

use super::{Looked, Seen};

/// A deep look, also at a service that is settled: what a changed manifest will ask is not known yet.
pub(crate) async fn record<C: Cloud>(cloud: &C, desired: &Service) -> Looked {
    match look(cloud, desired).await {
        Ok(seen) => Looked::Seen(Box::new(seen)),
        Err(error) => Looked::Unread(error.to_string()),
    }
}

async fn look<C: Cloud>(cloud: &C, desired: &Service) -> Result<Seen, CloudError> {
    let first = Questions::shallow();
    let shallow = ask(cloud, &desired.key, &first).await?;
    let Some(questions) = questions_to_record(desired, &shallow) else {
        return Ok(Seen { asked: (&first).into(), observed: shallow });
    };
    let observed = ask(cloud, &desired.key, &questions).await?;
    Ok(Seen { asked: (&questions).into(), observed })
}
