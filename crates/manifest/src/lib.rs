//! What is wanted: manifest kinds, parsing, validation and digests; never talks to AWS and never reads a clock.
//!
//! A manifest is one YAML 1.2 or JSON document for one ECS service:
//!
//! ```yaml
//! apiVersion: evenkeel.dev/v1
//! kind: Service
//! metadata:
//!   name: web
//! spec:
//!   cluster: prod
//!   taskDefinition:            # the input of RegisterTaskDefinition, or {file: taskdef.json}
//!     containerDefinitions:
//!       - name: web
//!         image: example/web:7
//!         memory: 128
//!   service:                   # the input of CreateService
//!     desiredCount: 2
//! ```
//!
//! How values are read:
//! - Plain scalars follow the core schema of YAML 1.2: `no` and `on` are strings, `012` is twelve.
//! - Where AWS wants a string, a number or a boolean is an error that says to quote it: `1.10` would
//!   otherwise become `1.1`. Only the task's `cpu` and `memory` may be numbers, as everybody writes
//!   them.
//! - A member that is null is an absent one. A repeated member is an error.
//! - Aliases and merge keys are expanded, within [`Limits`]; members of the document that begin with
//!   `x-` are for the author and hold anchors.
//! - What AWS writes into replies (`taskDefinitionArn`, `status`, ...) is ignored with a warning, so
//!   that a printed reply can be pasted.
//!
//! [`load`] reads a whole set of files, because two manifests of one service and included files are
//! seen only together. [`canonical`] makes what a manifest says and what AWS reads back comparable.

mod annotation;
mod approval;
mod document;
mod drift;
mod key;
mod rollout;
mod schedule;
mod service;

mod limits;
mod load;
mod node;
mod problem;
mod reader;

mod checks;
mod envelope;
mod shape_check;
mod shapes;
mod spelling;
mod task_size;
mod written;

pub mod canonical;
mod digest;
mod pattern;

mod environment;
mod image;
mod import;
mod set_image;

mod schema;

pub use approval::Approval;
pub use digest::{Digest, sha256};
pub use document::Document;
pub use drift::{Drift, DriftPolicy};
pub use image::{ImageError, ImageReference};
pub use import::{ImportError, Shown, import, task_definition_in_use};
pub use key::ServiceKey;
pub use limits::Limits;
pub use load::{
    File, ManifestSet, Reloaded, Reloader, RenderedManifest, included_paths, load, load_in,
    load_with, render, shared_groups,
};
pub use pattern::Pattern;
pub use problem::{Problem, Severity};
pub use rollout::{
    Analysis, Breaker, CodeDeploy, Condition, Counting, Gate, Hooks, InFlight, Limit, Metric,
    MetricSource, OnFailure, OnInconclusive, Origin, Percent, Probe, Query, Rollout, Rule, Scale,
    Shift, Statistic, Step, Steps, Strategy, Threshold, TrafficStep, Webhook, Window, WindowFault,
    WindowText,
};
pub use schedule::Schedule;
pub use schema::schema;
pub use service::{Metadata, Service, Source, application_balancer, target_groups};
pub use set_image::{
    ImageChange, ImageTarget, SetImageError, SetVariableError, VariableChange, VariableTarget,
    set_image, set_variable,
};
pub use written::Written;
