//! What a proxy needs to know of the load balancing; never how it is stored.

use std::net::IpAddr;
use std::time::Duration;

use super::Elb;

/// A target group as the load balancer of the world needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetGroupView {
    pub arn: String,
    pub health_check_path: String,
    pub health_check_interval: Duration,
    pub health_check_timeout: Duration,
    /// Accepted status codes, such as `200` or `200-299`.
    pub matcher: String,
    /// Address, port, state (`initial`, `healthy`, `unhealthy`, `draining`, `unused`).
    pub targets: Vec<(IpAddr, u16, String)>,
}

/// A listener with its rules in the order in which they are tried, the default rule last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerView {
    pub arn: String,
    pub load_balancer: String,
    /// The tail of the load balancer's ARN, the `LoadBalancer` dimension of its metrics.
    pub load_balancer_dimension: String,
    pub port: u16,
    /// `HTTP`, `HTTPS`, `TCP`, …
    pub protocol: String,
    pub rules: Vec<RuleView>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleView {
    pub arn: String,
    /// `None` for the default rule.
    pub priority: Option<u32>,
    /// All must hold.
    pub conditions: Vec<RuleCondition>,
    /// Target group ARNs and weights (0 to 999) of a forward action.
    pub forwards: Vec<(String, u32)>,
    /// Status, content type and body of a fixed-response action.
    pub fixed_response: Option<(u16, String, String)>,
}

/// Holds when one of the values matches (`*` and `?` are wildcards).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleCondition {
    /// `path-pattern`, `host-header`, `http-header`, `http-request-method`, `query-string`,
    /// `source-ip`.
    pub field: String,
    /// The header's name for `http-header`.
    pub name: Option<String>,
    pub values: Vec<String>,
}

impl Elb {
    pub(crate) fn target_groups_view(&self) -> Vec<TargetGroupView> {
        self.target_groups.keys().filter_map(|arn| self.target_group_view(arn)).collect()
    }

    pub(crate) fn target_group_view(&self, arn: &str) -> Option<TargetGroupView> {
        let group = self.target_groups.get(arn)?;
        let in_use = self.in_use(arn);
        let targets = group.targets.iter().filter_map(|((id, port), target)| {
            let state = target.shown_state(in_use).word().to_owned();
            Some((id.parse().ok()?, *port, state))
        });
        Some(TargetGroupView {
            arn: arn.to_owned(),
            health_check_path: group.health_check.path.clone(),
            health_check_interval: group.health_check.interval,
            health_check_timeout: group.health_check.timeout,
            matcher: group.health_check.matcher.clone(),
            targets: targets.collect(),
        })
    }

    pub(crate) fn listeners_view(&self) -> Vec<ListenerView> {
        self.listeners
            .iter()
            .map(|(arn, listener)| ListenerView {
                arn: arn.clone(),
                load_balancer: listener.load_balancer.clone(),
                load_balancer_dimension: listener
                    .load_balancer
                    .split_once(":loadbalancer/")
                    .map_or(String::new(), |(_, tail)| tail.to_owned()),
                port: listener.port,
                protocol: listener.protocol.clone(),
                rules: self.rules_in_order(arn).map(|(arn, rule)| rule.view(arn)).collect(),
            })
            .collect()
    }
}
