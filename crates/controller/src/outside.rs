//! Answers what ECS cannot: web hooks, Prometheus, and whether what a manifest names is there; never changes what AWS says, and never asks anybody
//! whom the configuration does not name.

mod prometheus;
mod verifying;
pub(crate) mod web;
mod webhooks;

use std::sync::Arc;

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{Depth, Evaluated, Fact, Observed, Questions, Unknown, Verification};
use evenkeel_reconciler::{Cloud, CloudAround, CloudError};

use crate::config::{AnalysisConfig, VerifyConfig};
use prometheus::Prometheus;
use verifying::Verifying;
use web::Web;
use webhooks::Webhooks;

/// A cloud whose looks also tell what web hooks and Prometheus say.
#[derive(Debug)]
pub struct Outside<C> {
    cloud: Arc<C>,
    prometheus: Option<Prometheus>,
    webhooks: Webhooks,
    /// `None`: nothing is verified.
    verification: Option<Verifying<C>>,
}

/// Why nobody can be asked as configured.
#[derive(Debug, thiserror::Error)]
pub enum OutsideError {
    #[error("analysis.webhookSecretFile {file}: {why}")]
    Secret { file: String, why: String },
    #[error("the certificates of this machine cannot be read: {0}")]
    Certificates(std::io::Error),
}

impl<C: Cloud> Outside<C> {
    pub fn new(
        cloud: Arc<C>,
        config: &AnalysisConfig,
        verify: &VerifyConfig,
    ) -> Result<Self, OutsideError> {
        let server = |url: &String| {
            let web = Web::new().map_err(OutsideError::Certificates)?;
            Ok(Prometheus::new(url, web))
        };
        let prometheus = config.prometheus_url.as_ref().map(server).transpose()?;
        let verification = Verifying::new(&cloud, verify).map_err(OutsideError::Certificates)?;
        Ok(Self { cloud, prometheus, webhooks: Webhooks::new(config)?, verification })
    }

    async fn evaluated(&self, questions: &Questions) -> Fact<Vec<Evaluated>> {
        let asked = questions.metrics.as_ref().filter(|asked| !asked.expressions.is_empty());
        match (asked, &self.prometheus) {
            (None, _) => Fact::Unknown(Unknown::NotAsked),
            (Some(_), None) => failed("Prometheus", "the daemon has no analysis.prometheusUrl"),
            (Some(asked), Some(server)) => match server.evaluate(asked).await {
                Ok(evaluated) => Fact::Known(evaluated),
                Err(message) => failed("Prometheus", &message),
            },
        }
    }

    async fn verified(&self, questions: &Questions) -> Fact<Verification> {
        match &self.verification {
            Some(verification) => verification.verified(&questions.needs).await,
            None => Fact::Unknown(Unknown::NotAsked),
        }
    }
}

fn failed<T>(operation: &str, message: &str) -> Fact<T> {
    let (operation, message) = (operation.to_owned(), message.to_owned());
    Fact::Unknown(Unknown::Failed { operation, message })
}

impl<C: Cloud> CloudAround for Outside<C> {
    type Within = C;

    fn within(&self) -> &C {
        &self.cloud
    }

    async fn observe_around(
        &self,
        key: &ServiceKey,
        questions: &Questions,
    ) -> Result<Observed, CloudError> {
        if questions.depth != Depth::Deep {
            return self.cloud.observe(key, questions).await;
        }
        let (observed, expressions, verified) = tokio::join!(
            self.cloud.observe(key, questions),
            self.evaluated(questions),
            self.verified(questions),
        );
        let observed = Observed { expressions, verified, ..observed? };
        let webhooks = self.webhooks.ask(key, questions, &observed).await;
        Ok(Observed { webhooks, ..observed })
    }
}
