//! Whether a trust policy lets a service assume the role; never evaluates a condition.

use serde_json::Value;

/// What a trust policy says about one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    Allowed,
    /// A statement denies it, whatever others allow.
    Denied,
    /// No statement allows it; the services that it does trust.
    NotAllowed(Vec<String>),
    /// It is no policy.
    Unreadable,
}

const ASSUME_ROLE: &str = "sts:AssumeRole";

/// What `policy`, as JSON, says about `principal`. A condition on a permission is taken as met and one on a denial as
/// not met: what is asked then (accounts, ARNs of tasks) is not known before there are tasks.
pub(super) fn trust(policy: &str, principal: &str) -> Trust {
    let Ok(policy) = serde_json::from_str::<Value>(policy) else { return Trust::Unreadable };
    let Some(statements) = policy.get("Statement") else { return Trust::Unreadable };
    let about = || one_or_many(statements).filter(|one| names(one, principal) && assumes(one));
    let has_effect = |one: &&Value, effect: &str| one.get("Effect").is_some_and(|e| e == effect);
    let is_sure = |one: &Value| one.get("Condition").is_none();
    if about().any(|one| has_effect(&one, "Deny") && is_sure(one)) {
        return Trust::Denied;
    }
    if about().any(|one| has_effect(&one, "Allow")) {
        return Trust::Allowed;
    }
    let allowing = one_or_many(statements).filter(|one| has_effect(one, "Allow"));
    Trust::NotAllowed(allowing.flat_map(services).map(str::to_owned).collect())
}

/// A list, or what stands for a list of one.
fn one_or_many(value: &Value) -> impl Iterator<Item = &Value> {
    let (many, one) = match value {
        Value::Array(many) => (many.as_slice(), None),
        one => ([].as_slice(), Some(one)),
    };
    many.iter().chain(one)
}

fn names(statement: &Value, principal: &str) -> bool {
    if let Some(others) = statement.get("NotPrincipal") {
        return !services_in(others).any(|service| service == principal);
    }
    let is_everybody = |value: &Value| one_or_many(value).any(|one| one == "*");
    let named = statement.get("Principal");
    named.is_some_and(|named| {
        is_everybody(named)
            || named.get("AWS").is_some_and(is_everybody)
            || services_in(named).any(|service| service == principal)
    })
}

fn services(statement: &Value) -> impl Iterator<Item = &str> {
    statement.get("Principal").into_iter().flat_map(services_in)
}

fn services_in(principal: &Value) -> impl Iterator<Item = &str> {
    principal.get("Service").into_iter().flat_map(one_or_many).filter_map(Value::as_str)
}

fn assumes(statement: &Value) -> bool {
    let listed = |name: &str| {
        let list = statement.get(name)?;
        Some(one_or_many(list).filter_map(Value::as_str).any(|action| fits(action, ASSUME_ROLE)))
    };
    listed("Action").or_else(|| listed("NotAction").map(|is_listed| !is_listed)).unwrap_or_default()
}

/// Whether an action with `*` and `?` in it means this one; actions know no case.
fn fits(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_lowercase().into_bytes(), action.to_lowercase());
    // For each beginning of the pattern, which beginnings of the action it fits.
    let bytes = action.as_bytes();
    let mut fitting: Vec<bool> = (0..=bytes.len()).map(|length| length == 0).collect();
    for symbol in pattern {
        fitting = advanced(&fitting, symbol, bytes);
    }
    fitting.last().copied().unwrap_or_default()
}

fn advanced(fitting: &[bool], symbol: u8, action: &[u8]) -> Vec<bool> {
    if symbol == b'*' {
        let first = fitting.iter().position(|fits| *fits).unwrap_or(fitting.len());
        return (0..fitting.len()).map(|length| length >= first).collect();
    }
    let next = fitting.iter().zip(action);
    let next = next.map(|(fits, byte)| *fits && (symbol == b'?' || symbol == *byte));
    std::iter::once(false).chain(next).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TASKS: &str = "ecs-tasks.amazonaws.com";

    fn of(statements: &Value) -> Trust {
        let policy = json!({"Version": "2012-10-17", "Statement": statements});
        trust(&policy.to_string(), TASKS)
    }

    fn allow(principal: &Value, action: &Value) -> Value {
        json!({"Effect": "Allow", "Principal": principal, "Action": action})
    }

    #[test]
    fn one_statement_and_one_service_need_no_lists() {
        let service = json!({"Service": TASKS});
        assert_eq!(of(&allow(&service, &json!("sts:AssumeRole"))), Trust::Allowed);
        let services = json!({"Service": ["ec2.amazonaws.com", TASKS]});
        let actions = json!(["sts:TagSession", "sts:AssumeRole"]);
        assert_eq!(of(&json!([allow(&services, &actions)])), Trust::Allowed);
    }

    #[test]
    fn actions_may_have_wildcards_and_any_case() {
        let service = json!({"Service": TASKS});
        for action in ["*", "sts:*", "STS:assumerole", "sts:Assume*", "sts:AssumeRol?", "s*:*Role"]
        {
            assert_eq!(of(&allow(&service, &json!(action))), Trust::Allowed, "{action}");
        }
        for action in ["sts:TagSession", "sts:AssumeRoleWithSAML", "sts:?", "", "sts:Assume"] {
            let none = Trust::NotAllowed(vec![TASKS.to_owned()]);
            assert_eq!(of(&allow(&service, &json!(action))), none, "{action}");
        }
    }

    #[test]
    fn everybody_includes_the_service() {
        for principal in [json!("*"), json!({"AWS": "*"}), json!({"AWS": ["1", "*"]})] {
            assert_eq!(of(&allow(&principal, &json!("sts:AssumeRole"))), Trust::Allowed);
        }
    }

    #[test]
    fn whom_a_role_trusts_instead_is_told() {
        let lambda = allow(&json!({"Service": "lambda.amazonaws.com"}), &json!("sts:AssumeRole"));
        let person = allow(&json!({"AWS": "arn:aws:iam::1:root"}), &json!("sts:AssumeRole"));
        let instead = Trust::NotAllowed(vec!["lambda.amazonaws.com".to_owned()]);
        assert_eq!(of(&json!([lambda, person])), instead);
    }

    #[test]
    fn a_denial_outweighs_permissions_unless_it_has_a_condition() {
        let allowed = allow(&json!({"Service": TASKS}), &json!("sts:AssumeRole"));
        let mut denied = json!({"Effect": "Deny", "Principal": "*", "Action": "sts:*"});
        assert_eq!(of(&json!([allowed, denied])), Trust::Denied);
        denied["Condition"] = json!({"StringNotEquals": {"aws:SourceAccount": "1"}});
        assert_eq!(of(&json!([allowed, denied])), Trust::Allowed);
    }

    #[test]
    fn a_permission_with_a_condition_is_one() {
        let mut allowed = allow(&json!({"Service": TASKS}), &json!("sts:AssumeRole"));
        allowed["Condition"] = json!({"ArnLike": {"aws:SourceArn": "arn:aws:ecs:*:1:*"}});
        assert_eq!(of(&json!([allowed])), Trust::Allowed);
    }

    #[test]
    fn what_is_excluded_is_not_meant() {
        let not_principal =
            json!({"Effect": "Deny", "NotPrincipal": {"Service": TASKS}, "Action": "*"});
        let allowed = allow(&json!({"Service": TASKS}), &json!("sts:AssumeRole"));
        assert_eq!(of(&json!([allowed, not_principal])), Trust::Allowed);
        let not_action = json!({"Effect": "Allow", "Principal": {"Service": TASKS}, "NotAction": "sts:TagSession"});
        assert_eq!(of(&json!([not_action])), Trust::Allowed);
    }

    #[test]
    fn what_is_no_policy_is_told() {
        assert_eq!(trust("<html>", TASKS), Trust::Unreadable);
        assert_eq!(trust("{}", TASKS), Trust::Unreadable);
    }
}
