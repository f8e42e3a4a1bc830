//! What a scenario expects, looked up in the region and on the daemon's board; never waited for.

use crate::harness::Stage;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// Every task runs this image and is healthy, and nothing is under way.
    Runs {
        name: String,
        image: String,
    },
    /// It does not exist, or no longer.
    Gone {
        name: String,
    },
    Count {
        name: String,
        count: u32,
    },
    /// What the revision with this image gets of production traffic.
    Share {
        name: String,
        image: String,
        percent: u32,
    },
    /// A condition or a wait says these words.
    Says {
        name: String,
        words: String,
    },
    /// The last answer to a command is of this kind and says these words.
    Answered {
        name: String,
        word: String,
        words: String,
    },
    Silent {
        name: String,
        words: String,
    },
    Tag {
        name: String,
        key: String,
        is_there: bool,
    },
    /// Calls that change something, since the last time this was asked.
    Writes {
        at_least: u64,
        at_most: u64,
    },
    /// All calls, since the last time this was asked.
    Calls {
        at_most: u64,
    },
    /// Tasks of any revision that are healthy now.
    Healthy {
        name: String,
        at_least: usize,
    },
    /// Tasks of an image that were launched in all.
    Launched {
        image: String,
        at_least: u32,
        at_most: u32,
    },
    /// Requests of users that tasks of an image were sent in all.
    Requests {
        image: String,
        at_least: u64,
        at_most: u64,
    },
    /// Revisions of a family that were registered.
    Revisions {
        family: String,
        count: usize,
    },
    /// Service deployments of a service, rollbacks included in the one they end.
    Rollouts {
        name: String,
        count: usize,
    },
}

impl Expectation {
    pub(super) fn check(&self, stage: &mut Stage) -> Result<(), String> {
        match self {
            Self::Runs { name, image } => runs(stage, name, image),
            Self::Gone { name } => match stage.facts(name) {
                Some(facts) if facts.life != crate::Life::Inactive => {
                    Err(format!("it is {:?}", facts.life))
                }
                _ => Ok(()),
            },
            Self::Count { name, count } => {
                let facts = stage.facts(name).ok_or("there is no such service")?;
                same(facts.desired, *count)
            }
            Self::Share { name, image, percent } => share(stage, name, image, *percent),
            Self::Says { name, words } => {
                let said = super::transcript::status(stage, name).join("\n");
                found(said.contains(words), &said)
            }
            Self::Answered { name, word, words } => {
                let (kind, sentence) = stage.heard(name).ok_or("nobody was answered")?;
                let is = kind == word && sentence.contains(words);
                found(is, &format!("{kind}: {sentence}"))
            }
            Self::Silent { name, words } => {
                let said = super::transcript::status(stage, name).join("\n");
                found(!said.contains(words), &said)
            }
            Self::Tag { name, key, is_there } => {
                let facts = stage.facts(name).ok_or("there is no such service")?;
                found(facts.tags.contains_key(key) == *is_there, &format!("{:?}", facts.tags))
            }
            Self::Writes { at_least, at_most } => {
                between(stage.look(crate::harness::Course::writes_since), *at_least, *at_most)
            }
            Self::Calls { at_most } => {
                between(stage.look(crate::harness::Course::calls_since), 0, *at_most)
            }
            Self::Healthy { name, at_least } => {
                let facts = stage.facts(name).ok_or("there is no such service")?;
                between(facts.healthy_tasks(), *at_least, usize::MAX)
            }
            Self::Launched { image, at_least, at_most } => {
                let launched = stage.look(|course| course.simulation.world.launched(image));
                between(launched, *at_least, *at_most)
            }
            Self::Requests { image, at_least, at_most } => {
                let sent = stage.look(|course| course.simulation.world.requested(image));
                between(sent, *at_least, *at_most)
            }
            Self::Revisions { family, count } => {
                let all = stage.look(|course| course.revisions(family));
                same(all, *count)
            }
            Self::Rollouts { name, count } => {
                let facts = stage.facts(name).ok_or("there is no such service")?;
                same(facts.history.len(), *count)
            }
        }
    }
}

fn runs(stage: &Stage, name: &str, image: &str) -> Result<(), String> {
    let facts = stage.facts(name).ok_or("there is no such service")?;
    let definition = facts.primary().map(|one| one.definition.clone()).unwrap_or_default();
    let runs = stage.look(|course| course.image(&definition)).unwrap_or_default();
    if !facts.is_steady() {
        let healthy = facts.healthy_tasks();
        return Err(format!(
            "it is not steady: {healthy} of {} healthy, {} deployments, {runs}",
            facts.desired,
            facts.deployments.len()
        ));
    }
    if runs == image { Ok(()) } else { Err(format!("it runs {runs}")) }
}

fn share(stage: &Stage, name: &str, image: &str, percent: u32) -> Result<(), String> {
    let facts = stage.facts(name).ok_or("there is no such service")?;
    let runs = |definition: &str| stage.look(|course| course.image(definition));
    let deployments = facts.deployments.iter();
    let share: u32 = deployments
        .filter(|one| runs(&one.definition).as_deref() == Some(image))
        .filter_map(|one| one.share)
        .sum();
    same(share, percent * 10)
}

fn found(is: bool, said: &str) -> Result<(), String> {
    if is { Ok(()) } else { Err(format!("it is:\n{said}")) }
}

fn same<T: Copy + PartialEq + std::fmt::Display>(is: T, wanted: T) -> Result<(), String> {
    if is == wanted { Ok(()) } else { Err(format!("it is {is}")) }
}

fn between<T: Copy + PartialOrd + std::fmt::Display>(
    is: T,
    least: T,
    most: T,
) -> Result<(), String> {
    if is >= least && is <= most { Ok(()) } else { Err(format!("it is {is}")) }
}
