//! Whether what a manifest names is there, before new content starts; never keeps a look waiting for long.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_planner::{Check, Fact, Finding, Need, Unknown, Verification, verify};
use evenkeel_reconciler::Cloud;

use crate::config::{VerifyConfig, VerifyMode};
use crate::verify::{OfCloud, Verifier};

/// A look is too old to act on after half a minute. What is not answered by then is not checked.
const PATIENCE: Duration = Duration::from_secs(8);

/// What the configuration says, and who asks.
#[derive(Debug)]
pub(super) struct Verifying<C> {
    verifier: Verifier<OfCloud<C>>,
    holds: bool,
    skip: Vec<Check>,
}

impl<C: Cloud> Verifying<C> {
    /// `None` when nothing is to be verified.
    pub(super) fn new(cloud: &Arc<C>, config: &VerifyConfig) -> io::Result<Option<Self>> {
        let holds = match config.mode {
            VerifyMode::Off => return Ok(None),
            VerifyMode::Warn => false,
            VerifyMode::Hold => true,
        };
        let verifier = Verifier::new(OfCloud(Arc::clone(cloud)))?;
        Ok(Some(Self { verifier, holds, skip: config.skip.clone() }))
    }

    pub(super) async fn verified(&self, needs: &[Need]) -> Fact<Verification> {
        let wanted = |need: &&Need| !self.skip.contains(&need.check);
        let needs: Vec<Need> = needs.iter().filter(wanted).cloned().collect();
        if needs.is_empty() {
            return Fact::Unknown(Unknown::NotAsked);
        }
        let asked = needs.iter().filter_map(Need::asked).cloned().collect();
        let answers = self.verifier.answers_within(asked, PATIENCE).await;
        let verified = verify(&needs, &answers);
        let findings = needs.into_iter().zip(verified);
        let findings = findings.map(|(need, verified)| Finding { need, verified }).collect();
        Fact::Known(Verification { findings, holds: self.holds })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use evenkeel_manifest::{File, ServiceKey, load};
    use evenkeel_planner::{Action, Applied, Asked, Observed, Questions, Shown, Verified, needs};
    use evenkeel_reconciler::{CloudError, OwnedService};

    use super::*;

    /// A cloud in which nothing exists that a manifest names, and that is slow about roles.
    #[derive(Default)]
    struct Empty(Mutex<Vec<Asked>>);

    impl Cloud for Empty {
        async fn owned(&self, _: &str, _: &[String]) -> Result<Vec<OwnedService>, CloudError> {
            Ok(Vec::new())
        }

        async fn observe(&self, _: &ServiceKey, _: &Questions) -> Result<Observed, CloudError> {
            Err(CloudError::CapabilityMissing { operation: "DescribeServices".to_owned() })
        }

        async fn apply(&self, _: &ServiceKey, _: &Action) -> Result<Applied, CloudError> {
            Err(CloudError::CapabilityMissing { operation: "TagResource".to_owned() })
        }

        async fn look_at(&self, asked: &Asked) -> Fact<Shown> {
            self.0.lock().unwrap().push(asked.clone());
            if asked.check() == Check::Role {
                std::future::pending::<()>().await;
            }
            Fact::Absent
        }
    }

    /// Of a role, an image and two subnets.
    fn named() -> Vec<Need> {
        let text = "\
apiVersion: evenkeel.dev/v1
kind: Service
metadata: {name: web}
spec:
  cluster: prod
  taskDefinition:
    networkMode: awsvpc
    taskRoleArn: arn:aws:iam::1:role/web
    containerDefinitions: [{name: app, image: 'app:1', memory: 64}]
  service:
    networkConfiguration: {awsvpcConfiguration: {subnets: [subnet-1, subnet-2]}}
";
        let set = load(&[File { name: "web.yaml".into(), text: text.to_owned() }]);
        needs(&set.services[0])
    }

    async fn verified(mode: VerifyMode, skip: &[Check]) -> (Fact<Verification>, usize) {
        let cloud = Arc::new(Empty::default());
        let config = VerifyConfig { mode, skip: skip.to_vec() };
        let Some(verifying) = Verifying::new(&cloud, &config).unwrap() else {
            return (Fact::Unknown(Unknown::NotAsked), 0);
        };
        let verified = verifying.verified(&named()).await;
        let asked = cloud.0.lock().unwrap().len();
        (verified, asked)
    }

    #[tokio::test(start_paused = true)]
    async fn unless_it_is_turned_on_nobody_is_asked() {
        let not_asked = || Fact::Unknown(Unknown::NotAsked);
        assert_eq!(verified(VerifyMode::Off, &[]).await, (not_asked(), 0));
        let all_left_out = verified(VerifyMode::Hold, &Check::ALL).await;
        assert_eq!(all_left_out, (not_asked(), 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_missing_is_found_and_what_takes_too_long_is_not_checked() {
        let began = tokio::time::Instant::now();
        let (verified, asked) = verified(VerifyMode::Warn, &[Check::Image]).await;
        assert_eq!((began.elapsed(), asked), (PATIENCE, 3));
        let Fact::Known(Verification { findings, holds: false }) = verified else {
            panic!("{verified:?}");
        };
        let found: Vec<_> =
            findings.iter().map(|one| (one.need.check.word(), one.verified.word())).collect();
        assert_eq!(found, [("role", "unknown"), ("subnet", "failed"), ("subnet", "failed")]);
        assert!(matches!(&findings[0].verified, Verified::Unknown(why) if why.contains("in time")));
    }

    #[tokio::test(start_paused = true)]
    async fn whether_it_holds_is_part_of_the_answer() {
        let (verified, _) = verified(VerifyMode::Hold, &[Check::Image, Check::Role]).await;
        assert!(matches!(verified, Fact::Known(Verification { holds: true, .. })), "{verified:?}");
    }
}
