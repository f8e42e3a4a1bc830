//! The functions that CodeDeploy asks during a deployment whether it may go on; never what they find.
//!
//! Source: AWS CodeDeploy User Guide, AppSpec hooks for ECS; Lambda API reference, `FunctionName` of Invoke and `Name` of
//! `CreateAlias`.

use schemars::JsonSchema;
use serde::Serialize;

use crate::envelope::known_members;
use crate::node::{Cursor, Kind};
use crate::problem::Report;

/// AWS Lambda functions, each by its name (also with a version or an alias) or its ARN, by the lifecycle event at which
/// CodeDeploy calls it and waits up to an hour for its answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
#[schemars(default, deny_unknown_fields)]
pub struct Hooks {
    /// Before the new task set is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = FUNCTION))]
    pub before_install: Option<String>,
    /// When the new task set stands, before any traffic.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = FUNCTION))]
    pub after_install: Option<String>,
    /// When test traffic goes to the new task set; the deployment group needs a test listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = FUNCTION))]
    pub after_allow_test_traffic: Option<String>,
    /// Before production traffic moves.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = FUNCTION))]
    pub before_allow_traffic: Option<String>,
    /// When all production traffic has moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = FUNCTION))]
    pub after_allow_traffic: Option<String>,
}

/// The lifecycle events at which a function may be called, in CodeDeploy's order.
const EVENTS: [&str; 5] = [
    "BeforeInstall",
    "AfterInstall",
    "AfterAllowTestTraffic",
    "BeforeAllowTraffic",
    "AfterAllowTraffic",
];

/// What [`is_function`] takes, for editors.
const FUNCTION: &str = "^((arn:aws[a-zA-Z-]*:lambda:[a-z0-9-]+:)?[0-9]{12}:function:)?[a-zA-Z0-9_-]{1,64}(:(\\$LATEST|[a-zA-Z0-9_-]{1,128}))?$";

impl Hooks {
    /// The lifecycle events that have a function, by CodeDeploy's name and in its order, each with its function.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let functions = [
            &self.before_install,
            &self.after_install,
            &self.after_allow_test_traffic,
            &self.before_allow_traffic,
            &self.after_allow_traffic,
        ];
        let named = EVENTS.into_iter().zip(functions);
        named.filter_map(|(event, function)| Some((event, function.as_deref()?)))
    }

    pub fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }
}

/// Reads `spec.rollout.codeDeploy.hooks`.
pub(super) fn hooks(at: &Cursor<'_>, report: &mut Report) -> Hooks {
    known_members(at, &EVENTS, |_| false, report);
    for (event, at) in at.members().filter(|(_, at)| matches!(at.node.kind, Kind::Null)) {
        if EVENTS.contains(&event) {
            report.error(&at, "expected a function: remove the event if none is to be called");
        }
    }
    let mut function = |event: &str| at.member(event).and_then(|at| named_function(&at, report));
    Hooks {
        before_install: function("BeforeInstall"),
        after_install: function("AfterInstall"),
        after_allow_test_traffic: function("AfterAllowTestTraffic"),
        before_allow_traffic: function("BeforeAllowTraffic"),
        after_allow_traffic: function("AfterAllowTraffic"),
    }
}

fn named_function(at: &Cursor<'_>, report: &mut Report) -> Option<String> {
    let function = at.text().filter(|text| is_function(text));
    if function.is_none() {
        report.error(
            at,
            "expected the name of a Lambda function (1 to 64 letters, digits, `-` and `_`), perhaps with `:` and a version \
             or an alias, or its ARN",
        );
    }
    function.map(str::to_owned)
}

/// `smoke-test`, `smoke-test:live`, `123456789012:function:smoke-test`, or a whole ARN.
fn is_function(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        ["arn", partition, "lambda", region, account, "function", function @ ..] => {
            partition.starts_with("aws")
                && is_word(partition, 32)
                && is_word(region, 32)
                && is_account(account)
                && is_qualified(function)
        }
        [account, "function", function @ ..] => is_account(account) && is_qualified(function),
        function => is_qualified(function),
    }
}

/// A name, perhaps with a version or an alias.
fn is_qualified(parts: &[&str]) -> bool {
    match parts {
        [name] => is_word(name, 64),
        [name, qualifier] => {
            is_word(name, 64) && (*qualifier == "$LATEST" || is_word(qualifier, 128))
        }
        _ => false,
    }
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_word(text: &str, most: usize) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=most).contains(&text.len()) && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_a_name_or_an_arn_and_may_have_a_version() {
        let long = "f".repeat(64);
        for function in [
            "smoke-test",
            "Smoke_Test:live",
            "smoke:$LATEST",
            "123456789012:function:smoke",
            "arn:aws:lambda:eu-west-1:123456789012:function:smoke",
            "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:smoke:7",
            long.as_str(),
        ] {
            assert!(is_function(function), "{function}");
        }
    }

    #[test]
    fn what_lambda_would_not_know_is_no_function() {
        let long = "f".repeat(65);
        for function in [
            "",
            "smoke test",
            "smoke.sh",
            "smoke:",
            ":live",
            "smoke:live:now",
            "arn:aws:lambda:eu-west-1:123456789012:smoke",
            "arn:aws:lambda:eu-west-1:1234:function:smoke",
            "arn:aws:iam::123456789012:role/smoke",
            "12345:function:smoke",
            "smöke",
            long.as_str(),
        ] {
            assert!(!is_function(function), "{function}");
        }
    }

    #[test]
    fn events_come_in_code_deploy_s_order() {
        let hooks = Hooks {
            after_allow_traffic: Some("last".to_owned()),
            before_install: Some("first".to_owned()),
            ..Hooks::default()
        };
        let all: Vec<_> = hooks.all().collect();
        assert_eq!(all, [("BeforeInstall", "first"), ("AfterAllowTraffic", "last")]);
        assert!(!hooks.is_empty() && Hooks::default().is_empty());
    }
}
