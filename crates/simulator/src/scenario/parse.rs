//! Reads scripts: one command a line, words separated by spaces, words with spaces in quotes; never
//! plays anything.

use std::time::Duration;

use evenkeel_manifest::Pattern;
use evenkeel_planner::{Command as PersonsCommand, Gates};
use evenkeel_reconciler::PruneSettings;
use jiff::SignedDuration;
use serde_json::json;

use super::{Command, Expectation, Line, Scenario};
use crate::harness::{Edit, GIVES_UP_AFTER, GroupTerms, Replica, Request, Route, Step, Way, Wish};
use crate::{ApiError, Behaviour, HookFunction};

/// What is wrong with a script, line by line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ParseError(pub Vec<String>);

pub(super) fn scenario(name: &str, text: &str) -> Result<Scenario, ParseError> {
    let (proves, rest) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = Vec::new();
    let mut problems = Vec::new();
    let first = proves.lines().count() + 2;
    for (index, line) in rest.lines().enumerate() {
        let number = first + index;
        let text = line.split(" #").next().unwrap_or_default().trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        match command(&words(text)) {
            Ok(command) => lines.push(Line { number, text: text.to_owned(), command }),
            Err(why) => problems.push(format!("{name}.txt:{number}: {text}: {why}")),
        }
    }
    if lines.is_empty() && problems.is_empty() {
        problems.push(format!("{name}.txt: no command follows the first paragraph"));
    }
    if !problems.is_empty() {
        return Err(ParseError(problems));
    }
    let proves = proves.split_whitespace().collect::<Vec<_>>().join(" ");
    Ok(Scenario { name: name.to_owned(), proves, lines })
}

/// Splits at spaces outside of quotes, of either kind; the quotes go.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = None;
    for c in line.chars() {
        match c {
            c if quoted == Some(c) => quoted = None,
            '"' | '\'' if quoted.is_none() => quoted = Some(c),
            ' ' if quoted.is_none() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// How long the answers of an image take of which only the errors are told.
const USUAL_LATENCY: Duration = Duration::from_millis(20);

type Parsed<T> = Result<T, String>;

fn command(words: &[String]) -> Parsed<Command> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let step = match words.as_slice() {
        ["daemons", count] => return Ok(Command::Daemons(number(count)?)),
        ["resync", time] => return Ok(Command::Resync(duration(time)?)),
        ["prune", rest @ ..] => return prune(rest).map(Command::Prune),
        ["count"] => return Ok(Command::Count),
        ["show", name] => return Ok(Command::Show((*name).to_owned())),
        ["expect", rest @ ..] => return expectation(rest).map(Command::Expect),
        ["set", name, rest @ ..] => return Ok(Command::Set((*name).to_owned(), pairs(rest))),
        ["load", name, rest @ ..] => Step::Write(wish(name, rest)?),
        ["unload", name] => Step::Delete((*name).to_owned()),
        ["manifests", "unreadable"] => Step::Unreadable(true),
        ["manifests", "readable"] => Step::Unreadable(false),
        ["garble", name] => Step::Garble((*name).to_owned()),
        ["image", image, rest @ ..] => Step::Image((*image).to_owned(), behaviour(image, rest)?),
        ["group", name] => Step::Group((*name).to_owned(), 30),
        ["group", name, "drains", drains] => Step::Group((*name).to_owned(), number(drains)?),
        ["front", name] => Step::Front((*name).to_owned(), 30),
        [word @ ("register" | "deregister"), address, "in", group] => Step::Target {
            address: (*address).to_owned(),
            group: (*group).to_owned(),
            is_in: *word == "register",
        },
        ["front", name, "network"] => Step::NetworkFront((*name).to_owned()),
        ["deployment", "group", name, "on", front, rest @ ..] => {
            Step::DeploymentGroup((*name).to_owned(), (*front).to_owned(), terms(rest)?)
        }
        ["hook", function, rest @ ..] => Step::Hook((*function).to_owned(), hook(rest)?),
        ["route", name, rest @ ..] => Step::Route((*name).to_owned(), route(rest)?),
        ["traffic", name, rate] => Step::Traffic((*name).to_owned(), per_second(rate)?),
        ["alarm", name, state] => Step::Alarm((*name).to_owned(), alarm(state)?),
        ["fail", "next", operation, error, rest @ ..] => return repeated(operation, error, rest),
        ["lose", "answer", operation] => fail(operation, Way::AnswerLost),
        ["lose", "request", operation] => fail(operation, Way::RequestLost),
        ["delay", operation, late] => fail(operation, Way::CarriedLate(duration(late)?)),
        ["slow", operation, time] => fail(operation, Way::Slow(patience(time)?)),
        ["hang", operation] => fail(operation, Way::Hangs),
        ["partial", operation] => fail(operation, Way::Partial),
        ["lag", operation, lag] => Step::Lag((*operation).to_owned(), duration(lag)?),
        ["calm"] => Step::Calm,
        ["lose", "capacity", time] => Step::LoseCapacity(duration(time)?),
        ["lose", "zone", letter, time] => {
            Step::LoseZone(letter.chars().next().unwrap_or('a'), duration(time)?)
        }
        ["crash", rest @ ..] => Step::Kill(replica(rest)?),
        ["stop", rest @ ..] => Step::Down(replica(rest)?),
        ["start", rest @ ..] => Step::Raise(replica(rest)?),
        ["cut", "off", daemon, time] => Step::CutOff(replica(&[daemon])?, duration(time)?),
        ["wipe", "table"] => Step::WipeTable,
        ["freeze", time, rest @ ..] => Step::Freeze(replica(rest)?, duration(time)?),
        ["advance", time] => Step::Advance(duration(time)?),
        ["rival", rest @ ..] => edit(rest)?,
        ["order", name, rest @ ..] => Step::Ask((*name).to_owned(), request(rest)?),
        _ => return Err("no such command".to_owned()),
    };
    Ok(Command::Step(step))
}

/// What may be pruned: `prune cluster-pattern [services=web*] [percent=10] [at-once=5]`.
fn prune(words: &[&str]) -> Parsed<PruneSettings> {
    let pattern = |text: &str| {
        Pattern::of_names(text).ok_or_else(|| format!("{text} is no pattern of names"))
    };
    let (clusters, rest) = words.split_first().ok_or("a pattern of clusters is missing")?;
    let mut settings = PruneSettings {
        clusters: vec![pattern(clusters)?],
        services: vec![pattern("*")?],
        grace: Duration::from_mins(15),
        keep: Duration::from_hours(24),
        percent_max: 10,
        services_max: 5,
    };
    for (word, value) in pairs(rest) {
        match word.as_str() {
            "services" => settings.services = vec![pattern(&value)?],
            "percent" => settings.percent_max = number(&value)?,
            "at-once" => settings.services_max = number(&value)?,
            _ => return Err(format!("{word} is no word of a grant")),
        }
    }
    Ok(settings)
}

fn wish(name: &str, words: &[&str]) -> Parsed<Wish> {
    let mut wish = Wish::new(name);
    for (word, value) in pairs(words) {
        wish.set(&word, &value)?;
    }
    Ok(wish)
}

/// `[waits 60m] [watches ALARM]`.
fn terms(words: &[&str]) -> Parsed<GroupTerms> {
    match words {
        [] => Ok(GroupTerms::default()),
        ["waits", time, rest @ ..] => {
            Ok(GroupTerms { waits: Some(duration(time)?), ..terms(rest)? })
        }
        ["watches", alarm, rest @ ..] => {
            Ok(GroupTerms { watches: Some((*alarm).to_owned()), ..terms(rest)? })
        }
        _ => Err("a deployment group waits for a time, or watches an alarm".to_owned()),
    }
}

/// What a function says when a hook of CodeDeploy's calls it.
fn hook(words: &[&str]) -> Parsed<HookFunction> {
    match words {
        ["passes"] => Ok(HookFunction::Passes(None)),
        ["passes", "after", time] => Ok(HookFunction::Passes(Some(duration(time)?))),
        ["fails"] => Ok(HookFunction::Fails(None)),
        ["fails", "after", time] => Ok(HookFunction::Fails(Some(duration(time)?))),
        ["hangs"] => Ok(HookFunction::Hangs),
        _ => Err("a hook passes or fails, perhaps after a time, or hangs".to_owned()),
    }
}

/// `image=web:1`; a word alone is `true`.
fn pairs(words: &[&str]) -> Vec<(String, String)> {
    let pair = |word: &&str| {
        let (word, value) = word.split_once('=').unwrap_or((word, "true"));
        (word.to_owned(), value.to_owned())
    };
    words.iter().map(pair).collect()
}

fn behaviour(image: &str, words: &[&str]) -> Parsed<Behaviour> {
    Ok(match words {
        ["healthy"] => Behaviour::healthy(),
        ["healthy", "after", time] => Behaviour::healthy_after(duration(time)?),
        ["crashes", "after", time] => Behaviour::crashes(duration(time)?, 1),
        ["exits", code, "after", time] => {
            let code = code.parse().map_err(|_| format!("{code} is no exit code"))?;
            Behaviour::crashes(duration(time)?, code)
        }
        ["out-of-memory", "after", time] => Behaviour::out_of_memory(duration(time)?),
        ["answers", status] => Behaviour::answers(number(status)?),
        ["errors", percent] => Behaviour::answers_users(self::percent(percent)?, USUAL_LATENCY),
        ["errors", percent, "latency", time] => {
            Behaviour::answers_users(self::percent(percent)?, duration(time)?)
        }
        ["never", "healthy"] => Behaviour::never_healthy(),
        ["turns", "unhealthy", "after", time] => Behaviour::turns_unhealthy(duration(time)?),
        ["cannot", "be", "pulled"] => Behaviour::cannot_be_pulled(image),
        ["fails", "to", "start", reason] => {
            Behaviour::fails_to_start(Duration::from_secs(20), *reason)
        }
        ["starts", "after", time] => {
            Behaviour { start_after: duration(time)?, ..Behaviour::healthy() }
        }
        _ => return Err("no such behaviour".to_owned()),
    })
}

/// `2%`
fn percent(word: &str) -> Parsed<u32> {
    let percent = word.strip_suffix('%').map(number).transpose()?;
    percent.filter(|percent| *percent <= 100).ok_or_else(|| format!("{word} is no percentage"))
}

/// `50/s`
fn per_second(word: &str) -> Parsed<u32> {
    word.strip_suffix("/s").map_or_else(|| Err(format!("{word} is no rate, as 50/s is")), number)
}

fn route(words: &[&str]) -> Parsed<Route> {
    match words {
        ["as", "made"] => Ok(Route::AsMade),
        ["elsewhere"] => Ok(Route::Elsewhere),
        ["to", "both"] => Ok(Route::ToBoth),
        ["without", "green"] => Ok(Route::WithoutGreen),
        ["to", "what", "serves"] => Ok(Route::ToWhatServes),
        _ => Err("a front is routed as made, elsewhere, to both, without green or to what serves"
            .to_owned()),
    }
}

fn alarm(state: &str) -> Parsed<Option<&'static str>> {
    match state {
        "red" => Ok(Some("ALARM")),
        "green" => Ok(Some("OK")),
        "unknown" => Ok(Some("INSUFFICIENT_DATA")),
        "gone" => Ok(None),
        _ => Err("an alarm is red, green, unknown or gone".to_owned()),
    }
}

fn fail(operation: &str, way: Way) -> Step {
    Step::Fail(operation.to_owned(), way)
}

fn repeated(operation: &str, error: &str, rest: &[&str]) -> Parsed<Command> {
    let way = Way::Refused(api_error(error)?);
    match rest {
        [] => Ok(Command::Step(fail(operation, way))),
        ["times", times] => {
            Ok(Command::Step(Step::FailOften(operation.to_owned(), way, number(times)?)))
        }
        _ => Err("what follows the error is `times N`".to_owned()),
    }
}

fn api_error(word: &str) -> Parsed<ApiError> {
    let client = |code: &str, message: &str| Ok(ApiError::client(code, message));
    match word {
        "throttled" => client("ThrottlingException", "Rate exceeded"),
        "unavailable" => Ok(ApiError::server("ServiceUnavailable", "the service is unavailable")),
        "failing" => Ok(ApiError::server("ServerException", "please try again later")),
        "denied" => client("AccessDeniedException", "not authorized to perform this"),
        "expired" => client("ExpiredTokenException", "the security token is expired"),
        "quota" => client("LimitExceededException", "a quota was reached"),
        "invalid" => client("InvalidParameterException", "no such thing may be asked"),
        "unknown" => client("UnknownOperationException", ""),
        _ => Err(
            "errors are throttled, unavailable, failing, denied, expired, quota, invalid, unknown"
                .to_owned(),
        ),
    }
}

fn edit(words: &[&str]) -> Parsed<Step> {
    let (name, edit) = match words {
        ["counts", name, count] => {
            (name, Edit::Update(json!({"desiredCount": number::<u32>(count)?})))
        }
        ["updates", name, members] => {
            let members = serde_json::from_str(members).map_err(|error| error.to_string())?;
            (name, Edit::Update(members))
        }
        ["redeploys", name] => (name, Edit::Update(json!({"forceNewDeployment": true}))),
        ["deploys", name, image] => (name, Edit::Deploy { image: (*image).to_owned() }),
        ["deploys", name, image, "by", "CodeDeploy"] => {
            (name, Edit::CodeDeploy { image: (*image).to_owned() })
        }
        ["creates", name, image, "by", "CodeDeploy", "behind", front] => {
            let (image, front) = ((*image).to_owned(), (*front).to_owned());
            (name, Edit::CreateForCodeDeploy { image, front })
        }
        ["creates", name, image] => (name, Edit::Create { image: (*image).to_owned() }),
        ["kills", "task", name] => (name, Edit::StopTask { newest: false }),
        ["kills", "newest", "task", name] => (name, Edit::StopTask { newest: true }),
        ["deletes", name] => (name, Edit::Delete),
        ["tags", name, tag] => {
            let (key, value) = tag.split_once('=').unwrap_or((tag, ""));
            (name, Edit::Tag { key: tag_key(key), value: value.to_owned() })
        }
        ["untags", name, key] => (name, Edit::Untag { key: tag_key(key) }),
        ["stops", "deployment", name] => (name, Edit::StopCodeDeploy),
        ["rolls", "back", name] => (name, Edit::RollBack),
        ["deregisters", name] => (name, Edit::Deregister),
        _ => return Err("no such act of a rival".to_owned()),
    };
    Ok(Step::Edit((*name).to_owned(), edit))
}

/// `hold` for `evenkeel:hold`.
fn tag_key(key: &str) -> String {
    let ours = [
        "owner",
        "digest",
        "proven",
        "rejected",
        "rollout",
        "hold",
        "pause",
        "promote",
        "tags",
        "prune",
        "tombstone",
    ];
    if ours.contains(&key) { format!("evenkeel:{key}") } else { key.to_owned() }
}

/// `pause as bob because a customer is on it`; it is ann who says it if nobody is named.
fn request(words: &[&str]) -> Parsed<Request> {
    let (said, why) = match words.iter().position(|word| *word == "because") {
        Some(at) => {
            let (said, why) = words.split_at(at);
            let why = why.iter().filter(|word| **word != "because").copied();
            (said, why.collect::<Vec<_>>().join(" "))
        }
        None => (words, String::new()),
    };
    let (said, who) = match said {
        [said @ .., "as", who] => (said, *who),
        _ => (said, "ann"),
    };
    let needs_a_reason = ["hold", "pause", "abort", "undo", "prune"];
    if why.is_empty() && said.first().is_some_and(|word| needs_a_reason.contains(word)) {
        return Err("a reason is needed: `because ...`".to_owned());
    }
    let command = match said {
        ["hold"] => PersonsCommand::Hold,
        ["release"] => PersonsCommand::Release,
        ["pause"] => PersonsCommand::Pause,
        ["resume"] => PersonsCommand::Resume,
        ["promote"] => PersonsCommand::Promote(Gates::Now),
        ["promote", "full"] => PersonsCommand::Promote(Gates::All),
        ["abort"] => PersonsCommand::Abort,
        ["undo"] => PersonsCommand::Undo { to: None },
        ["undo", "to", revision] => PersonsCommand::Undo { to: Some((*revision).to_owned()) },
        ["retry"] => PersonsCommand::Retry,
        ["prune"] => PersonsCommand::Prune,
        _ => return Err("no such command of a person".to_owned()),
    };
    Ok(Request { command, who: who.to_owned(), why })
}

fn expectation(words: &[&str]) -> Parsed<Expectation> {
    let own = |text: &str| text.to_owned();
    Ok(match words {
        ["writes", "at", "most", most] => {
            Expectation::Writes { at_least: 0, at_most: number(most)? }
        }
        ["writes", count] => {
            Expectation::Writes { at_least: number(count)?, at_most: number(count)? }
        }
        ["calls", "at", "most", most] => Expectation::Calls { at_most: number(most)? },
        ["launched", image, "at", "most", most] => {
            Expectation::Launched { image: own(image), at_least: 1, at_most: number(most)? }
        }
        ["launched", image, count] => Expectation::Launched {
            image: own(image),
            at_least: number(count)?,
            at_most: number(count)?,
        },
        ["requests", image, "at", "least", least] => {
            Expectation::Requests { image: own(image), at_least: number(least)?, at_most: u64::MAX }
        }
        ["requests", image, count] => Expectation::Requests {
            image: own(image),
            at_least: number(count)?,
            at_most: number(count)?,
        },
        [name, "runs", image] => Expectation::Runs { name: own(name), image: own(image) },
        [name, "healthy", "at", "least", least] => {
            Expectation::Healthy { name: own(name), at_least: number(least)? }
        }
        [name, "share", image, percent] => {
            Expectation::Share { name: own(name), image: own(image), percent: number(percent)? }
        }
        [name, "gone"] => Expectation::Gone { name: own(name) },
        [name, "count", count] => Expectation::Count { name: own(name), count: number(count)? },
        [name, "answered", word] => {
            Expectation::Answered { name: own(name), word: own(word), words: String::new() }
        }
        [name, "answered", word, words] => {
            Expectation::Answered { name: own(name), word: own(word), words: own(words) }
        }
        [name, "says", words] => Expectation::Says { name: own(name), words: own(words) },
        [name, "does", "not", "say", words] => {
            Expectation::Silent { name: own(name), words: own(words) }
        }
        [name, "tag", key] => {
            Expectation::Tag { name: own(name), key: tag_key(key), is_there: true }
        }
        [name, "no", "tag", key] => {
            Expectation::Tag { name: own(name), key: tag_key(key), is_there: false }
        }
        [name, "revisions", count] => {
            Expectation::Revisions { family: own(name), count: number(count)? }
        }
        [name, "rollouts", count] => {
            Expectation::Rollouts { name: own(name), count: number(count)? }
        }
        _ => return Err("no such expectation".to_owned()),
    })
}

fn replica(words: &[&str]) -> Parsed<Replica> {
    match words {
        [] => Ok(Replica(0)),
        [number_of] => Ok(Replica(number(number_of)?)),
        _ => Err("one daemon is meant, by its number from 0".to_owned()),
    }
}

fn number<T: std::str::FromStr>(word: &str) -> Parsed<T> {
    word.parse().map_err(|_| format!("{word} is not a number that fits"))
}

/// How long an answer takes to a caller who still waits for it.
fn patience(word: &str) -> Parsed<Duration> {
    let time = duration(word)?;
    if time < GIVES_UP_AFTER { Ok(time) } else { Err("it is given up before".to_owned()) }
}

/// `90s`, `5m`, `1h30m`.
fn duration(word: &str) -> Parsed<Duration> {
    let signed: SignedDuration = word.parse().map_err(|error| format!("{word}: {error}"))?;
    Duration::try_from(signed).map_err(|_| format!("{word} is negative"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bad_line_is_named_with_its_number() {
        let text = "Proves nothing.\n\nload web colour=red\nadvance 5m\nadvance soon\n";
        let error = Scenario::read("bad", text).expect_err("two lines are bad");
        assert_eq!(error.0.len(), 2);
        assert!(
            error.0[0].starts_with("bad.txt:3: load web colour=red: unknown word colour"),
            "{error}"
        );
        assert!(error.0[1].starts_with("bad.txt:5: advance soon:"), "{error}");
    }

    #[test]
    fn an_answer_that_nobody_waits_for_any_longer_is_lost_and_not_slow() {
        assert!(matches!(
            command(&words("slow DescribeTasks 19s")),
            Ok(Command::Step(Step::Fail(_, Way::Slow(_))))
        ));
        assert!(command(&words("slow DescribeTasks 20s")).is_err());
    }

    #[test]
    fn traffic_and_its_answers_have_units() {
        let parsed = |line: &str| command(&words(line));
        assert!(matches!(parsed("traffic shop 50/s"), Ok(Command::Step(Step::Traffic(_, 50)))));
        let Ok(Command::Step(Step::Image(_, behaviour))) =
            parsed("image web:2 errors 20% latency 300ms")
        else {
            panic!("it is an image");
        };
        assert_eq!((behaviour.error_percent, behaviour.latency.as_millis()), (20, 300));
        for bad in ["traffic shop 50", "image web:2 errors 101%", "image web:2 errors 2"] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_command_of_a_person_has_a_name_and_the_reasons_that_the_daemon_asks_for() {
        let parsed = |line: &str| command(&words(line));
        let Ok(Command::Step(Step::Ask(name, request))) =
            parsed("order web undo to web:3 as bob because checkout is slow")
        else {
            panic!("it is a command");
        };
        let to = Some("web:3".to_owned());
        let (who, why) = ("bob".to_owned(), "checkout is slow".to_owned());
        let wanted = Request { command: PersonsCommand::Undo { to }, who, why };
        assert_eq!((name.as_str(), request), ("web", wanted));
        assert!(parsed("order web promote full").is_ok());
        for bad in ["order web hold", "order web promote half", "order web undo web:3 because x"] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_hook_passes_or_fails_in_its_time_or_hangs() {
        let does = |line: &str| match command(&words(line)) {
            Ok(Command::Step(Step::Hook(function, does))) if function == "smoke" => Some(does),
            _ => None,
        };
        let minutes = |number| Some(Duration::from_mins(number));
        assert_eq!(does("hook smoke passes"), Some(HookFunction::Passes(None)));
        assert_eq!(does("hook smoke fails after 2m"), Some(HookFunction::Fails(minutes(2))));
        assert_eq!(does("hook smoke hangs"), Some(HookFunction::Hangs));
        assert!(does("hook smoke hangs after 2m").is_none() && does("hook smoke").is_none());
    }

    #[test]
    fn a_rival_may_deploy_by_code_deploy() {
        let edit = |line: &str| match command(&words(line)) {
            Ok(Command::Step(Step::Edit(_, edit))) => edit,
            other => panic!("it is an edit: {other:?}"),
        };
        let (image, front) = ("web:1".to_owned(), "shop".to_owned());
        let made = edit("rival creates web web:1 by CodeDeploy behind shop");
        assert_eq!(made, Edit::CreateForCodeDeploy { image: image.clone(), front });
        let deployed = edit("rival deploys web web:1 by CodeDeploy");
        assert_eq!(deployed, Edit::CodeDeploy { image });
    }

    #[test]
    fn quotes_keep_words_together() {
        assert_eq!(
            words(r#"expect web says "was rejected""#),
            ["expect", "web", "says", "was rejected"]
        );
        assert_eq!(
            words(r#"rival updates web '{"desiredCount": 5}'"#),
            ["rival", "updates", "web", r#"{"desiredCount": 5}"#]
        );
    }
}
