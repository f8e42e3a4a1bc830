//! `evenkeel import`: manifests of services that exist, planned before they are handed over; never writes to AWS and
//! never over a file.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use evenkeel_aws::{AwsCloud, Described};
use evenkeel_manifest::{File, Service, ServiceKey, Shown, import as manifest_of, load};
use evenkeel_planner::Change;
use prometheus::Registry;
use serde_json::Value;

use super::look::look;
use super::plan::change_line;
use super::validate::{counted, line};
use super::write_data;
use crate::args::{ImportArgs, Output};
use crate::cli::{CommandError, Exit};
use crate::config::Config;
use crate::daemon::connect;
use crate::style::{self, paint, safe};

/// A service and its manifest.
struct Imported {
    service: Service,
    /// As YAML.
    text: String,
    /// What is odd about it and was so before.
    warnings: Vec<String>,
}

pub(crate) async fn import(
    config: Config,
    args: ImportArgs,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let cloud = Arc::new(connect(&config, &Registry::new()).await?);
    let failed = |error: evenkeel_reconciler::CloudError| {
        CommandError::Sentence(format!("the services of {} are not known: {error}", args.cluster))
    };
    let names = match args.services.as_slice() {
        [] => cloud.services_of(&args.cluster).await.map_err(failed)?,
        names => names.to_vec(),
    };
    let mut told = anstream::stderr();
    let (mut imported, mut refused) = (BTreeMap::new(), 0);
    for name in &names {
        match one(&cloud, &config, &args, name).await {
            Ok(one) => drop(imported.insert(one.service.key.clone(), one)),
            Err(why) => {
                refused += 1;
                let mark = paint(style::BAD, "!");
                writeln!(told, "{mark} {}: not imported: {}", safe(name), safe(&why))?;
            }
        }
    }
    let services = imported.values().map(|one| one.service.clone()).collect();
    let reports = look(cloud, services, &config).await?;
    let mut changing = 0;
    for (key, one) in &imported {
        let report = reports.get(key);
        let fault = report.and_then(|report| report.error.as_ref()).map(ToString::to_string);
        let changes = report.map(|report| report.changes.as_slice()).unwrap_or_default();
        changing += usize::from(!changes.is_empty());
        refused += usize::from(fault.is_some());
        tell(&mut told, one, changes, fault.as_deref())?;
        if let Err(why) = hand_over(out, &args, key, one) {
            refused += 1;
            writeln!(told, "    {} {why}", paint(style::BAD, "!"))?;
        }
    }
    let count = counted(imported.len(), "service");
    writeln!(told, "{count} imported, {changing} with differences, {refused} not as asked")?;
    Ok(match (refused, changing) {
        (0, 0) => Exit::Done,
        (0, _) => Exit::Changes,
        _ => Exit::Bad,
    })
}

/// What cannot be imported is told in words.
async fn one(
    cloud: &AwsCloud,
    config: &Config,
    args: &ImportArgs,
    name: &str,
) -> Result<Imported, String> {
    let described = cloud.describe(&args.cluster, name).await.map_err(|error| error.to_string())?;
    let Described { service, task_definition } =
        described.ok_or("the cluster has no such service")?;
    let task_definition = task_definition.ok_or("AWS names no task definition of it")?;
    let shown =
        Shown { cluster: &args.cluster, service: &service, task_definition: &task_definition };
    let mut manifest = manifest_of(&shown).map_err(|error| error.to_string())?;
    adapt(&mut manifest, config, args);
    let mut text = Vec::new();
    write_data(&mut text, Output::Yaml, &manifest).map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let set = load(&[File { name: format!("{name}.yaml").into(), text: text.clone() }]);
    let warnings: Vec<String> = set.problems.iter().map(line).collect();
    let service = set.services.into_iter().next();
    let service = service.ok_or_else(|| format!("no valid manifest: {}", warnings.join("; ")))?;
    Ok(Imported { service, text, warnings })
}

fn adapt(manifest: &mut Value, config: &Config, args: &ImportArgs) {
    let Some(spec) = manifest.get_mut("spec").and_then(Value::as_object_mut) else { return };
    if config.target != "default" {
        spec.insert("target".to_owned(), config.target.as_str().into());
    }
    let service = spec.get_mut("service").and_then(Value::as_object_mut);
    if let Some(service) = service.filter(|_| args.without_count) {
        service.remove("desiredCount");
    }
}

fn tell(
    told: &mut dyn Write,
    one: &Imported,
    changes: &[Change],
    fault: Option<&str>,
) -> Result<(), CommandError> {
    let name = safe(&one.service.key.to_string()).into_owned();
    if let Some(fault) = fault {
        let mark = paint(style::BAD, "!");
        return Ok(writeln!(told, "{mark} {name}: could not be planned: {}", safe(fault))?);
    }
    let (mark, what) = match changes {
        [] => ("=".to_owned(), "its manifest changes nothing".to_owned()),
        _ => (
            paint(style::CAREFUL, "~"),
            format!("its manifest changes {}:", counted(changes.len(), "field")),
        ),
    };
    writeln!(told, "{mark} {}: {what}", paint(style::TITLE, name))?;
    for change in changes {
        writeln!(told, "    {}", change_line(change))?;
    }
    for warning in &one.warnings {
        writeln!(told, "    {warning}")?;
    }
    if let Some(unseen) = unseen(&one.service) {
        writeln!(told, "    {unseen}")?;
    }
    Ok(())
}

/// What is no part of a service, and may be lost unless somebody writes it into the manifest.
fn unseen(service: &Service) -> Option<&'static str> {
    service.rollout.strategy.code_deploy().map(|_| {
        "note: the application, the deployment group and the hooks of the AppSpec are CodeDeploy's, and not looked at: unless \
         they are named in spec.rollout.codeDeploy, the names are those that the AWS console gives, and no hook is called"
    })
}

fn hand_over(
    out: &mut dyn Write,
    args: &ImportArgs,
    key: &ServiceKey,
    one: &Imported,
) -> Result<(), CommandError> {
    let Some(directory) = &args.directory else {
        return Ok(write!(out, "---\n{}", one.text)?);
    };
    let path = directory.join(&key.cluster).join(format!("{}.yaml", key.name));
    let failed = |why| CommandError::Sentence(format!("{} {why}", path.display()));
    write_new(&path, &one.text).map_err(failed)
}

fn write_new(path: &Path, text: &str) -> Result<(), String> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => "exists already and is left alone".to_owned(),
        _ => format!("cannot be written: {error}"),
    };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(rollout: &str) -> String {
        let balancers = "[{targetGroupArn: \"arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/blue/0123456789abcdef\", \
                         containerName: web, containerPort: 80}]";
        let text = format!(
            "apiVersion: evenkeel.dev/v1\nkind: Service\nmetadata: {{name: web}}\nspec:\n  cluster: prod\n  rollout: {rollout}\n  \
             service: {{desiredCount: 1, loadBalancers: {balancers}}}\n  taskDefinition:\n    containerDefinitions: [{{name: web, \
             image: \"web:1\", memory: 64, portMappings: [{{containerPort: 80}}]}}]\n"
        );
        let mut set = load(&[File { name: "web.yaml".into(), text: text.clone() }]);
        let one = Imported { service: set.services.remove(0), text, warnings: Vec::new() };
        let mut told = Vec::new();
        tell(&mut told, &one, &[], None).unwrap();
        String::from_utf8(told).unwrap()
    }

    #[test]
    fn hooks_that_are_not_seen_are_told_of_where_code_deploy_deploys() {
        let hooks = "the hooks of the AppSpec";
        assert!(told("{strategy: CodeDeploy}").contains(hooks));
        assert!(!told("{strategy: Rolling}").contains(hooks));
    }

    #[test]
    fn a_file_that_exists_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("prod/web.yaml");
        write_new(&path, "first").unwrap();
        assert_eq!(write_new(&path, "second").unwrap_err(), "exists already and is left alone");
        assert_eq!(std::fs::read_to_string(path).unwrap(), "first");
    }
}
