//! A manifest with few words, for scenarios and random fleets; never anything that the production
//! reader of manifests has not read.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use evenkeel_manifest::{File, Service, load};

/// What a manifest says, by the words of scenarios: `image`, `count`, `group`, `alarms`, ...
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    pub name: String,
    words: BTreeMap<String, String>,
}

/// Every word there is.
const WORDS: [&str; 46] = [
    "image",
    "count",
    "cluster",
    "group",
    "alarms",
    "probe",
    "healthyFor",
    "deadline",
    "paused",
    "adopt",
    "onFailure",
    "counting",
    "minimum",
    "maximum",
    "crashes",
    "doomed",
    "env",
    "tags",
    "cpu",
    "subnet",
    "check",
    "launch",
    "provider",
    "front",
    "strategy",
    "percent",
    "stepBake",
    "steps",
    "config",
    "hooks",
    "keep",
    "bake",
    "gate",
    "errors",
    "compare",
    "patience",
    "inconclusive",
    "allow",
    "deny",
    "inFlight",
    "pause",
    "prune",
    "movedFrom",
    "approvals",
    "exec",
    "drift",
];

impl Wish {
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), words: BTreeMap::new() }
    }

    /// Says `word`; an empty value takes it back.
    ///
    /// # Errors
    ///
    /// A word that is not one of [`WORDS`].
    pub fn set(&mut self, word: &str, value: &str) -> Result<(), String> {
        if !WORDS.contains(&word) {
            return Err(format!("unknown word {word}; there are {}", WORDS.join(", ")));
        }
        if value.is_empty() {
            self.words.remove(word);
        } else {
            self.words.insert(word.to_owned(), value.to_owned());
        }
        Ok(())
    }

    #[must_use]
    pub fn with(mut self, word: &str, value: &str) -> Self {
        self.set(word, value).expect("a word written in this crate is one of WORDS");
        self
    }

    pub fn word(&self, word: &str) -> Option<&str> {
        self.words.get(word).map(String::as_str)
    }

    fn or<'a>(&'a self, word: &str, default: &'a str) -> &'a str {
        self.word(word).unwrap_or(default)
    }

    pub fn image(&self) -> &str {
        self.or("image", "web:1")
    }

    fn launch(&self) -> &str {
        self.or("launch", "FARGATE")
    }

    pub fn cluster(&self) -> &str {
        self.or("cluster", "main")
    }

    /// The service, read as any manifest is. `groups` are target group ARNs by name.
    ///
    /// # Errors
    ///
    /// The problems that a user would read.
    pub fn service(&self, groups: &BTreeMap<String, String>) -> Result<Service, String> {
        let text = self.text(groups)?;
        let name: Arc<str> = Arc::from(format!("{}.yaml", self.name));
        let set = load(&[File { name, text }]);
        if set.has_errors() {
            let problems: Vec<String> = set.problems.iter().map(ToString::to_string).collect();
            return Err(problems.join("; "));
        }
        set.services.into_iter().next().ok_or_else(|| "the manifest holds no service".to_owned())
    }

    /// The manifest.
    ///
    /// # Errors
    ///
    /// A target group that nobody made.
    pub fn text(&self, groups: &BTreeMap<String, String>) -> Result<String, String> {
        let mut text = format!(
            "apiVersion: evenkeel.dev/v1\nkind: Service\nmetadata: {{name: {}{}}}\nspec:\n  cluster: {}\n",
            self.name,
            self.annotations(),
            self.cluster()
        );
        for flag in ["paused", "adopt"] {
            if let Some(value) = self.word(flag) {
                let _ = writeln!(text, "  {flag}: {value}");
            }
        }
        self.task_definition(&mut text);
        self.members(&mut text, groups)?;
        self.rollout(&mut text);
        // `enableExecuteCommand:Report`
        if let Some((field, policy)) = self.word("drift").and_then(|word| word.split_once(':')) {
            let _ = writeln!(text, "  drift: {{fields: {{service.{field}: {policy}}}}}");
        }
        Ok(text)
    }

    /// Why rollouts are paused, whether the service stays without a manifest, and whose place it takes.
    fn annotations(&self) -> String {
        let all = [("pause", "pause"), ("prune", "prune"), ("movedFrom", "moved-from")];
        let said = all.into_iter().filter_map(|(word, annotation)| {
            Some(format!("evenkeel.dev/{annotation}: \"{}\"", self.word(word)?))
        });
        let said: Vec<String> = said.collect();
        if said.is_empty() {
            return String::new();
        }
        format!(", annotations: {{{}}}", said.join(", "))
    }

    fn task_definition(&self, text: &mut String) {
        let _ = write!(
            text,
            "  taskDefinition:\n    family: {}\n    requiresCompatibilities: [{}]\n    \
             networkMode: awsvpc\n    cpu: \"{}\"\n    memory: \"1024\"\n    containerDefinitions:\n      \
             - name: web\n        image: {}\n        essential: true\n        \
             portMappings: [{{containerPort: 8080}}]\n",
            self.name,
            self.launch(),
            self.or("cpu", "256"),
            self.image(),
        );
        if let Some(value) = self.word("env") {
            let _ = writeln!(text, "        environment: [{{name: VALUE, value: \"{value}\"}}]");
        }
        // A health check of the container, every so many seconds.
        if let Some(interval) = self.word("check") {
            let _ = writeln!(
                text,
                "        healthCheck: {{command: [CMD, /check], interval: {interval}, retries: 3}}"
            );
        }
    }

    /// Where tasks run.
    fn capacity(&self) -> String {
        match self.word("provider") {
            Some(name) => {
                format!("capacityProviderStrategy: [{{capacityProvider: {name}, weight: 1}}]")
            }
            None => format!("launchType: {}", self.launch()),
        }
    }

    fn members(&self, text: &mut String, groups: &BTreeMap<String, String>) -> Result<(), String> {
        let _ = writeln!(text, "  service:\n    {}", self.capacity());
        // `any`: the count is somebody else's.
        if self.or("count", "4") != "any" {
            let _ = writeln!(text, "    desiredCount: {}", self.or("count", "4"));
        }
        let _ = writeln!(
            text,
            "    networkConfiguration:\n      awsvpcConfiguration: {{subnets: [{}], securityGroups: [sg-1]}}",
            self.or("subnet", "subnet-1")
        );
        let percents: Vec<String> =
            [("minimum", "minimumHealthyPercent"), ("maximum", "maximumPercent")]
                .into_iter()
                .filter_map(|(word, member)| Some(format!("{member}: {}", self.word(word)?)))
                .collect();
        if !percents.is_empty() {
            let _ = writeln!(text, "    deploymentConfiguration: {{{}}}", percents.join(", "));
        }
        if let Some(is_on) = self.word("exec") {
            let _ = writeln!(text, "    enableExecuteCommand: {is_on}");
        }
        if let Some(tag) = self.word("tags") {
            let (key, value) = tag.split_once(':').unwrap_or((tag, ""));
            let _ = writeln!(text, "    tags: [{{key: {key}, value: \"{value}\"}}]");
        }
        if let Some(name) = self.word("group") {
            let arn = groups.get(name).ok_or_else(|| format!("there is no target group {name}"))?;
            let _ = writeln!(
                text,
                "    loadBalancers: [{{targetGroupArn: \"{arn}\", containerName: web, containerPort: 8080}}]"
            );
        }
        if let Some(name) = self.word("front") {
            front(text, name, groups)?;
            if self.word("strategy") != Some("CodeDeploy") {
                advanced(text, name, groups)?;
            }
        }
        Ok(())
    }

    /// The members of `rollout` that say how traffic moves.
    fn strategy(&self) -> Vec<String> {
        let mut members = Vec::new();
        let Some(strategy) = self.word("strategy") else { return members };
        members.push(format!("strategy: {strategy}"));
        for (word, member) in [("bake", "bake"), ("gate", "gateTimeout"), ("keep", "keepFor")] {
            members.extend(self.word(word).map(|value| format!("{member}: {value}")));
        }
        members.extend(self.word("approvals").map(|gates| format!("approvals: [{gates}]")));
        let step: Vec<String> = [("percent", "percent"), ("stepBake", "bake")]
            .into_iter()
            .filter_map(|(word, member)| Some(format!("{member}: {}", self.word(word)?)))
            .collect();
        if !step.is_empty() {
            members.push(format!("{}: {{{}}}", strategy.to_lowercase(), step.join(", ")));
        }
        members.extend(self.word("steps").map(steps));
        members.extend(self.code_deploy());
        members.extend(self.analysis());
        members
    }

    /// `config` is the deployment configuration; `hooks=AfterInstall:warm-up,BeforeAllowTraffic:smoke` names functions.
    fn code_deploy(&self) -> Option<String> {
        let mut members = Vec::new();
        members.extend(self.word("config").map(|name| format!("deploymentConfig: {name}")));
        if let Some(hooks) = self.word("hooks") {
            let hooks = hooks.split(',').map(|hook| hook.replacen(':', ": ", 1));
            members.push(format!("hooks: {{{}}}", hooks.collect::<Vec<_>>().join(", ")));
        }
        (!members.is_empty()).then(|| format!("codeDeploy: {{{}}}", members.join(", ")))
    }

    /// `errors=2%` is the limit of the error rate, `compare` compares it with the stable revision's.
    fn analysis(&self) -> Option<String> {
        let mut metrics = Vec::new();
        metrics
            .extend(self.word("errors").map(|most| format!("{{metric: errorRate, max: {most}}}")));
        metrics.extend(
            self.word("compare").map(|_| "{metric: errorRate, compare: Stable}".to_owned()),
        );
        let mut members = vec![format!("metrics: [{}]", metrics.join(", "))];
        for (word, member) in [("patience", "patience"), ("inconclusive", "onInconclusive")] {
            members.extend(self.word(word).map(|value| format!("{member}: {value}")));
        }
        (!metrics.is_empty()).then(|| format!("analysis: {{{}}}", members.join(", ")))
    }

    /// `deny="0 18 * * FRI for 62h"`, with `inFlight` for what is rolled out by then.
    fn windows(&self) -> Option<String> {
        let in_flight = self.or("inFlight", "Continue");
        let window = |rule: &str| {
            let (cron, duration) = self.word(rule)?.split_once(" for ")?;
            Some(format!("{{{rule}: \"{cron}\", duration: {duration}, inFlight: {in_flight}}}"))
        };
        let windows: Vec<String> = ["allow", "deny"].into_iter().filter_map(window).collect();
        (!windows.is_empty()).then(|| format!("windows: [{}]", windows.join(", ")))
    }

    fn rollout(&self, text: &mut String) {
        let mut breaker = Vec::new();
        for (word, member) in [
            ("deadline", "progressDeadline"),
            ("onFailure", "onFailure"),
            ("counting", "counting"),
            ("crashes", "crashes"),
            ("doomed", "doomed"),
        ] {
            if let Some(value) = self.word(word) {
                breaker.push(format!("{member}: {value}"));
            }
        }
        if let Some(names) = self.word("alarms") {
            breaker.push(format!("alarms: [{names}]"));
        }
        let mut probe = Vec::new();
        if self.word("probe") == Some("off") {
            probe.push("enabled: false".to_owned());
        }
        if let Some(value) = self.word("healthyFor") {
            probe.push(format!("healthyFor: {value}"));
        }
        let mut members = self.strategy();
        members.extend(self.windows());
        if !breaker.is_empty() || !probe.is_empty() {
            members.push(format!("breaker: {{{}}}", breaker.join(", ")));
            members.push(format!("probe: {{{}}}", probe.join(", ")));
        }
        if !members.is_empty() {
            let _ = writeln!(text, "  rollout: {{{}}}", members.join(", "));
        }
    }
}

/// `10/2m,50/5m/approve,100/unjudged`: weights, how long each bakes, whether a person is asked, and whether no metric
/// is judged.
fn steps(words: &str) -> String {
    let step = |words: &str| {
        let mut parts = words.split('/');
        let mut members = vec![format!("weight: {}", parts.next().unwrap_or_default())];
        members.extend(parts.map(|part| match part {
            "approve" => "approve: true".to_owned(),
            "unjudged" => "analysis: []".to_owned(),
            scale if scale.ends_with('%') => format!("scale: {scale}"),
            bake => format!("bake: {bake}"),
        }));
        format!("{{{}}}", members.join(", "))
    };
    let steps: Vec<String> = words.split(',').map(step).collect();
    format!("steps: [{}]", steps.join(", "))
}

fn front(text: &mut String, name: &str, groups: &BTreeMap<String, String>) -> Result<(), String> {
    let group = groups.get(name).ok_or_else(|| format!("there is no front {name}"))?;
    let _ = writeln!(
        text,
        "    loadBalancers:\n      - targetGroupArn: \"{group}\"\n        containerName: web\n        \
         containerPort: 8080"
    );
    Ok(())
}

/// Where the traffic moves, for strategies by which CodeDeploy does not move it.
fn advanced(
    text: &mut String,
    name: &str,
    groups: &BTreeMap<String, String>,
) -> Result<(), String> {
    let part = |key: String| groups.get(&key).ok_or_else(|| format!("there is no front {name}"));
    let _ = writeln!(
        text,
        "        advancedConfiguration:\n          \
         alternateTargetGroupArn: \"{}\"\n          productionListenerRule: \"{}\"\n          \
         testListenerRule: \"{}\"\n          \
         roleArn: arn:aws:iam::123456789012:role/infrastructure",
        part(format!("{name}/green"))?,
        part(format!("{name}/production"))?,
        part(format!("{name}/test"))?,
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use evenkeel_manifest::Strategy;

    use super::*;

    #[test]
    fn every_word_makes_a_manifest_that_reads() {
        let groups = BTreeMap::from([(
            "blue".to_owned(),
            "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/blue/0123456789abcdef"
                .to_owned(),
        )]);
        let wish = Wish::new("web")
            .with("image", "web:7")
            .with("count", "9")
            .with("group", "blue")
            .with("alarms", "errors")
            .with("probe", "off")
            .with("healthyFor", "10s")
            .with("deadline", "5m")
            .with("paused", "true")
            .with("adopt", "true")
            .with("onFailure", "Hold")
            .with("counting", "Cumulative")
            .with("minimum", "50")
            .with("maximum", "150")
            .with("crashes", "3")
            .with("doomed", "2")
            .with("env", "x")
            .with("tags", "team:web")
            .with("cpu", "512")
            .with("subnet", "subnet-2")
            .with("check", "10")
            .with("launch", "EC2")
            .with("provider", "machines")
            .with("deny", "0 18 * * FRI for 62h")
            .with("allow", "0 9 * * MON-FRI for 8h")
            .with("inFlight", "Pause")
            .with("pause", "a freeze");
        let service = wish.service(&groups).expect("it is valid");
        assert_eq!(service.key.to_string(), "main/web");
        assert_eq!(service.rollout.strategy, Strategy::Rolling);
        assert_eq!(service.rollout.windows.len(), 2);
        assert_eq!(service.metadata.annotations["evenkeel.dev/pause"], "a freeze");
        assert!(service.paused && service.adopt && !service.rollout.probe.enabled);
    }

    #[test]
    fn the_words_about_traffic_make_a_strategy() {
        let elb = "arn:aws:elasticloadbalancing:us-east-1:123456789012:";
        let group = |name: &str| format!("{elb}targetgroup/{name}/0123456789abcdef");
        let rule = |name: &str| format!("{elb}listener-rule/app/shop/1/{name}/2");
        let groups = BTreeMap::from([
            ("shop".to_owned(), group("blue")),
            ("shop/green".to_owned(), group("green")),
            ("shop/production".to_owned(), rule("production")),
            ("shop/test".to_owned(), rule("test")),
        ]);
        let wish = Wish::new("web")
            .with("front", "shop")
            .with("strategy", "Canary")
            .with("percent", "12.5")
            .with("stepBake", "3m")
            .with("bake", "10m")
            .with("approvals", "AfterTestTraffic,BeforeStep")
            .with("gate", "30m");
        assert_eq!(wish.service(&groups).expect("it is valid").rollout.approvals.len(), 2);
        let strategy = wish.service(&groups).expect("it is valid").rollout.strategy;
        let Strategy::Canary(shift, step) = strategy else { panic!("{strategy:?}") };
        assert_eq!((shift.bake.as_secs(), shift.gate_timeout.as_secs()), (600, 1800));
        assert_eq!((step.percent.value(), step.bake.as_secs()), (12.5, 180));
        let measured = wish
            .with("errors", "2%")
            .with("compare", "true")
            .with("patience", "5m")
            .with("inconclusive", "Rollback");
        let analysis = measured.service(&groups).expect("it is valid").rollout.analysis;
        let analysis = analysis.expect("it is measured");
        assert_eq!((analysis.metrics.len(), analysis.patience.as_secs()), (2, 300));
    }

    #[test]
    fn functions_that_code_deploy_asks_may_have_an_alias() {
        let wish = Wish::new("web")
            .with("strategy", "CodeDeploy")
            .with("config", "Tenth")
            .with("hooks", "AfterInstall:warm-up,BeforeAllowTraffic:smoke:live");
        let members = wish.strategy();
        assert_eq!(
            members[1],
            "codeDeploy: {deploymentConfig: Tenth, hooks: {AfterInstall: warm-up, BeforeAllowTraffic: smoke:live}}"
        );
    }

    #[test]
    fn a_word_that_nobody_knows_is_refused() {
        assert!(Wish::new("web").set("colour", "red").is_err());
    }
}
