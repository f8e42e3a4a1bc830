//! Plain environment values that look like secrets; never shows one.

use crate::node::Cursor;
use crate::problem::Report;

const ADVICE: &str = "anyone who may describe the task can read it; keep it in Secrets Manager or \
                      Parameter Store and name it under `secrets`";

/// Beginnings of access keys and tokens: AWS, GitHub, GitLab, Slack, Stripe.
const PREFIXES: [&str; 9] =
    ["AKIA", "ASIA", "ghp_", "gho_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "sk_live_"];

const NAMES: [&str; 7] =
    ["PASSWORD", "PASSWD", "SECRET", "TOKEN", "API_KEY", "PRIVATE_KEY", "SECRET_ACCESS_KEY"];

pub(super) fn check(task_definition: &Cursor<'_>, report: &mut Report) {
    for container in task_definition.elements_of("containerDefinitions") {
        for variable in container.elements_of("environment") {
            let Some(at) = variable.member("value") else { continue };
            let Some(value) = at.text().filter(|value| !value.is_empty()) else { continue };
            let name = variable.text_of("name").unwrap_or_default();
            if looks_secret(value) {
                report.warning(&at, format!("this value looks like a secret: {ADVICE}"));
            } else if names_secret(name) {
                report
                    .warning(&at, format!("the value of `{name}` seems to be a secret: {ADVICE}"));
            }
        }
    }
}

fn looks_secret(value: &str) -> bool {
    let word = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    let token = PREFIXES.iter().any(|prefix| {
        value.strip_prefix(prefix).is_some_and(|rest| rest.len() >= 16 && word(rest))
    });
    token || (value.contains("-----BEGIN ") && value.contains("PRIVATE KEY-----"))
}

/// `DB_PASSWORD` and `PASSWORD`, not `PASSWORD_FILE` or `TOKEN_TTL`.
fn names_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    NAMES.iter().any(|ending| {
        name.strip_suffix(ending).is_some_and(|rest| rest.is_empty() || rest.ends_with('_'))
    })
}
