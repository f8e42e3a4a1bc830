//! What AWS would refuse, or accept and never carry out: refused here, before any call; never
//! repeats what the tree of fields already says.

mod code_deploy;
mod containers;
mod deployment;
mod fargate;
mod names;
mod references;
pub(crate) mod required;
mod secrets;
mod traffic;

use crate::Strategy;
use crate::node::Cursor;
use crate::problem::Report;

/// The two AWS inputs of a manifest, which may stand in different files.
pub(crate) struct Wanted<'w, 'a> {
    /// `metadata.name`.
    pub(crate) name: &'w str,
    pub(crate) task_definition: &'w Cursor<'a>,
    pub(crate) service: &'w Cursor<'a>,
    /// Of `spec.rollout`.
    pub(crate) strategy: &'w Strategy,
    /// The elements of `spec.rollout.analysis.metrics`.
    pub(crate) metrics: Vec<Cursor<'a>>,
}

/// Reports everything that is wrong with what is wanted as a whole.
pub(crate) fn run(wanted: &Wanted<'_, '_>, report: &mut Report) {
    if is_absurd(wanted) {
        return report.error(wanted.task_definition, "more elements than ECS could ever take");
    }
    required::check(wanted, report);
    names::check(wanted, report);
    containers::check(wanted.task_definition, report);
    references::check(wanted, report);
    fargate::check(wanted, report);
    deployment::check(wanted, report);
    traffic::check(wanted, report);
    code_deploy::check(wanted, report);
    secrets::check(wanted.task_definition, report);
}

/// Whether the lists are so long that comparing their elements would take noticeable time. ECS takes
/// 10 containers and 5 target groups.
fn is_absurd(wanted: &Wanted<'_, '_>) -> bool {
    const MOST: usize = 1_000;
    let count =
        |at: &Cursor<'_>| at.members().map(|(_, list)| list.elements().count()).sum::<usize>();
    let inner = wanted.containers().iter().map(count).sum::<usize>();
    let connect = wanted.service.member("serviceConnectConfiguration").map_or(0, |at| count(&at));
    [count(wanted.task_definition), count(wanted.service), inner, connect]
        .into_iter()
        .any(|elements| elements > MOST)
}

impl<'a> Wanted<'_, 'a> {
    fn containers(&self) -> Vec<Cursor<'a>> {
        self.task_definition.elements_of("containerDefinitions")
    }

    /// How each task reaches the network; `None` when not said, which ECS takes for `bridge`.
    fn network_mode(&self) -> Option<&'a str> {
        self.task_definition.text_of("networkMode")
    }

    fn is_daemon(&self) -> bool {
        self.service.text_of("schedulingStrategy") == Some("DAEMON")
    }
}
