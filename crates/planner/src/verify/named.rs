//! What the name of a secret, a role or a function says; never more than its text.

/// An ARN cut at its colons: `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE...`.
pub(super) struct Arn<'a> {
    pub(super) service: &'a str,
    pub(super) region: &'a str,
    pub(super) account: &'a str,
    pub(super) resource: &'a str,
}

impl<'a> Arn<'a> {
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        let (scheme, _partition) = (parts.next()?, parts.next()?);
        let arn = Self {
            service: parts.next()?,
            region: parts.next()?,
            account: parts.next()?,
            resource: parts.next()?,
        };
        (scheme == "arn").then_some(arn)
    }
}

/// What `valueFrom` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// Of Secrets Manager: the ARN or name, and the parts that ECS reads behind it.
    Secret { id: &'a str, stage: Option<&'a str>, version: Option<&'a str> },
    /// Of Systems Manager: region and account are those of an ARN.
    Parameter { name: &'a str, region: Option<&'a str>, account: Option<&'a str> },
}

impl<'a> Value<'a> {
    /// Source: Amazon ECS Developer Guide, secrets: the ARN of a secret may be followed by `:KEY:STAGE:VERSION`, each
    /// of which may be empty; of a parameter in the same region the name is enough.
    pub(super) fn parse(text: &'a str) -> Self {
        match Arn::parse(text) {
            Some(arn) if arn.service == "secretsmanager" => Self::secret(text),
            Some(arn) if arn.service == "ssm" => Self::parameter(&arn),
            _ => Self::Parameter { name: text, region: None, account: None },
        }
    }

    /// `arn:P:secretsmanager:R:A:secret:NAME`, and what is behind its seven parts.
    pub(super) fn secret(text: &'a str) -> Self {
        let end = text.match_indices(':').nth(6).map_or(text.len(), |(at, _)| at);
        let (id, behind) = text.split_at_checked(end).unwrap_or((text, ""));
        let mut parts = behind.split(':').skip(2).map(|part| Some(part).filter(|p| !p.is_empty()));
        let (stage, version) = (parts.next().flatten(), parts.next().flatten());
        Self::Secret { id, stage, version }
    }

    fn parameter(arn: &Arn<'a>) -> Self {
        let name = arn.resource.strip_prefix("parameter/").unwrap_or(arn.resource);
        // A version or a label may follow.
        let name = name.split(':').next().unwrap_or(name);
        Self::Parameter { name, region: Some(arn.region), account: Some(arn.account) }
    }
}

/// The name in the name or ARN of a role, without the path, as `GetRole` takes it.
pub(super) fn role_name(text: &str) -> &str {
    text.rsplit('/').next().unwrap_or(text)
}

/// The name or ARN of a function without version or alias, and the region of an ARN.
pub(super) fn function(text: &str) -> (String, Option<&str>) {
    let region = Arn::parse(text).map(|arn| arn.region);
    let parts: Vec<&str> = text.split(':').collect();
    // The name stands behind `function`, or first.
    let name = parts.iter().position(|part| *part == "function" && parts.len() > 2);
    let named = parts.into_iter().take(name.map_or(1, |at| at + 2));
    (named.collect::<Vec<_>>().join(":"), region)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:1:secret:db/main-AbCdEf";

    #[test]
    fn a_secret_may_be_followed_by_a_key_a_stage_and_a_version() {
        let secret = |stage, version| Value::Secret { id: SECRET, stage, version };
        assert_eq!(Value::parse(SECRET), secret(None, None));
        for (behind, stage, version) in [
            (":password::", None, None),
            (":password:AWSPREVIOUS:", Some("AWSPREVIOUS"), None),
            ("::AWSPREVIOUS:", Some("AWSPREVIOUS"), None),
            (":::9d4c", None, Some("9d4c")),
        ] {
            assert_eq!(Value::parse(&format!("{SECRET}{behind}")), secret(stage, version));
        }
    }

    #[test]
    fn a_parameter_is_named_by_its_arn_or_alone() {
        let arn = "arn:aws:ssm:eu-west-1:12:parameter/shop/db:3";
        let (region, account) = (Some("eu-west-1"), Some("12"));
        assert_eq!(Value::parse(arn), Value::Parameter { name: "shop/db", region, account });
        for name in ["/shop/db", "db"] {
            let alone = Value::Parameter { name, region: None, account: None };
            assert_eq!(Value::parse(name), alone);
        }
    }

    #[test]
    fn a_function_is_asked_for_without_version_or_alias() {
        let arn = "arn:aws:lambda:eu-west-1:123456789012:function:smoke";
        for (text, id, region) in [
            ("smoke", "smoke", None),
            ("smoke:live", "smoke", None),
            ("function", "function", None),
            ("function:live", "function", None),
            ("123456789012:function:smoke:7", "123456789012:function:smoke", None),
            (arn, arn, Some("eu-west-1")),
            ("arn:aws:lambda:eu-west-1:123456789012:function:smoke:live", arn, Some("eu-west-1")),
        ] {
            assert_eq!(function(text), (id.to_owned(), region), "{text}");
        }
    }

    #[test]
    fn a_role_is_asked_for_without_its_path() {
        for text in ["web", "arn:aws:iam::1:role/web", "arn:aws:iam::1:role/shop/eu/web"] {
            assert_eq!(role_name(text), "web");
        }
    }
}
