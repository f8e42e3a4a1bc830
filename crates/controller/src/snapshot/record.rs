//! Looks at one service for a snapshot; never plans, and never writes to AWS.

use evenkeel_manifest::Service;
use evenkeel_planner::{Observed, Questions, questions_to_record};
use evenkeel_reconciler::{Cloud, CloudError};

use super::{Looked, Seen};

/// A deep look, also at a service that is settled: what a changed manifest will ask is not known yet.
pub(crate) async fn record<C: Cloud>(cloud: &C, desired: &Service) -> Looked {
    match look(cloud, desired).await {
        Ok(seen) => Looked::Seen(Box::new(seen)),
        Err(error) => Looked::Unread(error.to_string()),
    }
}

async fn look<C: Cloud>(cloud: &C, desired: &Service) -> Result<Seen, CloudError> {
    let mut seen = ask(cloud, desired, &Questions::shallow()).await?;
    while let Some(questions) = questions_to_record(desired, &seen.observed) {
        seen = ask(cloud, desired, &questions).await?;
    }
    Ok(seen)
}

async fn ask<C: Cloud>(
    cloud: &C,
    desired: &Service,
    questions: &Questions,
) -> Result<Seen, CloudError> {
    let searched = questions.family.as_ref().map(|question| question.digest.clone());
    let observed = cloud.observe(&desired.key, questions).await?;
    Ok(Seen { asked: questions.into(), observed: Observed { searched, ..observed } })
}
