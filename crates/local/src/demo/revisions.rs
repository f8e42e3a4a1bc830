//! The revisions of each story and what should become of them; never plays them.

use std::path::Path;

use super::strategy::DemoStrategy;
use crate::catalogue::Catalogue;

#[derive(Clone, Copy, Debug)]
pub(super) struct Revision {
    pub(super) name: &'static str,
    pub(super) image: &'static str,
    pub(super) nature: &'static str,
    pub(super) expected: Expected,
    pub(super) interruption: Interruption,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Expected {
    Live,
    TurnedBack {
        /// At most so many tasks are started with it.
        most_tasks: u64,
        /// It gets at most this part of production requests, 0 to 1.
        most_share: f64,
    },
}

/// When the daemon is killed and started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interruption {
    Never,
    /// While some of the traffic has moved.
    MidShift,
    /// Once the revision has come to its end.
    Afterwards,
}

impl Revision {
    pub(super) fn is_bad(&self) -> bool {
        self.expected != Expected::Live
    }

    const fn good(name: &'static str, image: &'static str, nature: &'static str) -> Self {
        let (expected, interruption) = (Expected::Live, Interruption::Never);
        Self { name, image, nature, expected, interruption }
    }

    const fn bad(
        name: &'static str,
        image: &'static str,
        nature: &'static str,
        most_tasks: u64,
        most_share: f64,
    ) -> Self {
        let expected = Expected::TurnedBack { most_tasks, most_share };
        Self { name, image, nature, expected, interruption: Interruption::Never }
    }

    const fn interrupted(self, interruption: Interruption) -> Self {
        Self { interruption, ..self }
    }
}

const ROLLING: [Revision; 6] = [
    Revision::good("v1", "evenkeel-demo:v1", "the first one"),
    Revision::good("v2", "evenkeel-demo:v2", "a good one"),
    Revision::bad("v3", "evenkeel-demo:v3", "which crashes after its start", 3, 1.0),
    Revision::bad("v4", "evenkeel-demo:v4", "which answers 500 on its health path", 3, 1.0),
    // ECS starts another one at once after the first failure, unless the verdict is faster.
    Revision::bad("v5", "evenkeel-demo:v5", "whose image does not exist", 2, 1.0)
        .interrupted(Interruption::Afterwards),
    Revision::good("v6", "evenkeel-demo:v6", "a good one again"),
];

/// Where traffic moves, all four tasks start at once, and each is replaced until the verdict.
const MOST_TASKS: u64 = 12;

const V1: Revision = Revision::good("v1", "evenkeel-demo:v1", "the first one");
const V2: Revision =
    Revision::good("v2", "evenkeel-demo:v2", "a good one").interrupted(Interruption::MidShift);
const V3: Revision = Revision::bad(
    "v3",
    "evenkeel-demo:v3",
    "which answers 500 on its health path",
    MOST_TASKS,
    0.0,
);

const fn crashing(most_share: f64) -> Revision {
    let nature = "which is healthy and crashes at its third request";
    Revision::bad("v4", "evenkeel-demo:v4", nature, MOST_TASKS, most_share)
}

const fn erring(most_share: f64) -> Revision {
    let nature = "which is healthy and answers every fifth request with 500";
    Revision::bad("v5", "evenkeel-demo:v5", nature, MOST_TASKS, most_share)
}

const V6: Revision = Revision::bad(
    "v6",
    "evenkeel-demo:v6",
    "which is healthy and answers every request with 500, a smoke test's, too",
    MOST_TASKS,
    0.0,
);

/// Test traffic shows what is bad before production traffic moves.
const BLUE_GREEN: [Revision; 5] = [V1, V2, V3, crashing(0.0), V6];
const CANARY: [Revision; 6] = [V1, V2, V3, crashing(0.1), erring(0.1), V6];
/// CodeDeploy moves traffic as soon as the tasks are healthy, and nobody measures what they answer.
const CODE_DEPLOY: [Revision; 4] = [V1, V2, V3, crashing(0.1)];
const LINEAR: [Revision; 6] = [V1, V2, V3, crashing(0.25), erring(0.25), V6];

impl DemoStrategy {
    pub(super) fn revisions(self) -> &'static [Revision] {
        match self {
            Self::Rolling => &ROLLING,
            Self::BlueGreen => &BLUE_GREEN,
            Self::Canary | Self::Steps => &CANARY,
            Self::Linear => &LINEAR,
            Self::CodeDeploy => &CODE_DEPLOY,
        }
    }

    /// The images of the story, played by `program`.
    pub(super) fn catalogue(self, program: &Path) -> Catalogue {
        if self == Self::Rolling {
            return Catalogue::demo(program);
        }
        let tags: [(&str, &[&str]); 6] = [
            ("v1", &[]),
            ("v2", &[]),
            ("v3", &["--health-status", "500"]),
            ("v4", &["--crash-at-request", "3"]),
            ("v5", &["--error-percent", "20"]),
            ("v6", &["--error-percent", "100"]),
        ];
        Catalogue::of_demo_application(program, tags)
    }
}
