//! New weights for a listener rule, with all else that the rule does as it is; never for one that changed since it
//! was seen. And whether a rule still gives a group nothing.

use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, AuthenticateOidcActionConfig, ForwardActionConfig, TargetGroupTuple,
};
use evenkeel_planner::{Applied, Lane, Reweighing, Unused};
use evenkeel_reconciler::CloudError;

use crate::balancing;
use crate::caller::{Caller, Token};
use crate::operation::Operation;

/// The rule, and its listener when it is the default one.
pub(crate) struct Weighed<'a> {
    pub(crate) rule: &'a str,
    pub(crate) listener: Option<&'a str>,
    pub(crate) weights: &'a Reweighing,
}

impl Weighed<'_> {
    pub(crate) fn operation(&self) -> Operation {
        if self.listener.is_some() { Operation::ModifyListener } else { Operation::ModifyRule }
    }

    /// What the rule is to do, as it was read once more.
    pub(crate) async fn reweighed(
        &self,
        caller: &Caller,
        lane: Lane,
    ) -> Result<Vec<Action>, CloudError> {
        let operation = self.operation();
        self.with_other_weights(&read(caller, lane, operation, self.rule).await?)
    }

    pub(crate) async fn write(
        &self,
        caller: &Caller,
        token: Token,
        actions: Vec<Action>,
    ) -> Result<Applied, CloudError> {
        let elb = &caller.load_balancing;
        if let Some(listener) = self.listener {
            let request = elb.modify_listener().listener_arn(listener);
            let send = request.set_default_actions(Some(actions)).send();
            caller.write_with(token, send).await.map(drop)?;
        } else {
            let request = elb.modify_rule().rule_arn(self.rule);
            let send = request.set_actions(Some(actions)).send();
            caller.write_with(token, send).await.map(drop)?;
        }
        Ok(Applied::Done)
    }

    fn with_other_weights(&self, actions: &[Action]) -> Result<Vec<Action>, CloudError> {
        let seen: Vec<_> = actions.iter().flat_map(balancing::forwards).collect();
        if seen != self.weights.seen {
            return Err(self.conflict("WeightsChanged", "has other weights than it was seen with"));
        }
        let known = |action: &&Action| {
            let kind = action.r#type().map(ActionTypeEnum::as_str).unwrap_or_default();
            !ActionTypeEnum::values().contains(&kind)
        };
        if let Some(newer) = actions.iter().find(known) {
            let kind = newer.r#type().map(ActionTypeEnum::as_str).unwrap_or_default();
            let why = format!("has an action {kind}, which this version would not preserve");
            return Err(self.conflict("UnknownAction", &why));
        }
        Ok(actions.iter().map(|action| self.with_weights(action)).collect())
    }

    fn with_weights(&self, action: &Action) -> Action {
        let mut action = action.clone();
        if action.r#type() == Some(&ActionTypeEnum::Forward) {
            let groups = self.weights.wanted.iter().map(|(arn, weight)| {
                let weight = i32::try_from(*weight).unwrap_or(0);
                TargetGroupTuple::builder().target_group_arn(arn).weight(weight).build()
            });
            let stickiness = action
                .forward_config()
                .and_then(|config| config.target_group_stickiness_config().cloned());
            let config = ForwardActionConfig::builder()
                .set_target_groups(Some(groups.collect()))
                .set_target_group_stickiness_config(stickiness);
            action.forward_config = Some(config.build());
            // Of one group it is read back in both forms, and both may not differ.
            action.target_group_arn = None;
        }
        action.authenticate_oidc_config = action.authenticate_oidc_config.map(with_its_secret);
        action
    }

    fn conflict(&self, code: &str, why: &str) -> CloudError {
        conflict(self.operation(), self.rule, code, why)
    }
}

/// Reads a rule once more, and fails where it gives the group something: what stands in it serves users.
pub(crate) async fn is_unused(
    caller: &Caller,
    lane: Lane,
    operation: Operation,
    unused: &Unused,
) -> Result<(), CloudError> {
    let actions = read(caller, lane, operation, &unused.rule).await?;
    let mut forwards = actions.iter().flat_map(balancing::forwards);
    if forwards.any(|(group, weight)| group == unused.group && weight > 0) {
        let why = format!("forwards to {} again", unused.group);
        return Err(conflict(operation, &unused.rule, "WeightsChanged", &why));
    }
    Ok(())
}

async fn read(
    caller: &Caller,
    lane: Lane,
    operation: Operation,
    rule: &str,
) -> Result<Vec<Action>, CloudError> {
    let request = caller.load_balancing.describe_rules().rule_arns(rule);
    let reply = caller.read(Operation::DescribeRules, lane, request.send()).await?;
    let found = reply.rules().first().map(|rule| rule.actions().to_vec());
    found.ok_or_else(|| conflict(operation, rule, "RuleNotFound", "is gone"))
}

fn conflict(operation: Operation, rule: &str, code: &str, why: &str) -> CloudError {
    CloudError::Conflict {
        operation: operation.name().to_owned(),
        code: code.to_owned(),
        message: format!("the rule {rule} {why}: nothing was written"),
    }
}

/// AWS does not show the client's secret, and keeps it when told to.
fn with_its_secret(mut config: AuthenticateOidcActionConfig) -> AuthenticateOidcActionConfig {
    config.client_secret = None;
    config.use_existing_client_secret = Some(true);
    config
}

#[cfg(test)]
mod tests {
    use evenkeel_manifest::ServiceKey;
    use evenkeel_planner::Call;
    use evenkeel_reconciler::Cloud;

    use super::*;
    use crate::fake::{Fake, Reply, Request};

    fn pairs(pairs: &[(&str, u32)]) -> Vec<(String, u32)> {
        pairs.iter().map(|(arn, weight)| ((*arn).to_owned(), *weight)).collect()
    }

    fn reply(operation: &str, result: &str) -> Reply {
        let body = format!(
            "<{operation}Response xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/\">\
             <{operation}Result>{result}</{operation}Result>\
             <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></{operation}Response>"
        );
        Reply::Body { status: 200, headers: Vec::new(), body: body.into_bytes() }
    }

    /// A rule that logs in, and then forwards to both groups with sticky sessions.
    fn region(kind: &'static str) -> impl Fn(&Request) -> Reply {
        move |request| {
            let rule = format!(
                "<Rules><member><RuleArn>rule</RuleArn><Actions>\
                 <member><Type>{kind}</Type><Order>1</Order><AuthenticateOidcConfig>\
                 <Issuer>https://id.example</Issuer><ClientId>me</ClientId>\
                 <OnUnauthenticatedRequest>deny</OnUnauthenticatedRequest></AuthenticateOidcConfig></member>\
                 <member><Type>forward</Type><Order>2</Order><ForwardConfig><TargetGroups>\
                 <member><TargetGroupArn>blue</TargetGroupArn><Weight>100</Weight></member>\
                 <member><TargetGroupArn>green</TargetGroupArn><Weight>0</Weight></member></TargetGroups>\
                 <TargetGroupStickinessConfig><Enabled>true</Enabled><DurationSeconds>60</DurationSeconds>\
                 </TargetGroupStickinessConfig></ForwardConfig></member></Actions></member></Rules>"
            );
            match request.operation.as_str() {
                "DescribeRules" => reply("DescribeRules", &rule),
                other => reply(other, ""),
            }
        }
    }

    async fn apply(
        fake: &Fake,
        listener: Option<&str>,
        seen: &[(&str, u32)],
    ) -> Result<Applied, CloudError> {
        fake.cloud().apply(&ServiceKey::new("main", "web"), &reweighing(listener, seen)).await
    }

    fn reweighing(listener: Option<&str>, seen: &[(&str, u32)]) -> evenkeel_planner::Action {
        let weights =
            Reweighing { seen: pairs(seen), wanted: pairs(&[("blue", 900), ("green", 100)]) };
        let rule = "rule".to_owned();
        let call = match listener {
            Some(listener) => Call::ModifyListener { listener: listener.to_owned(), rule, weights },
            None => Call::ModifyRule { rule, weights },
        };
        let (lane, why) = (Lane::RolloutStep, "test".to_owned());
        evenkeel_planner::Action { call, lane, why }
    }

    const SEEN: [(&str, u32); 2] = [("blue", 100), ("green", 0)];

    #[tokio::test(start_paused = true)]
    async fn a_rule_keeps_its_login_and_its_stickiness_and_gets_new_weights() {
        let fake = Fake::new(region("authenticate-oidc"));
        assert_eq!(apply(&fake, None, &SEEN).await, Ok(Applied::Done));
        assert_eq!(fake.operations(), ["DescribeRules", "ModifyRule"]);
        let body = fake.requests().pop().unwrap().body;
        for part in [
            "RuleArn=rule",
            "Actions.member.1.Type=authenticate-oidc",
            "Actions.member.1.AuthenticateOidcConfig.Issuer=https%3A%2F%2Fid.example",
            "Actions.member.1.AuthenticateOidcConfig.UseExistingClientSecret=true",
            "Actions.member.2.ForwardConfig.TargetGroups.member.1.TargetGroupArn=blue",
            "Actions.member.2.ForwardConfig.TargetGroups.member.1.Weight=900",
            "Actions.member.2.ForwardConfig.TargetGroups.member.2.Weight=100",
            "TargetGroupStickinessConfig.DurationSeconds=60",
        ] {
            assert!(body.contains(part), "{part} is not in {body}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn leave_is_asked_for_after_the_rule_was_read_and_immediately_before_it_is_written() {
        let fake = Fake::new(region("authenticate-oidc"));
        let (key, action) = (ServiceKey::new("main", "web"), reweighing(None, &SEEN));
        let refuse = || {
            assert_eq!(fake.operations(), ["DescribeRules"]);
            false
        };
        assert_eq!(fake.cloud().apply_if(&key, &action, &refuse).await, None);
        assert_eq!(fake.operations(), ["DescribeRules"], "nothing is written without leave");
    }

    #[tokio::test(start_paused = true)]
    async fn a_default_rule_is_written_as_its_listener() {
        let fake = Fake::new(region("authenticate-oidc"));
        assert_eq!(apply(&fake, Some("listener"), &SEEN).await, Ok(Applied::Done));
        assert_eq!(fake.operations(), ["DescribeRules", "ModifyListener"]);
        let body = fake.requests().pop().unwrap().body;
        assert!(
            body.contains("ListenerArn=listener")
                && body.contains("DefaultActions.member.2.Type=forward")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_rule_that_somebody_changed_meanwhile_is_left_alone() {
        let fake = Fake::new(region("authenticate-oidc"));
        let error = apply(&fake, None, &[("blue", 50), ("green", 50)]).await.unwrap_err();
        assert!(error.to_string().contains("has other weights than it was seen with"), "{error}");
        assert_eq!(fake.operations(), ["DescribeRules"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_set_whose_group_gets_traffic_again_is_not_deleted() {
        for (group, operations) in
            [("blue", &["DescribeRules"][..]), ("green", &["DescribeRules", "DeleteTaskSet"])]
        {
            let fake = Fake::new(region("authenticate-oidc"));
            let unused = Unused { rule: "rule".to_owned(), group: group.to_owned() };
            let set =
                serde_json::json!({"cluster": "main", "service": "web", "taskSet": "ecs-svc/1"});
            let call = Call::DeleteTaskSet { input: set, unused: Some(unused) };
            let (lane, why) = (Lane::RolloutStep, "test".to_owned());
            let action = evenkeel_planner::Action { call, lane, why };
            let applied = fake.cloud().apply(&ServiceKey::new("main", "web"), &action).await;
            assert_eq!(fake.operations(), operations);
            let refused = matches!(applied, Err(CloudError::Conflict { .. }));
            assert_eq!(refused, group == "blue", "{applied:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_action_that_is_newer_than_this_version_is_not_written_over() {
        let fake = Fake::new(region("verify-badge"));
        let error = apply(&fake, None, &SEEN).await.unwrap_err();
        assert!(error.to_string().contains("verify-badge"), "{error}");
        assert_eq!(fake.operations(), ["DescribeRules"]);
    }
}
