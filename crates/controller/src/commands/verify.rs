//! `evenkeel verify`: whether what manifests name and do not make is there and fits; never changes anything, and never
//! shows the value of a secret.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;

use evenkeel_manifest::{Problem, RenderedManifest, Service, ServiceKey, Severity, Written};
use evenkeel_planner::{Answers, Asked, Need, Verified, needs, verify as judged};
use prometheus::Registry;
use serde_json::{Value, json};

use super::validate::{counted, line};
use super::write_data;
use crate::args::{Output, VerifyArgs};
use crate::cli::{CommandError, Exit};
use crate::config::Config;
use crate::daemon::{StartError, connect};
use crate::input;
use crate::outside::OutsideError;
use crate::style::{self, paint, safe};
use crate::verify::{OfCloud, Verifier};

/// One need of a service, and what was found about it.
struct Finding {
    need: Need,
    /// `None` where the manifest does not say it in these words.
    place: Option<Written>,
    verified: Verified,
}

type Findings = BTreeMap<ServiceKey, Vec<Finding>>;

pub(crate) async fn verify(
    config: Config,
    args: VerifyArgs,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let paths = if args.paths.is_empty() {
        vec![config.manifests.path.clone()]
    } else {
        args.paths.clone()
    };
    let (rendered, input) = input::render(&paths, config.manifests.environment.as_deref())?;
    let problems = input.set.problems.clone();
    let (services, elsewhere) = input.services_of(&config);
    let needed: Vec<_> = services.into_iter().map(|one| needs_of(&one, &config, &args)).collect();
    let asked = needed.iter().flat_map(|(_, needs)| needs).filter_map(Need::asked).cloned();
    let answers = answers(&config, asked.collect()).await?;
    let findings: Findings = needed
        .into_iter()
        .map(|(key, needs)| (key.clone(), found(&key, needs, &answers, &rendered)))
        .collect();
    match args.output {
        Output::Text => write_text(out, &findings, &problems, elsewhere, args.all)?,
        output => write_data(out, output, &data(&findings, &problems))?,
    }
    Ok(exit(&findings, &problems, args.strict))
}

fn needs_of(service: &Service, config: &Config, args: &VerifyArgs) -> (ServiceKey, Vec<Need>) {
    let mut needs = needs(service);
    needs.retain(|need| args.is_wanted(need.check, &config.verify.skip));
    (service.key.clone(), needs)
}

/// Without a question AWS is not even connected to.
async fn answers(config: &Config, asked: BTreeSet<Asked>) -> Result<Answers, CommandError> {
    if asked.is_empty() {
        return Ok(Answers::new());
    }
    let cloud = connect(config, &Registry::new()).await?;
    let verifier = Verifier::new(OfCloud(Arc::new(cloud)));
    let verifier = verifier.map_err(OutsideError::Certificates).map_err(StartError::from)?;
    Ok(verifier.answers(asked).await)
}

fn found(
    key: &ServiceKey,
    needs: Vec<Need>,
    answers: &Answers,
    rendered: &[RenderedManifest],
) -> Vec<Finding> {
    let manifest = rendered.iter().find(|one| one.key.as_ref() == Some(key));
    let verified = judged(&needs, answers);
    let finding = |(need, verified): (Need, Verified)| {
        let place = manifest.and_then(|one| one.place(need.member, &need.text)).cloned();
        Finding { need, place, verified }
    };
    needs.into_iter().zip(verified).map(finding).collect()
}

fn exit(findings: &Findings, problems: &[Problem], strict: bool) -> Exit {
    let count = Count::of(findings.values().flatten());
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        Exit::Bad
    } else if count.failed > 0 || (strict && count.unchecked > 0) {
        Exit::Unverified
    } else {
        Exit::Done
    }
}

fn data(findings: &Findings, problems: &[Problem]) -> Value {
    let finding = |one: &Finding| {
        let place = one.place.as_ref().map(
            |at| json!({ "file": at.file, "line": at.line, "column": at.column, "path": at.path }),
        );
        json!({
            "check": one.need.check,
            "name": one.need.text,
            "outcome": one.verified.word(),
            "message": one.verified.sentence(),
            "place": place,
        })
    };
    let service = |(key, all): (&ServiceKey, &Vec<Finding>)| json!({ "key": key, "findings": all.iter().map(finding).collect::<Vec<_>>() });
    json!({ "services": findings.iter().map(service).collect::<Vec<_>>(), "problems": problems })
}

fn write_text(
    out: &mut dyn Write,
    findings: &Findings,
    problems: &[Problem],
    elsewhere: usize,
    all: bool,
) -> Result<(), CommandError> {
    for problem in problems {
        writeln!(out, "{}", line(problem))?;
    }
    for (key, findings) in findings {
        let count = Count::of(findings);
        let name = paint(style::TITLE, safe(&key.to_string()));
        writeln!(out, "{} {name}: {}", count.mark(), count.told())?;
        for finding in findings.iter().filter(|one| all || one.verified != Verified::Ok) {
            writeln!(out, "    {}", told(finding))?;
        }
    }
    let count = Count::of(findings.values().flatten());
    let summary = format!("{}: {}", counted(findings.len(), "service"), count.told());
    let others = (elsewhere > 0).then(|| format!(", {elsewhere} of another target"));
    Ok(writeln!(out, "{summary}{}", others.unwrap_or_default())?)
}

/// How many things were looked at, and how it went.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    all: usize,
    failed: usize,
    unchecked: usize,
}

impl Count {
    fn of<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Self {
        findings.into_iter().fold(Self::default(), |mut count, one| {
            count.all += 1;
            match one.verified {
                Verified::Ok => {}
                Verified::Failed(_) => count.failed += 1,
                Verified::Forbidden(_) | Verified::Unknown(_) => count.unchecked += 1,
            }
            count
        })
    }

    fn mark(self) -> String {
        match (self.failed, self.unchecked) {
            (0, 0) => "=".to_owned(),
            (0, _) => paint(style::CAREFUL, "?"),
            _ => paint(style::BAD, "!"),
        }
    }

    fn told(self) -> String {
        let mut parts = vec![format!("{} checked", self.all - self.unchecked)];
        parts.extend((self.failed > 0).then(|| format!("{} failed", self.failed)));
        parts.extend((self.unchecked > 0).then(|| format!("{} not checked", self.unchecked)));
        parts.join(", ")
    }
}

/// `file:line:column: check name: sentence`.
fn told(finding: &Finding) -> String {
    let colour = match &finding.verified {
        Verified::Ok => style::GOOD,
        Verified::Failed(_) => style::BAD,
        Verified::Forbidden(_) | Verified::Unknown(_) => style::CAREFUL,
    };
    let place = finding.place.as_ref().map(|at| {
        let place = format!("{}:{}:{}:", at.file, at.line, at.column);
        format!("{} ", paint(colour, safe(&place)))
    });
    let sentence = finding.verified.sentence().unwrap_or("ok");
    let (check, name) = (finding.need.check.word(), safe(&finding.need.text));
    format!("{}{check} {name}: {}", place.unwrap_or_default(), safe(sentence))
}
