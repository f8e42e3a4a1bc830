//! Where it is told how a commit fares; never holds a secret, only where it is.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Secret;

/// As it is written down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct RawCommitStatus {
    pub kind: HostingKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_env: Option<String>,
}

/// Whose API is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostingKind {
    #[default]
    Github,
    Gitlab,
    /// One JSON object with all of it, for anything else.
    Webhook,
}

/// Checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitStatusConfig {
    pub kind: HostingKind,
    /// Of the API, without a `/` at its end.
    pub url: String,
    /// `owner/name`, or the path of a project; empty for a web hook.
    pub repository: String,
    /// What people find behind the status.
    pub link: Option<String>,
    pub token: Option<Secret>,
}

impl CommitStatusConfig {
    /// With the members that are wrong, and what was expected.
    pub(super) fn read(raw: &RawCommitStatus) -> (Self, Vec<(&'static str, &'static str)>) {
        let mut wrong = Vec::new();
        let mut need = |holds: bool, member, expected| {
            if !holds {
                wrong.push((member, expected));
            }
        };
        let usual = match raw.kind {
            HostingKind::Github => "https://api.github.com",
            HostingKind::Gitlab => "https://gitlab.com/api/v4",
            HostingKind::Webhook => "",
        };
        let url = raw.url.as_deref().unwrap_or(usual).trim_end_matches('/');
        let is_web = |url: &str| {
            url.starts_with("https://")
                || url.starts_with("http://127.0.0.1:")
                || url.starts_with("http://localhost:")
        };
        need(is_web(url), "commitStatus.url", "a URL that begins with https://");
        let repository = raw.repository.as_deref().unwrap_or_default().trim_matches('/');
        let parts = repository.split('/').filter(|part| is_part(part)).count();
        let is_path = parts >= 2 && parts == repository.split('/').count();
        let needs_one = raw.kind != HostingKind::Webhook;
        need(is_path == needs_one, "commitStatus.repository", REPOSITORY);
        need(
            raw.token_file.is_some() != raw.token_env.is_some(),
            "commitStatus",
            "either tokenFile or tokenEnv",
        );
        let link = raw.link.clone();
        need(
            link.as_deref()
                .is_none_or(|link| link.starts_with("https://") || link.starts_with("http://")),
            "commitStatus.link",
            "a URL",
        );
        let token = Secret::of(raw.token_file.as_ref(), raw.token_env.as_ref());
        let (url, repository) = (url.to_owned(), repository.to_owned());
        (Self { kind: raw.kind, url, repository, link, token }, wrong)
    }
}

const REPOSITORY: &str = "OWNER/NAME (or the path of a GitLab project), and none for a web hook";

/// Nothing that would lead to another path of the API.
fn is_part(part: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    !part.is_empty() && part.chars().all(allowed) && part.chars().any(|c| c != '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(kind: HostingKind, repository: Option<&str>) -> RawCommitStatus {
        RawCommitStatus {
            kind,
            repository: repository.map(str::to_owned),
            token_env: Some("TOKEN".to_owned()),
            ..RawCommitStatus::default()
        }
    }

    #[test]
    fn a_repository_is_named_and_leads_nowhere_else() {
        for (kind, repository, right) in [
            (HostingKind::Github, Some("team/shop"), true),
            (HostingKind::Gitlab, Some("group/sub/shop"), true),
            (HostingKind::Github, Some("shop"), false),
            (HostingKind::Github, Some("team/../other"), false),
            (HostingKind::Github, Some("team/shop?x"), false),
            (HostingKind::Github, None, false),
        ] {
            let (_, wrong) = CommitStatusConfig::read(&raw(kind, repository));
            assert_eq!(wrong.is_empty(), right, "{repository:?}: {wrong:?}");
        }
    }

    #[test]
    fn tokens_are_sent_over_https_or_to_this_machine_alone() {
        for (url, right) in [
            ("https://git.example.com/api/v4/", true),
            ("http://127.0.0.1:8080", true),
            ("http://git.example.com", false),
        ] {
            let one = raw(HostingKind::Gitlab, Some("a/b"));
            let (read, wrong) =
                CommitStatusConfig::read(&RawCommitStatus { url: Some(url.to_owned()), ..one });
            assert_eq!(wrong.is_empty(), right, "{url}");
            assert!(!read.url.ends_with('/'));
        }
    }
}
