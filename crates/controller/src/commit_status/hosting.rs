//! How git hosting is told of a commit; never anything but one status of one commit.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::standing::{Standing, State};
use crate::config::{CommitStatusConfig, HostingKind};

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Request {
    pub(super) url: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Value,
}

/// GitHub takes 140 characters (REST API, "Create a commit status"), GitLab 255.
const DESCRIPTION_MAX: usize = 140;

/// `context` tells the statuses of several daemons and sources of one commit apart.
pub(super) fn request(
    config: &CommitStatusConfig,
    token: &str,
    context: &str,
    commit: &str,
    standing: &Standing,
) -> Request {
    let CommitStatusConfig { url, repository, link, .. } = config;
    let description = shortened(&standing.sentence);
    let mut headers = vec![
        ("content-type", "application/json".to_owned()),
        ("user-agent", "evenkeel".to_owned()),
    ];
    let (url, mut body) = match config.kind {
        HostingKind::Github => {
            headers.push(("authorization", format!("Bearer {token}")));
            headers.push(("accept", "application/vnd.github+json".to_owned()));
            let body = json!({
                "state": word(standing.state), "context": context, "description": description,
            });
            (format!("{url}/repos/{repository}/statuses/{commit}"), body)
        }
        HostingKind::Gitlab => {
            headers.push(("private-token", token.to_owned()));
            let project = repository.replace('/', "%2F");
            let state = word_of_gitlab(standing.state);
            let body = json!({"state": state, "name": context, "description": description});
            (format!("{url}/projects/{project}/statuses/{commit}"), body)
        }
        HostingKind::Webhook => {
            headers.push(("authorization", format!("Bearer {token}")));
            let body = json!({
                "commit": commit, "state": word(standing.state), "context": context,
                "description": standing.sentence,
            });
            (url.clone(), body)
        }
    };
    if let (Some(link), Some(members)) = (link, body.as_object_mut()) {
        members.insert("target_url".to_owned(), json!(link));
    }
    Request { url, headers, body }
}

/// Whether GitLab refuses a state because the commit has it: `pending` after `pending` is no change to it,
/// whatever the description ("Cannot transition status via :enqueue from :pending").
pub(super) fn has_it_already(
    kind: HostingKind,
    status: StatusCode,
    answer: &[u8],
    state: State,
) -> bool {
    let answer = String::from_utf8_lossy(answer);
    let words = format!(" from :{} ", word_of_gitlab(state));
    kind == HostingKind::Gitlab
        && status == StatusCode::BAD_REQUEST
        && answer.contains("Cannot transition status")
        && answer.contains(&words)
}

/// Whether GitHub has the 1000 statuses of one commit under one context that it takes: "Attempts to create more than
/// 1000 statuses will result in a validation error"
/// (<https://docs.github.com/en/rest/commits/statuses#create-a-commit-status>), in the words "This SHA and context has
/// reached the maximum number of statuses."
pub(super) fn takes_no_more(kind: HostingKind, status: StatusCode, answer: &[u8]) -> bool {
    kind == HostingKind::Github
        && status == StatusCode::UNPROCESSABLE_ENTITY
        && String::from_utf8_lossy(answer).contains("reached the maximum number of statuses")
}

fn word_of_gitlab(state: State) -> &'static str {
    match state {
        State::Failure => "failed",
        state => word(state),
    }
}

fn word(state: State) -> &'static str {
    match state {
        State::Success => "success",
        State::Pending => "pending",
        State::Failure => "failure",
    }
}

fn shortened(sentence: &str) -> String {
    if sentence.chars().count() <= DESCRIPTION_MAX {
        return sentence.to_owned();
    }
    sentence.chars().take(DESCRIPTION_MAX - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(kind: HostingKind) -> CommitStatusConfig {
        CommitStatusConfig {
            kind,
            url: "https://host".to_owned(),
            repository: "team/shop".to_owned(),
            link: Some("https://evenkeel.example".to_owned()),
            token: None,
        }
    }

    #[test]
    fn each_hosting_is_told_in_its_own_words() {
        let bad = Standing { state: State::Failure, sentence: "prod/web: was rejected".to_owned() };
        let told = |kind| request(&config(kind), "hunter2", "evenkeel/shop", "abc", &bad);
        let github = told(HostingKind::Github);
        assert_eq!(github.url, "https://host/repos/team/shop/statuses/abc");
        assert_eq!(
            github.body,
            json!({
                "state": "failure", "context": "evenkeel/shop", "description": "prod/web: was rejected",
                "target_url": "https://evenkeel.example",
            })
        );
        assert!(github.headers.contains(&("authorization", "Bearer hunter2".to_owned())));
        let gitlab = told(HostingKind::Gitlab);
        assert_eq!(gitlab.url, "https://host/projects/team%2Fshop/statuses/abc");
        assert_eq!(
            (&gitlab.body["state"], &gitlab.body["name"]),
            (&json!("failed"), &json!("evenkeel/shop"))
        );
        assert!(gitlab.headers.contains(&("private-token", "hunter2".to_owned())));
        let other = told(HostingKind::Webhook);
        assert_eq!((other.url.as_str(), &other.body["commit"]), ("https://host", &json!("abc")));
    }

    #[test]
    fn a_description_is_as_long_as_hosting_takes() {
        let long = Standing { state: State::Pending, sentence: "ü".repeat(500) };
        let told = request(&config(HostingKind::Github), "t", "c", "abc", &long);
        let description = told.body["description"].as_str().unwrap();
        assert_eq!(description.chars().count(), 140);
        assert!(description.ends_with('…'));
    }
}
