//! What should change and why: pure functions from desired and observed state to the next safe
//! step; never does I/O, never reads a clock, never fails.
//!
//! [`questions`] says what must be known, [`plan`] takes the next safe step, [`check`] refuses a plan
//! that breaks a safety property, [`status`] tells people. `steps` is the order of the cases, one
//! file a leaf; `breaker` judges a rollout, `judge` its numbers; `tags` is the memory; `diff` compares.

mod action;
mod breaker;
mod check;
mod diff;
mod fact;
mod judge;
mod observed;
mod plan;
mod probe;
mod questions;
pub mod render;
mod status;
mod steps;
mod tags;
mod view;

pub use action::{Action, Applied, Call, HookAction, Lane};
pub use check::check;
pub use diff::changes;
pub use fact::{Fact, Unknown};
pub use judge::{
    AnalysisResult, Certainty, Comparison, ComparisonNumbers, ComparisonOutcome,
    ComparisonSettings, Counts, Direction, Effect, Measurement, MetricId, MetricQuestion, Minutes,
    Series, WindowPair, compare_errors, compare_values,
};
pub use observed::{
    Alarm, Container, Deployment, HookDetail, Observed, ObservedService, ReadError, RevisionCounts,
    ServiceDeployment, ServiceDocument, ServiceRevision, TargetGroupHealth, TargetHealth, Task,
    TaskDefinition, Version,
};
pub use plan::{
    BreakerCount, Change, Evidence, EvidenceKind, Input, Plan, Verdict, VerdictKind, Wait,
    WaitReason,
};
pub use questions::{Depth, FamilyQuestion, Questions, questions};
pub use status::{
    Condition, ConditionKind, ConditionStatus, Outcome, RolloutPhase, RolloutStatus, Status, status,
};
pub use steps::plan;
pub use tags::{is_owner, tag};
