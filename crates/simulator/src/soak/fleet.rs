//! The services of one course, and the images that they run; never how they are disturbed.

use std::time::Duration;

use fastrand::Rng;

use super::{pick, seconds};
use crate::harness::{Edit, GroupTerms, Route, Step, Wish};
use crate::{Behaviour, HookFunction};

pub(super) struct Fleet {
    pub(super) wishes: Vec<Wish>,
    images: Vec<(String, Behaviour)>,
    groups: Vec<String>,
}

const ALARM: &str = "errors";
const TIME_TO_SAY_GO: Duration = Duration::from_hours(1);
/// How soon a task ends that lacks what it needs.
const FAILS_AFTER: Duration = Duration::from_secs(5);
/// What a slow function takes to answer.
const SLOW: Duration = Duration::from_mins(2);

impl Fleet {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let size = match rng.u8(..100) {
            0..60 => rng.usize(1..=3),
            60..88 => rng.usize(4..=12),
            88..98 => rng.usize(13..=40),
            _ => rng.usize(41..=200),
        };
        let images = images(rng);
        let groups: Vec<String> = (0..size.min(4)).map(|index| format!("g{index}")).collect();
        let mut fleet = Self { wishes: Vec::new(), images, groups };
        for index in 0..size {
            let wish = fleet.wish(rng, index, size);
            fleet.wishes.push(wish);
        }
        fleet
    }

    /// The services that CodeDeploy deploys, each with its front; every second one waits for a word before its traffic
    /// moves, and every third one has an alarm that ends its deployments.
    pub(super) fn deployment_groups(&self) -> impl Iterator<Item = Step> {
        let fronts = self.wishes.iter().zip(&self.groups).enumerate();
        fronts.filter(|(_, (wish, _))| is_code_deployed(wish)).map(|(index, (wish, group))| {
            let waits = (index % 2 == 1).then_some(TIME_TO_SAY_GO);
            let watches = (index % 3 == 2).then(|| ALARM.to_owned());
            let terms = GroupTerms { waits, watches };
            Step::DeploymentGroup(wish.name.clone(), front(group), terms)
        })
    }

    fn wish(&self, rng: &mut Rng, index: usize, size: usize) -> Wish {
        let count = match rng.u8(..20) {
            0 => 0,
            1 if size <= 3 => rng.u32(20..=120),
            2..8 => 1,
            _ => rng.u32(2..=5),
        };
        let mut wish = Wish::new(format!("s{index}"))
            .with("image", &self.image(rng))
            .with("count", &count.to_string());
        let mut maybe = |one_in: u8, word: &str, value: String| {
            if rng.u8(..one_in) == 0 {
                wish = wish.clone().with(word, &value);
            }
        };
        let group = self.groups.get(index);
        if let Some(group) = group {
            maybe(3, "group", group.clone());
        }
        maybe(6, "alarms", ALARM.to_owned());
        maybe(20, "probe", "off".to_owned());
        maybe(4, "healthyFor", "10s".to_owned());
        maybe(4, "deadline", "5m".to_owned());
        maybe(16, "onFailure", "Hold".to_owned());
        maybe(8, "counting", "Cumulative".to_owned());
        maybe(10, "minimum", "50".to_owned());
        match group {
            Some(group) if rng.u8(..4) == 0 => moving_traffic(rng, wish, group),
            None if rng.u8(..4) == 0 => wish.with("adopt", "true"),
            _ => wish,
        }
    }

    /// Services that somebody made before any manifest named them.
    fn adopted(&self, rng: &mut Rng) -> Vec<Step> {
        let adopted = self.wishes.iter().filter(|wish| wish.word("adopt").is_some());
        let create = |wish: &Wish| {
            let image = self.image(rng);
            Step::Edit(wish.name.clone(), Edit::Create { image })
        };
        let mut steps: Vec<Step> = adopted.map(create).collect();
        if !steps.is_empty() {
            steps.push(Step::Advance(seconds(rng, 0..=300)));
        }
        steps
    }

    /// Users of every front, whose requests meet the errors of what runs.
    fn users(&self, rng: &mut Rng) -> Vec<Step> {
        let per_second = *pick(rng, &[0, 0, 5]);
        let fronts = self.wishes.iter().filter_map(|wish| wish.word("front"));
        fronts.map(|front| Step::Traffic(front.to_owned(), per_second)).collect()
    }

    /// For a while what starts of an image does not come up, and then it is as it was.
    pub(super) fn outage(&self, rng: &mut Rng) -> Vec<Step> {
        let (name, before) = pick(rng, &self.images).clone();
        let during =
            if rng.bool() { Behaviour::answers(500) } else { Behaviour::crashes(FAILS_AFTER, 1) };
        let image = |what: Behaviour| Step::Image(name.clone(), what);
        vec![image(during), Step::Advance(seconds(rng, 10..=40)), image(before)]
    }

    /// One image in three is bad.
    pub(super) fn image(&self, rng: &mut Rng) -> String {
        pick(rng, &self.images).0.clone()
    }

    /// What must be there before the first act.
    pub(super) fn beginning(&self, rng: &mut Rng) -> Vec<Step> {
        let images = self.images.iter().map(|(name, what)| Step::Image(name.clone(), what.clone()));
        let groups = self.groups.iter().map(|name| Step::Group(name.clone(), 20));
        let fronts = self.groups.iter().map(|name| Step::Front(front(name), 20));
        let alarm = Step::Alarm(ALARM.to_owned(), Some("OK"));
        let slow = Step::Hook("slow".to_owned(), HookFunction::Passes(Some(SLOW)));
        let no = Step::Hook("no".to_owned(), HookFunction::Fails(None));
        let manifests = Step::WriteAll(self.wishes.clone());
        let made = images.chain(groups).chain(fronts).chain([alarm, slow, no]);
        made.chain(self.adopted(rng)).chain([manifests]).chain(self.users(rng)).collect()
    }

    /// Everybody lets go: alarms are green, every manifest is there and can be read, and no rule is left
    /// between two groups by a shift that was deleted with its service.
    pub(super) fn ending(&self) -> Vec<Step> {
        let alarm = Step::Alarm(ALARM.to_owned(), Some("OK"));
        let fronts = self.groups.iter().map(|name| front(name));
        let routes = fronts.map(|front| Step::Route(front, Route::ToWhatServes));
        [alarm, Step::WriteAll(self.wishes.clone())].into_iter().chain(routes).collect()
    }
}

/// Functions that CodeDeploy asks: one takes its time, and one says no to everything.
const HOOKS: [&str; 5] = [
    "",
    "",
    "AfterInstall:slow,AfterAllowTestTraffic:slow",
    "BeforeAllowTraffic:no",
    "BeforeInstall:slow,AfterAllowTraffic:no",
];

/// What somebody makes of the steps of a manifest, perhaps while they are taken.
pub(super) const STEPS: [&str; 6] = [
    "50/1m,100/1m",
    "100/2m",
    "10/1m,25/1m,50/1m,100/1m",
    "25/2m,100/1m",
    "20/1m/unjudged,100/1m",
    "25/1m/approve,100/1m",
];

/// Strategies between which a manifest may choose at any time: ECS carries them all out.
pub(super) const BY_ECS: [&str; 3] = ["BlueGreen", "Canary", "Linear"];

/// The same service by another of these strategies.
pub(super) fn by_another(rng: &mut Rng, wish: &Wish) -> Wish {
    let strategy = *pick(rng, &BY_ECS);
    let steps = if strategy == "BlueGreen" { ("", "") } else { ("1m", "25") };
    wish.clone().with("strategy", strategy).with("stepBake", steps.0).with("percent", steps.1)
}

pub(super) fn is_code_deployed(wish: &Wish) -> bool {
    wish.word("strategy") == Some("CodeDeploy")
}

/// The front beside a group.
fn front(group: &str) -> String {
    format!("{group}f")
}

/// The service behind a front instead, with short steps and bakes.
fn moving_traffic(rng: &mut Rng, mut wish: Wish, group: &str) -> Wish {
    let mut minutes = |most: u32| format!("{}m", rng.u32(1..=most));
    let (bake, step, gate) = (minutes(3), minutes(3), minutes(20));
    let strategy = *pick(rng, &["BlueGreen", "Canary", "Linear", "Steps", "CodeDeploy"]);
    let percent = *pick(rng, &["10", "25", "50"]);
    let most = *pick(rng, &["", "", "5%"]);
    let mut say = |word: &str, value: &str| wish.set(word, value).expect("it is one of the words");
    say("group", "");
    say("front", &front(group));
    say("strategy", strategy);
    say("bake", &bake);
    say("gate", &gate);
    say("errors", most);
    match strategy {
        "BlueGreen" => {}
        "CodeDeploy" => {
            for word in ["bake", "gate", "onFailure", "errors"] {
                say(word, "");
            }
            let hooks = *pick(rng, &HOOKS);
            say("hooks", hooks);
        }
        "Steps" => {
            say("bake", "");
            say("steps", &format!("{percent}/{step},100/{bake}"));
            say("keep", &step);
        }
        _ => {
            say("stepBake", &step);
            say("percent", percent);
        }
    }
    wish
}

fn images(rng: &mut Rng) -> Vec<(String, Behaviour)> {
    let mut images = Vec::new();
    for index in 0..6 {
        let behaviour = Behaviour {
            start_after: seconds(rng, 1..=25),
            stops_after: (rng.u8(..8) != 0).then(|| seconds(rng, 0..=20)),
            ..Behaviour::healthy_after(seconds(rng, 0..=30))
        };
        images.push((format!("app:good{index}"), behaviour));
    }
    let bad = [
        Behaviour::crashes(seconds(rng, 0..=20), 1),
        Behaviour::crashes(seconds(rng, 30..=150), 0),
        Behaviour::out_of_memory(seconds(rng, 0..=60)),
        Behaviour::answers(500),
        Behaviour::never_healthy(),
        Behaviour::turns_unhealthy(seconds(rng, 20..=120)),
        Behaviour::cannot_be_pulled("app:bad"),
        Behaviour::fails_to_start(
            seconds(rng, 1..=30),
            "ResourceInitializationError: unable to pull secrets or registry auth",
        ),
        Behaviour { start_after: Duration::from_mins(50), ..Behaviour::healthy() },
    ];
    for (index, behaviour) in bad.into_iter().enumerate() {
        if rng.u8(..3) == 0 {
            images.push((format!("app:bad{index}"), behaviour));
        }
    }
    images
}
