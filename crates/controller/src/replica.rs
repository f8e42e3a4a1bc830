//! This replica among others: what it is called and who looks after what; never decides that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use evenkeel_manifest::ServiceKey;
use evenkeel_reconciler::HeldShards;
use evenkeel_reconciler::lease::{ShardId, Standing};

/// The longest name that fits beside others in a table of `evenkeel get`.
const NAME_MAX: usize = 63;

/// One of two or more daemons that agree through a lease table.
#[derive(Clone, Debug)]
pub(crate) struct Replica {
    pub name: String,
    pub held: HeldShards,
    /// True after the first successful read of the table.
    pub table_read: Arc<AtomicBool>,
}

impl Replica {
    /// The replica that looks after a service, as far as is known.
    pub(crate) fn that_looks_after(&self, key: &ServiceKey) -> Option<String> {
        match self.held.standing(&ShardId::of(key)) {
            Standing::Held | Standing::HandingOver => Some(self.name.clone()),
            Standing::Elsewhere { replica } => Some(replica),
            Standing::Vacant => None,
        }
    }

    /// The clusters whose services this replica looks after.
    pub(crate) fn clusters(&self) -> Vec<String> {
        self.held.held().into_iter().map(|shard| shard.cluster).collect()
    }

    pub(crate) fn has_read_the_table(&self) -> bool {
        self.table_read.load(Ordering::Relaxed)
    }
}

/// The configured name, else that of the host. Not unique: what makes it so is drawn anew at every
/// start.
pub(crate) fn name(configured: Option<&str>) -> String {
    match configured {
        Some(name) => name.to_owned(),
        None => of_host(&gethostname::gethostname().to_string_lossy()),
    }
}

/// A host may be called anything; a replica may not.
fn of_host(host: &str) -> String {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let name: String =
        host.chars().map(|c| if is_allowed(c) { c } else { '-' }).take(NAME_MAX).collect();
    if name.is_empty() { "evenkeel".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_configured_goes_before_the_name_of_the_host() {
        assert_eq!(name(Some("one")), "one");
        assert!(!name(None).is_empty());
    }

    #[test]
    fn the_name_of_any_host_becomes_one_that_a_replica_may_have() {
        assert_eq!(of_host("evenkeel-7d9f-x2"), "evenkeel-7d9f-x2");
        assert_eq!(of_host("my host/é"), "my-host--");
        assert_eq!(of_host(&"x".repeat(200)).len(), NAME_MAX);
        assert_eq!(of_host(""), "evenkeel");
    }
}
