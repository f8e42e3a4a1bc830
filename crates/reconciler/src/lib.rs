//! When: the work queue, the control loop and one pass; never names AWS's SDK, git or a file.
//!
//! Where to begin: [`reconcile`] is one pass over one service, and the only function that knows all
//! its beats. [`ControlLoop`] decides when passes run; [`WorkQueue`] is its memory of what is due.
//! [`Cloud`] is the seam to AWS, [`DesiredState`] comes in over a `watch` channel, and statuses go
//! out on the [`StatusBoard`].

mod board;
mod cloud;
mod control_loop;
mod delay;
mod desired;
mod footing;
mod inspect;
mod judged;
pub mod lease;
mod metrics;
mod orders;
mod permit;
mod prune;
mod queue;
mod reconcile;
mod resync;
mod roster;
mod settings;
mod shutdown;
mod status_metrics;
#[cfg(test)]
mod testing;
mod told;
mod trigger;
mod unconfirmed;
mod unplanned;

pub use board::StatusBoard;
pub use cloud::{Cloud, CloudAround, CloudError, StoppedTasks};
pub use control_loop::{ControlLoop, LoopError};
pub use desired::DesiredState;
pub use inspect::{Inspection, inspect};
pub use lease::{
    HeldShards, LeaseKeeper, LeaseMetrics, LeaseRecord, LeaseSettings, LeaseStore, LeaseStoreError,
};
pub use metrics::LoopMetrics;
pub use orders::{Followed, NotFollowed};
pub use permit::{Grounds, Withheld};
pub use prune::{OwnedService, PruneSettings};
pub use queue::{ORDINARY_EVERY, Room, Urgency, WorkQueue};
pub use reconcile::{Mode, PassReport, ask, reconcile};
pub use settings::LoopSettings;
pub use shutdown::Shutdown;
pub use status_metrics::metrics_text;
pub use trigger::LoopHandle;
