//! Answers what AWS cannot: web hooks and Prometheus; never changes what AWS says, and never asks anybody
//! whom the configuration does not name.

mod prometheus;
pub(crate) mod web;
mod webhooks;

use std::sync::Arc;

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{Depth, Evaluated, Fact, Observed, Questions, Unknown};
use evenkeel_reconciler::{Cloud, CloudAround, CloudError};

use crate::config::AnalysisConfig;
use prometheus::Prometheus;
use web::Web;
use webhooks::Webhooks;

/// A cloud whose looks also tell what web hooks and Prometheus say.
#[derive(Debug)]
pub struct Outside<C> {
    cloud: Arc<C>,
    prometheus: Option<Prometheus>,
    webhooks: Webhooks,
}

/// Why nobody can be asked as configured.
#[derive(Debug, thiserror::Error)]
pub enum OutsideError {
    #[error("analysis.webhookSecretFile {file}: {why}")]
    Secret { file: String, why: String },
    #[error("analysis: the certificates of this machine cannot be read: {0}")]
    Certificates(std::io::Error),
}

impl<C: Cloud> Outside<C> {
    pub fn new(cloud: Arc<C>, config: &AnalysisConfig) -> Result<Self, OutsideError> {
        let server = |url: &String| {
            let web = Web::new().map_err(OutsideError::Certificates)?;
            Ok(Prometheus::new(url, web))
        };
        let prometheus = config.prometheus_url.as_ref().map(server).transpose()?;
        Ok(Self { cloud, prometheus, webhooks: Webhooks::new(config)? })
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
        let (observed, expressions) =
            tokio::join!(self.cloud.observe(key, questions), self.evaluated(questions));
        let observed = Observed { expressions, ..observed? };
        let webhooks = self.webhooks.ask(key, questions, &observed).await;
        Ok(Observed { webhooks, ..observed })
    }
}
