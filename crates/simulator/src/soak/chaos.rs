//! One act of chaos after the other: edits, people, faults and deaths; never one that lasts for ever.

use std::time::Duration;

use fastrand::Rng;
use serde_json::json;

use super::fleet::{BY_ECS, Fleet, STEPS, by_another, is_code_deployed};
use super::{people, pick, seconds};
use crate::harness::{Edit, Replica, Route, Step, Storm};

pub(super) struct Chaos {
    rng: Rng,
    replicas: usize,
    storm: Storm,
    left: usize,
    played: usize,
}

type Act = (Duration, Vec<Step>);

/// What a manifest says for a while that keeps something from happening; the next one does not say it.
const KEPT_BACK: [(&str, &str); 6] = [
    ("paused", "true"),
    ("paused", "true"),
    ("pause", "soak"),
    ("deny", "*/7 * * * * for 3m"),
    ("deny", "*/5 * * * * for 4m"),
    ("drift", "desiredCount:Ignore"),
];

impl Chaos {
    pub(super) fn new(mut rng: Rng, replicas: usize, storm: Storm, most: Option<usize>) -> Self {
        // One every 2.5 seconds, and what they wait for themselves: for four to eighteen minutes.
        let acts = rng.usize(70..350);
        let left = most.map_or(acts, |most| most.min(acts));
        Self { rng, replicas, storm, left, played: 0 }
    }

    pub(super) fn acts(&self) -> usize {
        self.played
    }

    /// The next act, and the pause before it.
    pub(super) fn next(&mut self, fleet: &mut Fleet) -> Option<Act> {
        self.left = self.left.checked_sub(1)?;
        self.played += 1;
        let pause = Duration::from_millis(self.rng.u64(1_000..4_000));
        let index = self.rng.usize(..fleet.wishes.len());
        Some((pause, self.act(fleet, index)))
    }

    fn act(&mut self, fleet: &mut Fleet, index: usize) -> Vec<Step> {
        match self.rng.u8(..100) {
            // Somebody sees to it that CodeDeploy can deploy, as soon as the service is there.
            _ if self.played % 20 == 10 => fleet.deployment_groups().collect(),
            0..14 => self.edit_manifest(fleet, index),
            14..22 => self.disturb_manifest(fleet, index),
            22..42 => self.rival(fleet, index),
            42..51 => self.world(),
            51 => fleet.outage(&mut self.rng),
            52..64 => self.death(),
            64..74 if self.replicas > 1 => self.lease(),
            74..80 => self.order(fleet, index),
            80..90 => vec![Step::Storm(Box::new(self.fresh_storm()))],
            _ => self.one_fault(),
        }
    }

    fn order(&mut self, fleet: &Fleet, index: usize) -> Vec<Step> {
        let wish = fleet.wishes.get(index);
        wish.map(|wish| people::order(&mut self.rng, &wish.name)).into_iter().collect()
    }

    fn fresh_storm(&mut self) -> Storm {
        let likelihood = self.storm.likelihood * f64::from(self.rng.u8(..3));
        Storm::new(self.rng.u64(..), likelihood, self.storm.stale_reads)
    }

    fn edit_manifest(&mut self, fleet: &mut Fleet, index: usize) -> Vec<Step> {
        let image = fleet.image(&mut self.rng);
        let Some(wish) = fleet.wishes.get_mut(index) else { return Vec::new() };
        if wish.word("strategy").is_some_and(|one| BY_ECS.contains(&one)) && self.rng.u8(..6) == 0 {
            *wish = by_another(&mut self.rng, wish);
            return vec![Step::Write(wish.clone())];
        }
        let (word, value) = match self.rng.u8(..15) {
            12 => ("cpu", (*pick(&mut self.rng, &["256", "512"])).to_owned()),
            13 => ("maximum", (*pick(&mut self.rng, &["200", "250"])).to_owned()),
            14 => ("alarms", (*pick(&mut self.rng, &["", "errors"])).to_owned()),
            11 if wish.word("strategy") == Some("Steps") => {
                ("steps", (*pick(&mut self.rng, &STEPS)).to_owned())
            }
            10 => ("subnet", format!("subnet-{}", self.rng.u8(1..3))),
            0 => ("count", self.rng.u32(1..=6).to_string()),
            1 => ("env", self.rng.u32(..).to_string()),
            2 => ("healthyFor", "20s".to_owned()),
            3 => ("tags", format!("team:{}", self.rng.u8(..4))),
            _ => ("image", image),
        };
        *wish = wish.clone().with(word, &value);
        vec![Step::Write(wish.clone())]
    }

    fn disturb_manifest(&mut self, fleet: &mut Fleet, index: usize) -> Vec<Step> {
        let Some(wish) = fleet.wishes.get(index).cloned() else { return Vec::new() };
        match self.rng.u8(..16) {
            0..4 => vec![Step::Garble(wish.name)],
            4..7 => vec![Step::Delete(wish.name)],
            7 => {
                let pause = Step::Advance(seconds(&mut self.rng, 10..=120));
                vec![Step::Unreadable(true), pause, Step::Unreadable(false)]
            }
            8 => self.without_manifests(fleet),
            9..12 => {
                let (word, value) = *pick(&mut self.rng, &KEPT_BACK);
                let stops = if self.rng.bool() { "Pause" } else { "" };
                vec![Step::Write(wish.with(word, value).with("inFlight", stops))]
            }
            _ => vec![Step::Write(wish)],
        }
    }

    /// A push that lost every manifest, and its correction.
    fn without_manifests(&mut self, fleet: &Fleet) -> Vec<Step> {
        let gone = fleet.wishes.iter().map(|wish| Step::Delete(wish.name.clone()));
        let pause = Step::Advance(seconds(&mut self.rng, 10..=120));
        gone.chain([pause, Step::WriteAll(fleet.wishes.clone())]).collect()
    }

    fn rival(&mut self, fleet: &Fleet, index: usize) -> Vec<Step> {
        let Some(wish) = fleet.wishes.get(index) else { return Vec::new() };
        // Where ECS moves the traffic nobody but a person puts that right.
        let by_hand = wish.word("strategy") == Some("Steps") && self.rng.u8(..6) == 0;
        if let Some(front) = wish.word("front").filter(|_| by_hand) {
            return vec![Step::Route(front.to_owned(), Route::ToBoth)];
        }
        let edit = match self.rng.u8(..20) {
            0..5 => Edit::StopTask { newest: false },
            5..8 => Edit::Update(json!({"desiredCount": self.rng.u32(1..=6)})),
            8 => Edit::Update(json!({"forceNewDeployment": true})),
            9 => Edit::Update(json!({"deploymentConfiguration": {"maximumPercent": 150}})),
            10..13 if is_code_deployed(wish) => {
                Edit::CodeDeploy { image: fleet.image(&mut self.rng) }
            }
            10..13 => Edit::Deploy { image: fleet.image(&mut self.rng) },
            13 if is_code_deployed(wish) => Edit::StopCodeDeploy,
            13 => Edit::RollBack,
            14 => Edit::Delete,
            15 => Edit::Deregister,
            16 => Edit::Tag { key: "evenkeel:hold".to_owned(), value: "person".to_owned() },
            17 => Edit::Untag { key: "evenkeel:hold".to_owned() },
            18 => Edit::Untag { key: "evenkeel:rejected".to_owned() },
            _ => Edit::Tag { key: "team".to_owned(), value: self.rng.u8(..4).to_string() },
        };
        vec![Step::Edit(wish.name.clone(), edit)]
    }

    fn world(&mut self) -> Vec<Step> {
        match self.rng.u8(..5) {
            4 => vec![Step::Alarm("errors".to_owned(), None)],
            0 => vec![Step::LoseCapacity(seconds(&mut self.rng, 10..=300))],
            1 => {
                let zone = *pick(&mut self.rng, &['a', 'b', 'c']);
                vec![Step::LoseZone(zone, seconds(&mut self.rng, 10..=300))]
            }
            2 => vec![Step::Alarm("errors".to_owned(), Some("ALARM"))],
            _ => vec![Step::Alarm("errors".to_owned(), Some("OK"))],
        }
    }

    /// One death, or several in a row.
    fn death(&mut self) -> Vec<Step> {
        let replica = Replica(self.rng.usize(..self.replicas));
        match self.rng.u8(..5) {
            0 => {
                let pause = || Step::Advance(Duration::from_secs(5));
                (0..4).flat_map(|_| [Step::Kill(replica), pause()]).collect()
            }
            1 => vec![
                Step::Down(replica),
                Step::Advance(seconds(&mut self.rng, 10..=400)),
                Step::Raise(replica),
            ],
            2 => vec![Step::Freeze(replica, seconds(&mut self.rng, 1..=600))],
            _ => vec![Step::Kill(replica)],
        }
    }

    fn lease(&mut self) -> Vec<Step> {
        let replica = Replica(self.rng.usize(..self.replicas));
        match self.rng.u8(..6) {
            0 => vec![Step::WipeTable],
            _ => vec![Step::CutOff(replica, seconds(&mut self.rng, 1..=120))],
        }
    }

    /// The next call of some operation goes wrong, whatever the weather.
    fn one_fault(&mut self) -> Vec<Step> {
        let operation = *pick(
            &mut self.rng,
            &[
                "DescribeServices",
                "UpdateService",
                "TagResource",
                "UntagResource",
                "CreateService",
                "RegisterTaskDefinition",
                "StopServiceDeployment",
                "DescribeTasks",
                "ListTasks",
                "ListTaskDefinitions",
                "DescribeServiceDeployments",
                "CreateDeployment",
                "ContinueDeployment",
                "StopDeployment",
                "ListDeployments",
                "BatchGetDeployments",
                "GetDeploymentGroup",
            ],
        );
        vec![Step::Fail(
            operation.to_owned(),
            self.storm.way(operation.starts_with(['B', 'D', 'G', 'L'])),
        )]
    }
}
