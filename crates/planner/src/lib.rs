//! What should change and why: pure functions from desired and observed state to the next safe
//! step; never does I/O, never reads a clock, never fails.

mod action;
mod fact;
mod observed;
mod plan;
mod questions;
mod status;
mod tags;

pub use action::{Action, Applied, Call, Lane};
pub use fact::{Fact, Unknown};
pub use observed::{
    Alarm, Container, Deployment, Observed, ObservedService, ReadError, RevisionCounts,
    ServiceDeployment, ServiceRevision, TargetGroupHealth, TargetHealth, Task, TaskDefinition,
};
pub use plan::{
    BreakerCount, Change, Evidence, EvidenceKind, Input, Plan, Verdict, VerdictKind, Wait,
    WaitReason, changes, check, plan,
};
pub use questions::{Depth, FamilyQuestion, Questions, questions};
pub use status::{
    Condition, ConditionKind, ConditionStatus, Outcome, RolloutPhase, RolloutStatus, Status, status,
};
pub use tags::tag;
