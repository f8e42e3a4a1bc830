//! Approvals in the manifest itself: which gates and freezes they open, and what they do not overrule.

use evenkeel_manifest::{File, Gate, Service, load};
use evenkeel_planner::{Outcome, WaitReason, check, plan, status, tag};

use crate::ecs::{Ecs, input};
use crate::gates::{answers, at_gate};
use crate::looks::Look;
use crate::manifests::{key, web, window};
use crate::plans::{reasons, settled, story};

const OTHER: &str = "v1:ffffffffffff";

/// The manifest with this annotation, read as any manifest is.
fn approving(mut desired: Service, revision: &str) -> Service {
    let text = format!(
        "apiVersion: evenkeel.dev/v1\nkind: Service\nmetadata: {{name: web, annotations: \
         {{evenkeel.dev/approve: \"{revision}\"}}}}\nspec: {{cluster: prod, taskDefinition: \
         {{containerDefinitions: [{{name: web, image: a, memory: 64}}]}}}}\n"
    );
    let set = load(&[File { name: "web.yaml".into(), text }]);
    let read = set.services.into_iter().next().expect("it is valid");
    desired.approval = read.approval;
    desired.metadata.annotations = read.metadata.annotations;
    desired
}

fn approved(desired: Service) -> Service {
    let digest = desired.revision_digest.as_str().chars().take(15).collect::<String>();
    approving(desired, &digest)
}

/// At a gate that wants a person's word.
fn at_an_approval() -> Look {
    let mut look = at_gate();
    look.desired.rollout.approvals = vec![Gate::AfterTestTraffic];
    look
}

fn told(look: &Look) -> String {
    look.plan().to_string()
}

#[test]
fn it_is_the_approval_of_every_gate_of_exactly_that_content() {
    let mut look = at_an_approval();
    assert_eq!((answers(&look).len(), reasons(&look.plan())), (0, vec![WaitReason::Person]));
    look.desired = approved(look.desired.clone());
    assert_eq!(answers(&look).len(), 1);
    assert!(told(&look).contains("and it was approved in git"), "{}", told(&look));
    look.desired = approving(look.desired.clone(), OTHER);
    assert_eq!((answers(&look).len(), reasons(&look.plan())), (0, vec![WaitReason::Person]));
    assert!(told(&look).contains("is about other content (ffffffffffff)"), "{}", told(&look));
}

#[test]
fn it_overrules_no_pause_no_alarm_and_no_task_that_is_not_healthy() {
    type Keep = (WaitReason, fn(&mut Look));
    let keeps: [Keep; 4] = [
        (WaitReason::Person, |look| look.tag(tag::PAUSE, "lunch")),
        (WaitReason::Person, |look| {
            let annotation = ("evenkeel.dev/pause".to_owned(), "lunch".to_owned());
            look.desired.metadata.annotations.extend([annotation]);
        }),
        (WaitReason::Alarm, |look| {
            look.desired.rollout.breaker.alarms = vec!["5xx".to_owned()];
            look.alarm("5xx", "ALARM", look.ago(1000));
        }),
        (WaitReason::Gate, |look| {
            look.tasks().pop();
        }),
    ];
    for (index, (reason, keep)) in keeps.into_iter().enumerate() {
        let mut look = at_an_approval();
        look.desired = approved(look.desired.clone());
        keep(&mut look);
        assert_eq!((answers(&look).len(), reasons(&look.plan())), (0, vec![reason]), "{index}");
    }
}

#[test]
fn it_takes_no_verdict_back() {
    let mut ecs = settled(&web("good:1"));
    let bad = approved(web("crash:1").service());
    assert_eq!(reasons(&ecs.settle(&bad, 100)), [WaitReason::Rejected]);
    assert_eq!(ecs.primary_image(), "good:1");
}

#[test]
fn it_lets_its_content_pass_a_freeze_and_creates_a_service_under_one() {
    let nights = || window(None, Some("0 16 * * *"), "12h");
    let frozen = |image: &str| web(image).within(nights()).service();
    let mut ecs = Ecs::new();
    let created = story(&mut ecs, &approved(frozen("good:1")), 1);
    assert!(!created.contains("Frozen"), "{created}");
    let created = story(&mut ecs, &approved(frozen("good:1")), 40);
    assert!(created.contains("not kept by a freeze: it was approved in git"), "{created}");
    ecs.writes.clear();
    let other = approving(frozen("good:2"), OTHER);
    let plan = ecs.settle(&other, 20);
    assert_eq!((reasons(&plan), ecs.writes.len()), (vec![WaitReason::Frozen], 0));
    assert!(plan.to_string().contains("is about other content"), "{plan}");
    let passed = story(&mut ecs, &approved(frozen("good:2")), 60);
    assert!(passed.contains("not kept by a freeze: it was approved in git"), "{passed}");
    assert_eq!(ecs.primary_image(), "good:2");
}

#[test]
fn the_status_says_whether_it_counts() {
    let ecs = settled(&web("good:1"));
    let key = key();
    let said = |desired: &Service| {
        let seen = ecs.look(Some(desired));
        let input = input(&key, Some(desired), &seen);
        let words = status(&input, &plan(&input), &Outcome::Done).words.expect("it is a word");
        let approval = words.approval.expect("the manifest has one");
        (approval.revision, approval.is_wanted)
    };
    let v2 = web("good:2").service();
    assert_eq!(said(&approving(v2.clone(), OTHER)), ("ffffffffffff".to_owned(), false));
    assert!(said(&approved(v2)).1);
}

#[test]
fn the_guard_wants_the_word_of_exactly_this_content_too() {
    let mut look = at_an_approval();
    look.desired = approved(look.desired.clone());
    let opened = look.plan();
    let key = key();
    let checked = |desired: &Service| check(&opened, &input(&key, Some(desired), &look.seen));
    assert_eq!(checked(&look.desired), Ok(()));
    let broken = checked(&approving(look.desired.clone(), OTHER)).expect_err("it is not approved");
    assert!(broken.iter().any(|one| one.contains("no person lets it pass")), "{broken:?}");
}
