//! The strategies that the demo can play and their manifests; never plays one.

use crate::front::Shares;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum DemoStrategy {
    /// A few tasks at a time.
    Rolling,
    /// Test traffic first, then all production traffic at once.
    #[value(name = "bluegreen")]
    BlueGreen,
    /// 10 % of production traffic first, then all.
    Canary,
    /// 25 % of production traffic more in each step.
    Linear,
    /// Steps of Evenkeel's own, on an EXTERNAL controller: 10 %, half, all.
    Steps,
    /// AWS CodeDeploy moves the traffic: 10 % first, then all.
    #[value(name = "codedeploy")]
    CodeDeploy,
}

impl DemoStrategy {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Rolling => "rolling",
            Self::BlueGreen => "bluegreen",
            Self::Canary => "canary",
            Self::Linear => "linear",
            Self::Steps => "steps",
            Self::CodeDeploy => "codedeploy",
        }
    }

    /// `spec.rollout` of the manifest, with bakes as short as ECS counts, judged by the errors of users and
    /// by a smoke test on test traffic.
    pub(super) fn rollout(self, smoke_test: &str) -> String {
        let members = match self {
            Self::Rolling => return String::new(),
            Self::CodeDeploy => return "  rollout: {strategy: CodeDeploy}\n".to_owned(),
            Self::BlueGreen => "strategy: BlueGreen\n    bake: 1m",
            Self::Canary => "strategy: Canary\n    canary: {percent: 10, bake: 1m}\n    bake: 0m",
            Self::Linear => "strategy: Linear\n    linear: {percent: 25, bake: 1m}\n    bake: 0m",
            Self::Steps => {
                "strategy: Steps\n    keepFor: 10s\n    steps:\n      - {weight: 10, scale: 25%, bake: 1m}\n      \
                 - {weight: 50, bake: 5s}\n      - {weight: 100, bake: 5s}"
            }
        };
        // Where all traffic moves at once there is nobody to compare with.
        let compared = match self {
            Self::BlueGreen => "",
            _ => "\n        - {metric: errorRate, compare: Stable}",
        };
        format!(
            "  rollout:
    {members}
    analysis:
      delay: 30s
      minRequests: 20
      metrics:
        - {{metric: errorRate, max: 5%}}{compared}
      webhooks:
        - {{url: \"{smoke_test}\", at: [AfterTestTraffic]}}
"
        )
    }

    pub(super) fn moves_traffic(self) -> bool {
        self != Self::Rolling
    }

    /// Whether the demo tests a new revision itself, by requests to the test listener.
    pub(super) fn has_test_traffic(self) -> bool {
        self == Self::BlueGreen
    }

    /// Whether some traffic has moved to a revision and some has not.
    pub(super) fn is_mid_shift(self, shares: Shares) -> bool {
        match self {
            Self::Rolling => false,
            Self::BlueGreen => shares.test > 0,
            Self::Canary | Self::Linear | Self::Steps | Self::CodeDeploy => {
                (1..100).contains(&shares.production)
            }
        }
    }
}
