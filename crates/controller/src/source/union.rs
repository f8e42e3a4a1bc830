//! Several sources as one desired state; never lets what is unknown about one source take away the
//! services of another, and never prefers one of two that claim the same service.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use evenkeel_manifest::{
    File, Problem, Reloaded, Reloader, Service, ServiceKey, Severity, shared_groups,
};

use super::granted::{excess, foreign};
use super::tree::{Tree, Unreadable};
use crate::config::{Grant, SourceConfig};

/// What one source was last read as, its files named `SOURCE/PATH`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Reading {
    /// In place of each text stands a hash of it, or nothing where the text is blank.
    tree: Tree,
    services: Vec<Arc<Service>>,
    problems: Vec<Problem>,
}

/// What is known of all sources together.
#[derive(Debug, Default)]
pub(super) struct United {
    pub tree: Tree,
    pub services: Vec<Arc<Service>>,
    pub problems: Vec<Problem>,
}

impl Reading {
    /// All files of one source, as read at a commit, with its environment laid over them; those that changed since
    /// `reloader` saw them are parsed, which blocks. What they name under `taskDefinition.file` is found in this source
    /// alone.
    pub(super) fn of(
        config: &SourceConfig,
        reloader: &mut Reloader,
        tree: Tree,
        commit: Option<&str>,
    ) -> Self {
        let mut tree = named(&config.name, tree);
        let commit = commit.map(Arc::from);
        let mut set = reloader.load(&tree.files, commit.as_ref());
        tracing::debug!(source = config.name, parsed = set.parsed, "manifests were read");
        if let Some(grant) = &config.grant {
            limit(grant, &mut set);
        }
        for file in &mut tree.files {
            file.text = mark(&file.text);
        }
        Self { tree, services: set.services, problems: set.problems }
    }

    /// What parses the files of a source and remembers them.
    pub(super) fn reloader(config: &SourceConfig) -> Reloader {
        Reloader::new(format!("{}/", config.name), config.environment.as_deref())
    }

    /// A service that did not change keeps its allocation, and with it the commit of its content; one that only stands
    /// on another line keeps the commit.
    pub(super) fn share_with(&mut self, before: &Self) {
        let known: BTreeMap<&ServiceKey, &Arc<Service>> =
            before.services.iter().map(|service| (&service.key, service)).collect();
        for service in &mut self.services {
            match known.get(&service.key) {
                Some(same) if *same == service => *service = Arc::clone(same),
                Some(before) if stands_elsewhere(before, service) => {
                    Arc::make_mut(service).source.commit.clone_from(&before.source.commit);
                }
                _ => {}
            }
        }
    }

    pub(super) fn services(&self) -> usize {
        self.services.len()
    }
}

/// Whether only other lines in front of it changed.
fn stands_elsewhere(before: &Service, now: &Service) -> bool {
    let mut aligned = before.clone();
    aligned.source.line = now.source.line;
    aligned == *now
}

fn named(source: &str, tree: Tree) -> Tree {
    let name = |name: &str| -> Arc<str> { format!("{source}/{name}").into() };
    let file = |file: File| File { name: name(&file.name), ..file };
    let unreadable = |one: Unreadable| Unreadable { name: name(&one.name), ..one };
    Tree {
        files: tree.files.into_iter().map(file).collect(),
        unreadable: tree.unreadable.into_iter().map(unreadable).collect(),
    }
}

/// The last good state asks only whether a text is another one, or blank.
fn mark(text: &str) -> String {
    if text.trim().is_empty() {
        return String::new();
    }
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// One source in the union.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Member {
    pub name: String,
    /// `None`: it was never read.
    pub reading: Option<Arc<Reading>>,
    /// Why its newest state is not known.
    pub fault: Option<String>,
}

/// All sources as if they were one directory with a directory for each.
pub(super) fn unite(members: &[Member]) -> United {
    let mut united = United::default();
    for member in members {
        if let Some(reading) = &member.reading {
            united.tree.files.extend(reading.tree.files.iter().cloned());
            united.tree.unreadable.extend(reading.tree.unreadable.iter().cloned());
            united.services.extend(reading.services.iter().cloned());
            united.problems.extend(reading.problems.iter().cloned());
        }
        if let Some(fault) = &member.fault {
            united.tree.unreadable.push(unknown(member, fault));
        }
    }
    reject_double_claims(members, &mut united);
    reject_shared_groups(&mut united);
    united
}

/// While the newest state of one source is not known, no service is let go: it may have moved there.
fn unknown(member: &Member, fault: &str) -> Unreadable {
    let what = if member.reading.is_some() {
        "was not read again, and its last good state stays in force"
    } else {
        "has never been read"
    };
    Unreadable { name: member.name.as_str().into(), message: format!("{what}: {fault}") }
}

/// Leaves what the source may not manage out. Of a service that it has no say in, it has none about what is in force
/// either: such a problem is about no service.
fn limit(grant: &Grant, set: &mut Reloaded) {
    for problem in &mut set.problems {
        problem.service = problem.service.take().filter(|key| foreign(grant, key).is_none());
    }
    let (problems, services) = (&mut set.problems, &mut set.services);
    services.retain(|service| {
        let is_foreign = foreign(grant, &service.key);
        let about = is_foreign.is_none().then(|| service.key.clone());
        let Some(why) = is_foreign.or_else(|| excess(grant, service)) else { return true };
        problems.push(Problem {
            file: service.source.file.clone(),
            line: service.source.line,
            column: 1,
            path: String::new(),
            message: format!("{why}: ask for it in the daemon's configuration (`sources.grant`)"),
            severity: Severity::Error,
            service: about,
        });
        false
    });
}

fn reject_double_claims(members: &[Member], united: &mut United) {
    let mut claims: BTreeMap<ServiceKey, BTreeMap<usize, (Arc<str>, usize)>> = BTreeMap::new();
    for (index, member) in members.iter().enumerate() {
        let Some(reading) = &member.reading else { continue };
        for (key, file, line) in claimed(reading) {
            let of_key = claims.entry(key.clone()).or_default();
            of_key.entry(index).or_insert((file, line));
        }
    }
    claims.retain(|_, of_key| of_key.len() > 1);
    united.services.retain(|service| !claims.contains_key(&service.key));
    for (key, of_key) in &claims {
        united.problems.extend(told(key, of_key, members));
    }
}

fn reject_shared_groups(united: &mut United) {
    let problems = shared_groups(&united.services);
    let keys: BTreeSet<&ServiceKey> =
        problems.iter().filter_map(|one| one.service.as_ref()).collect();
    united.services.retain(|service| !keys.contains(&service.key));
    united.problems.extend(problems);
}

/// A manifest with an error claims its service, too.
fn claimed(reading: &Reading) -> impl Iterator<Item = (&ServiceKey, Arc<str>, usize)> {
    let good =
        reading.services.iter().map(|one| (&one.key, one.source.file.clone(), one.source.line));
    let bad = reading.problems.iter().filter(|one| one.severity == Severity::Error);
    let bad = bad.filter_map(|one| Some((one.service.as_ref()?, one.file.clone(), one.line)));
    good.chain(bad)
}

fn told(
    key: &ServiceKey,
    claims: &BTreeMap<usize, (Arc<str>, usize)>,
    members: &[Member],
) -> Vec<Problem> {
    let problem = |(index, (file, line)): (&usize, &(Arc<str>, usize))| {
        let others = claims.iter().filter(|(other, _)| *other != index).take(5);
        let others: BTreeSet<String> = others
            .filter_map(|(other, (file, line))| {
                Some(format!("{} ({file}:{line})", members.get(*other)?.name))
            })
            .collect();
        let others: Vec<String> = others.into_iter().collect();
        Problem {
            file: file.clone(),
            line: *line,
            column: 1,
            path: String::new(),
            message: format!(
                "the service {key} is also claimed by the source {}: all are held, keep one",
                others.join(", ")
            ),
            severity: Severity::Error,
            service: Some(key.clone()),
        }
    };
    claims.iter().map(problem).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Windows;
    use crate::source::last_good::{LastGood, Settled};

    fn manifest(name: &str, image: &str) -> String {
        format!(
            "apiVersion: evenkeel.dev/v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  \
             cluster: prod\n  taskDefinition:\n    memory: \"512\"\n    containerDefinitions:\n    \
             - {{name: app, image: \"{image}\"}}\n  service: {{desiredCount: 1}}\n"
        )
    }

    fn read(config: &SourceConfig, tree: Tree) -> Reading {
        Reading::of(config, &mut Reading::reloader(config), tree, None)
    }

    fn reading(source: &str, files: &[(&str, String)]) -> Arc<Reading> {
        let file =
            |(name, text): &(&str, String)| File { name: (*name).into(), text: text.clone() };
        let tree = Tree { files: files.iter().map(file).collect(), unreadable: Vec::new() };
        Arc::new(read(&SourceConfig::directory(source), tree))
    }

    fn member(name: &str, files: &[(&str, String)]) -> Member {
        Member { name: name.to_owned(), reading: Some(reading(name, files)), fault: None }
    }

    fn settle(last_good: &mut LastGood, members: &[Member]) -> Settled {
        let united = unite(members);
        last_good.settle(&united.tree, united.services.into_iter(), united.problems)
    }

    fn names(settled: &Settled) -> (Vec<&str>, Vec<&str>) {
        let services = settled.desired.services.keys().map(|key| key.name.as_str());
        let invalid = settled.desired.invalid.keys().map(|key| key.name.as_str());
        (services.collect(), invalid.collect())
    }

    fn last_good() -> LastGood {
        LastGood::new("default", Windows::default())
    }

    #[test]
    fn files_of_one_name_in_two_sources_are_two_files() {
        let members = [
            member("a", &[("web.yaml", manifest("web", "app:1"))]),
            member("b", &[("web.yaml", manifest("api", "app:1"))]),
        ];
        let settled = settle(&mut last_good(), &members);
        assert_eq!(names(&settled), (vec!["api", "web"], vec![]));
        let files: Vec<_> =
            settled.desired.services.values().map(|one| one.source.file.to_string()).collect();
        assert_eq!(files, ["b/web.yaml", "a/web.yaml"]);
    }

    /// As [`member`], of a source that may manage `web` with images of `app` alone.
    fn limited(name: &str, files: &[(&str, String)]) -> Member {
        let raw = serde_json::json!({"services": ["web"], "images": ["app:*"]});
        let grant = crate::config::granted(&serde_json::from_value(raw).unwrap());
        let config = SourceConfig { grant: Some(grant), ..SourceConfig::directory(name) };
        let file =
            |(name, text): &(&str, String)| File { name: (*name).into(), text: text.clone() };
        let tree = Tree { files: files.iter().map(file).collect(), unreadable: Vec::new() };
        let reading = Some(Arc::new(read(&config, tree)));
        Member { name: name.to_owned(), reading, fault: None }
    }

    #[test]
    fn a_source_that_has_no_say_in_a_service_does_not_hold_it_for_another() {
        let mine = member("a", &[("api.yaml", manifest("api", "app:1"))]);
        for theirs in [manifest("api", "evil:1"), manifest("api", "evil:1").replace("512", "five")]
        {
            let both = [mine.clone(), limited("b", &[("x.yaml", theirs)])];
            let settled = settle(&mut last_good(), &both);
            assert_eq!(names(&settled), (vec!["api"], vec![]));
            assert!(settled.problems.iter().any(|one| &*one.file == "b/x.yaml"), "it is told");
        }
    }

    #[test]
    fn what_a_source_wants_beyond_its_grant_leaves_the_last_good_manifest_in_force() {
        let mut last_good = last_good();
        let look = |last_good: &mut LastGood, image: &str| {
            settle(last_good, &[limited("b", &[("web.yaml", manifest("web", image))])])
        };
        assert_eq!(names(&look(&mut last_good, "app:1")), (vec!["web"], vec![]));
        let settled = look(&mut last_good, "evil:1");
        assert_eq!(names(&settled), (vec!["web"], vec!["web"]));
        let (_, service) = settled.desired.services.iter().next().unwrap();
        let image = "/containerDefinitions/0/image";
        assert_eq!(service.task_definition.value().pointer(image).unwrap(), "app:1");
        assert_eq!(names(&look(&mut last_good, "app:2")), (vec!["web"], vec![]));
    }

    #[test]
    fn a_service_that_did_not_change_is_held_once() {
        let two = [("web.yaml", manifest("web", "a")), ("api.yaml", manifest("api", "a"))];
        let mut last_good = last_good();
        let before = reading("a", &two);
        let of = |reading: Arc<Reading>| Member {
            name: "a".to_owned(),
            reading: Some(reading),
            fault: None,
        };
        settle(&mut last_good, &[of(before.clone())]);
        let edited = [("web.yaml", manifest("web", "b")), two[1].clone()];
        let mut after = Arc::unwrap_or_clone(reading("a", &edited));
        after.share_with(&before);
        let shared: Vec<bool> =
            before.services.iter().zip(&after.services).map(|(a, b)| Arc::ptr_eq(a, b)).collect();
        assert_eq!(shared, [false, true]);
        let settled = settle(&mut last_good, &[of(Arc::new(after))]);
        assert!(Arc::ptr_eq(
            &settled.desired.services[&ServiceKey::new("prod", "api")],
            &before.services[1]
        ));
    }

    /// Nobody looks at a service for that, so its status would be of another commit for long.
    #[test]
    fn a_comment_above_a_manifest_does_not_make_it_one_of_another_commit() {
        let config = SourceConfig::directory("a");
        let mut reloader = Reading::reloader(&config);
        let mut read_at = |commit: &str, text: String| {
            let files = vec![File { name: "web.yaml".into(), text }];
            let tree = Tree { files, unreadable: Vec::new() };
            Reading::of(&config, &mut reloader, tree, Some(commit))
        };
        let first = read_at("one", manifest("web", "a"));
        let mut second = read_at("two", format!("# the shop\n{}", manifest("web", "a")));
        second.share_with(&first);
        let source = &second.services[0].source;
        assert_eq!((source.line, source.commit.as_deref()), (2, Some("one")));
        let mut third = read_at("three", manifest("web", "b"));
        third.share_with(&second);
        assert_eq!(third.services[0].source.commit.as_deref(), Some("three"));
    }

    #[test]
    fn two_sources_that_claim_one_service_are_both_held_and_both_told() {
        let mut last_good = last_good();
        let alone = [member("a", &[("web.yaml", manifest("web", "app:1"))]), member("b", &[])];
        settle(&mut last_good, &alone);
        let both = [
            member("a", &[("web.yaml", manifest("web", "app:2"))]),
            member("b", &[("other.yaml", manifest("web", "app:3"))]),
        ];
        let settled = settle(&mut last_good, &both);
        assert_eq!(names(&settled), (vec!["web"], vec!["web"]));
        let key = ServiceKey::new("prod", "web");
        let text = settled.desired.services[&key].task_definition.text();
        assert!(text.contains("app:1"), "neither new content is in force: {text}");
        let files: Vec<_> = settled.problems.iter().map(|one| one.file.to_string()).collect();
        assert_eq!(files, ["a/web.yaml", "b/other.yaml"]);
    }

    #[test]
    fn a_bad_manifest_of_another_source_claims_its_service_too() {
        let bad = manifest("web", "app:2").replace("memory", "memroy");
        let members = [
            member("a", &[("web.yaml", manifest("web", "app:1"))]),
            member("b", &[("web.yaml", bad)]),
        ];
        assert_eq!(names(&settle(&mut last_good(), &members)), (vec![], vec!["web"]));
    }

    #[test]
    fn a_source_that_was_never_read_hinders_no_other_and_lets_nothing_go() {
        let mut last_good = last_good();
        let unread = Member {
            name: "b".to_owned(),
            reading: None,
            fault: Some("the server cannot be reached".to_owned()),
        };
        let two = [("web.yaml", manifest("web", "a")), ("api.yaml", manifest("api", "a"))];
        let settled = settle(&mut last_good, &[member("a", &two), unread.clone()]);
        assert_eq!(names(&settled), (vec!["api", "web"], vec![]));
        let settled = settle(&mut last_good, &[member("a", &two[..1]), unread]);
        assert_eq!(names(&settled), (vec!["api", "web"], vec!["api"]));
        let settled = settle(&mut last_good, &[member("a", &two[..1]), member("b", &[])]);
        assert_eq!(names(&settled), (vec!["web"], vec![]));
    }

    #[test]
    fn services_of_two_sources_that_would_move_each_others_traffic_are_both_held() {
        let arn = |name: &str| {
            format!("arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/{name}/0123456789abcdef")
        };
        let rule = "arn:aws:elasticloadbalancing:eu-west-1:1:listener-rule/app/a/0/1/2";
        let moving = |name: &str, one: &str, other: &str| {
            let balancers = format!(
                "{{desiredCount: 1, loadBalancers: [{{targetGroupArn: \"{}\", containerName: app, \
                 containerPort: 80, advancedConfiguration: {{alternateTargetGroupArn: \"{}\", \
                 productionListenerRule: \"{rule}\", roleArn: \"arn:aws:iam::1:role/r\"}}}}]}}",
                arn(one),
                arn(other)
            );
            let text = manifest(name, "a").replace("{desiredCount: 1}", &balancers);
            let ports = "image: \"a\", portMappings: [{containerPort: 80}]";
            text.replace("image: \"a\"", ports) + "  rollout: {strategy: BlueGreen}\n"
        };
        let held = |other: &str| {
            let members = [
                member("a", &[("web.yaml", moving("web", "one", "two"))]),
                member("b", &[("api.yaml", moving("api", other, "four"))]),
            ];
            let united = unite(&members);
            (united.services.len(), united.problems.len())
        };
        assert_eq!(held("three"), (2, 0));
        assert_eq!(held("two"), (0, 2));
    }

    #[test]
    fn a_task_definition_of_another_source_cannot_be_included() {
        let taskdef = r#"{"memory": "512", "containerDefinitions": [{"name": "a", "image": "b"}]}"#;
        let web = "apiVersion: evenkeel.dev/v1\nkind: Service\nmetadata: {name: web}\nspec: {cluster: \
                   prod, taskDefinition: {file: ../b/taskdef.json}, service: {desiredCount: 1}}\n";
        let members = [
            member("a", &[("web.yaml", web.to_owned())]),
            member("b", &[("taskdef.json", taskdef.to_owned())]),
        ];
        let settled = settle(&mut last_good(), &members);
        assert_eq!(names(&settled), (vec![], vec!["web"]));
    }
}
