//! What should change and why: pure functions from desired and observed state to the next safe
//! step; never does I/O, never reads a clock, never fails.
//!
//! [`questions`] says what must be known, [`plan`] takes the next safe step, [`check`] refuses a plan
//! that breaks a safety property, [`status`] tells people. `steps` is the order of the cases, one
//! file a leaf; `breaker` judges a rollout, `judge` its numbers; `tags` is the memory; `diff` compares; `verify` asks
//! whether what a manifest names is there.

mod action;
mod breaker;
mod check;
mod code_deploy;
mod command;
mod diff;
mod drift;
mod epoch;
mod fact;
mod forecast;
mod freeze;
mod history;
mod judge;
mod load_balancing;
mod observed;
mod plan;
mod probe;
mod prune;
mod questions;
pub mod render;
mod status;
mod steps;
mod tags;
mod task_set;
mod verify;
mod view;

pub use action::{Action, Applied, Call, HookAction, Lane, Reweighing, Unused};
pub use check::{check, check_order, check_prune};
pub use code_deploy::{
    CodeDeploy, CodeDeployDeployment, CodeDeployQuestion, DeploymentGroup, Diagnostics, EcsService,
    ErrorInformation, LifecycleEvent, RollbackInfo,
};
pub use command::{Command, Gates, Obedience, Order, Refusal};
pub use diff::{Cause, Field, FieldOwner, Revised, changes, fields, revised};
pub use drift::{DriftMemory, Drifted};
pub use fact::{Fact, Unknown};
pub use forecast::{Forecast, forecast};
pub use history::{PastDeployment, history};
pub use judge::{
    AnalysisResult, Certainty, Comparison, ComparisonNumbers, ComparisonOutcome,
    ComparisonSettings, Counts, Direction, Effect, Evaluated, Measurement, MetricId,
    MetricQuestion, Minutes, Series, StepGate, Trend, WebhookAnswer, WebhookCall, WindowPair,
    compare_errors, compare_values, webhook_calls,
};
pub use load_balancing::{BalancingQuestion, ListenerRule, LoadBalancing, TargetGroup};
pub use observed::{
    Alarm, Container, Deployment, HookDetail, Observed, ObservedService, ReadError, RevisionCounts,
    ServiceDeployment, ServiceDocument, ServiceRevision, TargetGroupHealth, TargetHealth, Task,
    TaskDefinition, Version,
};
pub use plan::{
    BreakerCount, Change, Evidence, EvidenceKind, Input, Plan, Verdict, VerdictKind, Wait,
    WaitReason,
};
pub use prune::{Leave, PruneTerms};
pub use questions::{
    Depth, FamilyQuestion, Questions, questions, questions_of, questions_of_history,
    questions_to_record,
};
pub use status::{
    ApprovalStatus, Condition, ConditionKind, ConditionStatus, GateStatus, Outcome,
    PromotionStatus, RolloutPhase, RolloutStatus, ShiftStatus, SourceStatus, Status, VerdictStatus,
    Words, status,
};
pub use steps::{obey, plan, prune};
pub use tags::{Said, is_owner, tag};
pub use task_set::TaskSet;
pub use verify::{
    Answers, Asked, AttachedGroup, Check, Finding, Need, Platform, Shown, Verification, Verified,
    needs, verify,
};
