//! What is looked at before a rollout that moves traffic starts, and what keeps it from starting.

use evenkeel_manifest::{Service, Shift, Strategy};
use evenkeel_planner::{
    BalancingQuestion, ConditionKind, ConditionStatus, Depth, Fact, ListenerRule, LoadBalancing,
    Observed, Outcome, Plan, TargetGroupHealth, TargetHealth, Unknown, WaitReason, check,
    questions, status, tag,
};
use serde_json::json;

use crate::balanced::{GREEN, OTHER, PRODUCTION, TEST, balancers, group, rule};
use crate::ecs::{Ecs, input};
use crate::looks::{Look, failed, missing};
use crate::manifests::{Draft, GROUP, key, web};
use crate::plans::{reasons, settled};

fn draft(image: &str) -> Draft {
    web(image).with("loadBalancers", balancers(PRODUCTION, Some(TEST)))
}

fn moving(draft: &Draft) -> Service {
    let mut desired = draft.service();
    desired.rollout.strategy = Strategy::BlueGreen(Shift::default());
    desired
}

/// As ECS wants it before a deployment.
fn prepared() -> LoadBalancing {
    LoadBalancing {
        rules: vec![
            rule(PRODUCTION, &[(GROUP, 100), (GREEN, 0)]),
            rule(TEST, &[(GROUP, 1), (GREEN, 0)]),
        ],
        target_groups: vec![group(GROUP), group(GREEN)],
    }
}

/// Four tasks run by themselves, and a manifest wants others behind a load balancer.
fn about_to_start() -> Look {
    let look = Look::at(&settled(&draft("good:1")), moving(&draft("good:2")));
    with(look, prepared())
}

fn with(mut look: Look, seen: LoadBalancing) -> Look {
    look.seen.load_balancing = Fact::Known(seen);
    look
}

fn log_in_first(rule: &mut ListenerRule) {
    rule.other_actions.push("authenticate-oidc".to_owned());
}

/// Nothing exists.
fn about_to_create() -> Look {
    with(Look::at(&Ecs::new(), moving(&draft("good:1"))), prepared())
}

fn denied<T>() -> Fact<T> {
    let (operation, message) = ("DescribeRules".to_owned(), "AccessDenied: no".to_owned());
    Fact::Unknown(Unknown::Denied { operation, message })
}

/// The sentence of the wait, when nothing is done for it.
fn hindrance(plan: &Plan) -> Option<&str> {
    let [wait] = plan.waiting.as_slice() else { return None };
    let waits = wait.reason == WaitReason::Preflight && plan.actions.is_empty();
    waits.then_some(wait.sentence.as_str())
}

#[test]
fn what_is_prepared_starts() {
    assert_eq!(about_to_start().calls(), ["RegisterTaskDefinition"]);
    assert_eq!(about_to_create().calls(), ["RegisterTaskDefinition"]);
}

#[test]
fn each_thing_that_cannot_work_keeps_a_rollout_from_starting_and_says_what_to_do() {
    type Change = fn(&mut LoadBalancing);
    let cases: [(Change, &str); 14] = [
        (|seen| seen.rules.retain(|one| one.arn != PRODUCTION), "the production listener rule"),
        (|seen| seen.rules.retain(|one| one.arn != TEST), "name another as testListenerRule"),
        (|seen| seen.rules[0].forwards = vec![(OTHER.to_owned(), 1)], "which is neither"),
        (|seen| seen.rules[0].forwards.push((OTHER.to_owned(), 1)), "or name arn:aws"),
        (|seen| seen.rules[0].forwards[1].1 = 1, "give the one that does not serve the weight 0"),
        (|seen| seen.rules[0].forwards[0].1 = 0, "give the one that serves a weight above 0"),
        (|seen| seen.rules[0].forwards.clear(), "give the one that serves a weight above 0"),
        (|seen| seen.rules.iter_mut().for_each(|one| one.forwards.truncate(1)), "with weight 0"),
        (|seen| log_in_first(&mut seen.rules[0]), "the action authenticate-oidc, and ECS moves"),
        (|seen| log_in_first(&mut seen.rules[1]), "or take the strategy Steps"),
        (|seen| seen.target_groups.truncate(1), "does not exist: create it"),
        (|seen| seen.target_groups[1].target_type = Some("instance".to_owned()), "of type ip"),
        (|seen| seen.target_groups[1].vpc = Some("vpc-2".to_owned()), "has the VPC vpc-1"),
        (|seen| seen.target_groups[0].protocol = Some("HTTPS".to_owned()), "both need the same"),
    ];
    for (change, says) in cases {
        let mut seen = prepared();
        change(&mut seen);
        for look in [about_to_start(), about_to_create()] {
            let plan = with(look, seen.clone()).plan();
            assert!(hindrance(&plan).is_some_and(|told| told.contains(says)), "{says}: {plan}");
        }
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let mut seen = prepared();
    seen.rules.clear();
    seen.target_groups.clear();
    let plan = with(about_to_start(), seen).plan();
    let told = hindrance(&plan).expect("it waits");
    assert_eq!(told.matches("does not exist").count(), 4, "{told}");
}

#[test]
fn what_ecs_would_put_up_with_holds_nothing_up() {
    let cases: [fn(&mut LoadBalancing); 4] = [
        // The other one serves: an earlier rollout left it so.
        |seen| seen.rules[0].forwards = vec![(GROUP.to_owned(), 0), (GREEN.to_owned(), 100)],
        // Only the test rule names it.
        |seen| seen.rules[0].forwards.truncate(1),
        // It gets nothing.
        |seen| seen.rules[0].forwards.push((OTHER.to_owned(), 0)),
        |seen| seen.target_groups.iter_mut().for_each(|one| one.vpc = None),
    ];
    for change in cases {
        let mut seen = prepared();
        change(&mut seen);
        assert_eq!(with(about_to_start(), seen).calls(), ["RegisterTaskDefinition"]);
    }
}

#[test]
fn targets_of_somebody_else_where_traffic_would_go_keep_a_rollout_from_starting() {
    let with_targets = |group: &str, targets: &[(&str, &str)]| {
        let mut look = about_to_start();
        let target = |(id, state): &(&str, &str)| TargetHealth {
            id: (*id).to_owned(),
            port: Some(8080),
            state: (*state).to_owned(),
            reason: None,
            description: None,
        };
        let targets = targets.iter().map(target).collect();
        let mut all = look.seen.target_groups.known().cloned().unwrap_or_default();
        all.retain(|one| one.arn != group);
        all.push(TargetGroupHealth { arn: group.to_owned(), targets });
        look.seen.target_groups = Fact::Known(all);
        look.plan()
    };
    let plan = with_targets(GREEN, &[("10.9.9.9", "healthy")]);
    let told = hindrance(&plan).unwrap_or_else(|| panic!("{plan}"));
    assert!(told.contains("such as 10.9.9.9: another service uses it"), "{told}");
    let others = [("10.9.9.9", "draining"), ("i-0123", "healthy")];
    assert!(hindrance(&with_targets(GREEN, &others)).is_none(), "nobody can say that of them");
}

const LISTENER: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/net/front/1/2";

/// The same behind the listener of a Network Load Balancer, which sends its connections to `forwards`.
fn about_to_start_behind_a_listener(forwards: &[(&str, u32)]) -> Look {
    let desired = moving(&web("good:2").with("loadBalancers", balancers(LISTENER, None)));
    let listener = ListenerRule { is_default: true, ..rule(LISTENER, forwards) };
    let look = Look::at(&settled(&draft("good:1")), desired);
    with(look, LoadBalancing { rules: vec![listener], ..prepared() })
}

#[test]
fn a_network_load_balancer_is_asked_for_its_listener_which_may_name_one_group_alone() {
    let look = about_to_start_behind_a_listener(&[(GROUP, 1)]);
    let question = BalancingQuestion::of(&look.desired).expect("it moves traffic");
    assert!(question.listeners.iter().eq([LISTENER]));
    assert_eq!((question.rules.len(), question.target_groups.len()), (0, 2));
    assert_eq!(look.calls(), ["RegisterTaskDefinition"]);
}

#[test]
fn a_listener_that_is_missing_or_sends_connections_elsewhere_keeps_a_rollout_from_starting() {
    let both: &[(&str, u32)] = &[(GROUP, 1), (GREEN, 1)];
    for (forwards, says) in [
        (&[(OTHER, 1)][..], "which is neither"),
        (both, "get traffic by the production listener arn"),
        (&[(GROUP, 0), (GREEN, 0)], "give the one that serves a weight above 0"),
    ] {
        let plan = about_to_start_behind_a_listener(forwards).plan();
        assert!(hindrance(&plan).is_some_and(|told| told.contains(says)), "{says}: {plan}");
    }
    let mut look = about_to_start_behind_a_listener(&[]);
    look.seen.load_balancing = Fact::Known(LoadBalancing { rules: Vec::new(), ..prepared() });
    let told = look.plan();
    let says = "the production listener arn";
    assert!(hindrance(&told).is_some_and(|told| told.contains(says)), "{told}");
}

#[test]
fn instances_are_right_where_tasks_have_no_address_of_their_own() {
    let mut bridged = draft("good:2");
    bridged.task_definition["networkMode"] = json!("bridge");
    let mut seen = prepared();
    seen.target_groups.iter_mut().for_each(|one| one.target_type = Some("instance".to_owned()));
    let look = Look::at(&settled(&draft("good:1")), moving(&bridged));
    assert_eq!(with(look, seen).calls(), ["RegisterTaskDefinition"]);
}

#[test]
fn what_cannot_be_read_for_now_is_waited_for() {
    for mut look in [about_to_start(), about_to_create()] {
        for blind in [failed(), Fact::Unknown(Unknown::NotAsked)] {
            look.seen.load_balancing = blind;
            let plan = look.plan();
            assert_eq!((plan.actions.len(), reasons(&plan)), (0, vec![WaitReason::Unknown]));
        }
    }
}

#[test]
fn without_permission_to_look_there_is_no_preflight_and_one_condition_says_so() {
    for mut look in [about_to_start(), about_to_create()] {
        look.seen.load_balancing = denied();
        let plan = look.plan();
        assert_eq!((plan.actions.len(), reasons(&plan)), (1, vec![WaitReason::NotPermitted]));
        let key = key();
        let told = status(&input(&key, Some(&look.desired), &look.seen), &plan, &Outcome::Done);
        let is = |kind| told.condition(kind).map(|one| (one.status, one.reason));
        assert_eq!(is(ConditionKind::Ready), Some((ConditionStatus::False, "Applying")));
        assert_eq!(is(ConditionKind::Unknown), Some((ConditionStatus::True, "NotPermitted")));
    }
}

#[test]
fn a_server_that_cannot_show_rules_starts_without() {
    let mut look = about_to_start();
    look.seen.load_balancing = missing();
    let plan = look.plan();
    assert_eq!(plan.actions.len(), 1, "{plan}");
}

#[test]
fn a_hindered_rollout_is_not_ready_and_says_why() {
    let look = with(about_to_start(), LoadBalancing::default());
    let (plan, key) = (look.plan(), key());
    let told = status(&input(&key, Some(&look.desired), &look.seen), &plan, &Outcome::Done);
    let ready = told.condition(ConditionKind::Ready).expect("it is always there");
    assert_eq!((ready.status, ready.reason), (ConditionStatus::False, "Preflight"));
    assert!(ready.message.contains("nothing is started"), "{}", ready.message);
}

/// What the deep look of a pass asks about load balancing, when `change` was made to the shallow one.
fn asked(ecs: &Ecs, desired: &Service, change: impl FnOnce(&mut Look)) -> bool {
    let first = questions(Some(desired), None).expect("something is always asked");
    let mut look = Look { desired: desired.clone(), seen: ecs.observe(&first) };
    change(&mut look);
    let more = questions(Some(&look.desired), Some(&look.seen));
    more.is_some_and(|more| more.load_balancing.is_some())
}

#[test]
fn only_what_is_about_to_move_traffic_is_asked_about() {
    let ecs = settled(&draft("good:1"));
    let (old, new) = (moving(&draft("good:1")), moving(&draft("good:2")));
    assert!(asked(&ecs, &new, |_| {}), "a start");
    assert!(asked(&Ecs::new(), &new, |_| {}), "a creation");
    assert!(!asked(&ecs, &draft("good:2").service(), |_| {}), "it rolls");
    assert!(!asked(&ecs, &old, |_| {}), "it is settled");
    let plain = moving(&web("good:2").without("loadBalancers"));
    assert!(!asked(&ecs, &plain, |_| {}), "nothing is in front of it");
    let rejected = format!("v1:{}:1790000000:Crashes", new.revision_digest);
    assert!(!asked(&ecs, &new, |look| look.tag(tag::REJECTED, &rejected)), "it was rejected");
    assert!(!asked(&ecs, &new, |look| look.tag(tag::PAUSE, "v1:ann:1790000000:why")), "paused");
    let in_flight = |look: &mut Look| look.primary().rollout_state = Some("IN_PROGRESS".to_owned());
    assert!(!asked(&ecs, &new, in_flight), "ECS is at it");
    let crowded = |look: &mut Look| {
        let mut other = look.primary().clone();
        "ACTIVE".clone_into(&mut other.status);
        look.service().deployments.push(other);
    };
    assert!(!asked(&ecs, &new, crowded), "what traffic was taken from still stands");
}

#[test]
fn a_rollout_in_flight_is_replaced_without_a_preflight() {
    let mut look = about_to_start();
    look.seen.load_balancing = Fact::Unknown(Unknown::NotAsked);
    look.primary().rollout_state = Some("IN_PROGRESS".to_owned());
    let digest = draft("good:1").service().revision_digest;
    let id = look.primary().id.clone();
    look.tag(tag::ROLLOUT, &format!("v1:{digest}:{id}:shift:1790000000"));
    assert_eq!(look.calls(), ["RegisterTaskDefinition"]);
}

#[test]
fn a_rollout_that_ended_between_two_looks_is_made_up_for() {
    let ecs = settled(&draft("good:1"));
    let desired = moving(&draft("good:2"));
    let unasked = Fact::Unknown(Unknown::NotAsked);
    let seen = Observed { load_balancing: unasked, ..ecs.look(Some(&desired)) };
    assert_eq!(seen.depth, Depth::Deep);
    let more = questions(Some(&desired), Some(&seen)).expect("it was not asked");
    assert!(more.load_balancing.is_some());
    let look = with(Look { desired, seen }, prepared());
    assert_eq!(questions(Some(&look.desired), Some(&look.seen)), None);
}

#[test]
fn the_guard_refuses_to_start_on_what_was_not_seen_or_is_not_there() {
    let (mut look, key) = (about_to_create(), key());
    let mut ecs = Ecs::new();
    drop(ecs.pass(&draft("good:1").service()));
    look.seen.task_definitions = ecs.look(Some(&look.desired)).task_definitions;
    let plan = look.plan();
    assert_eq!(look.calls(), ["CreateService"]);
    let mut broken = |seen: Fact<LoadBalancing>| {
        look.seen.load_balancing = seen;
        let found = check(&plan, &input(&key, Some(&look.desired), &look.seen));
        found.err().unwrap_or_default().join("; ")
    };
    assert!(broken(failed()).contains("was not seen"));
    assert!(broken(Fact::Known(LoadBalancing::default())).contains("does not exist"));
    assert_eq!(broken(denied()), "");
    assert_eq!(broken(Fact::Known(prepared())), "");
}
