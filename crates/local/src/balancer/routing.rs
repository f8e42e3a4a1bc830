//! Where a request goes by the region's listeners, rules and target groups; never sends it.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use evenkeel_simulator::{Api, Region};
use hyper::{Request, header};
use serde_json::{Value, json};

use super::health_check::Check;

/// All listeners and target groups of the region at one moment.
#[derive(Debug, Default)]
pub(super) struct Routing {
    listeners: BTreeMap<u16, Vec<Rule>>,
    groups: BTreeMap<String, Group>,
}

/// One rule; all of its conditions must hold. The default rule has none and comes last.
#[derive(Debug)]
struct Rule {
    conditions: Vec<Condition>,
    action: RouteAction,
}

#[derive(Debug)]
struct Condition {
    field: String,
    /// The header of an `http-header` condition.
    header: String,
    values: Vec<String>,
    /// Key (empty for any) and value of a `query-string` condition.
    pairs: Vec<(String, String)>,
}

/// What a rule does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RouteAction {
    /// Target groups by ARN, with their weights.
    Forward(Vec<(String, u64)>),
    Fixed {
        status: u16,
        content_type: String,
        body: String,
    },
    Redirect {
        status: u16,
        location: Value,
    },
}

#[derive(Debug)]
struct Group {
    path: String,
    matcher: String,
    interval: Duration,
    timeout: Duration,
    targets: Vec<(IpAddr, u16, String)>,
}

impl Routing {
    pub(super) fn read(region: &mut Region) -> Self {
        let groups = region.target_groups().into_iter().map(|view| {
            let group = Group {
                path: view.health_check_path,
                matcher: view.matcher,
                interval: view.health_check_interval,
                timeout: view.health_check_timeout,
                targets: view.targets,
            };
            (view.arn, group)
        });
        Self { groups: groups.collect(), listeners: read_listeners(region) }
    }

    pub(super) fn ports(&self) -> HashSet<u16> {
        self.listeners.keys().copied().collect()
    }

    /// The checks to send: a target that nobody forwards to, or that leaves, is not checked.
    pub(super) fn checks(&self) -> HashSet<Check> {
        let of_group = |(arn, group): (&String, &Group)| {
            let checked = |state: &str| matches!(state, "initial" | "healthy" | "unhealthy");
            let targets = group.targets.iter().filter(|(_, _, state)| checked(state));
            let check = |(address, port, _): &(IpAddr, u16, String)| Check {
                target_group: arn.clone(),
                address: *address,
                port: *port,
                path: group.path.clone(),
                matcher: group.matcher.clone(),
                interval: group.interval,
                timeout: group.timeout,
            };
            targets.map(check).collect::<Vec<_>>()
        };
        self.groups.iter().flat_map(of_group).collect()
    }

    /// What to do with a request on a listener's port; nothing when the listener is gone.
    pub(super) fn action<B>(&self, port: u16, request: &Request<B>) -> Option<&RouteAction> {
        let rules = self.listeners.get(&port)?;
        let rule = rules.iter().find(|rule| rule.conditions.iter().all(|c| c.holds(request)))?;
        Some(&rule.action)
    }

    /// The targets that take new requests: the healthy ones, or, when there are none, all that
    /// are not leaving (a load balancer fails open).
    pub(super) fn targets(&self, group: &str) -> Vec<SocketAddr> {
        let Some(group) = self.groups.get(group) else {
            return Vec::new();
        };
        let in_state = |states: &[&str]| -> Vec<SocketAddr> {
            let matching = group.targets.iter().filter(|(_, _, state)| states.contains(&&**state));
            matching.map(|(address, port, _)| SocketAddr::new(*address, *port)).collect()
        };
        let healthy = in_state(&["healthy"]);
        if healthy.is_empty() { in_state(&["initial", "unhealthy"]) } else { healthy }
    }
}

impl Condition {
    fn holds<B>(&self, request: &Request<B>) -> bool {
        let any = |text: &str| self.values.iter().any(|pattern| matches(pattern, text));
        let named = |name: &str| {
            let mut values = request.headers().get_all(name).iter();
            values.any(|value| value.to_str().is_ok_and(|text| any(&text.to_lowercase())))
        };
        match self.field.as_str() {
            "path-pattern" => any(request.uri().path()),
            "host-header" => request
                .headers()
                .get(header::HOST)
                .and_then(|host| host.to_str().ok())
                .and_then(|host| host.split(':').next())
                .is_some_and(|host| any(&host.to_lowercase())),
            "http-header" => named(&self.header),
            "http-request-method" => any(request.method().as_str()),
            "query-string" => self.holds_query(request.uri().query().unwrap_or_default()),
            _ => false,
        }
    }

    fn holds_query(&self, query: &str) -> bool {
        form_urlencoded::parse(query.as_bytes()).any(|(key, value)| {
            self.pairs.iter().any(|(wanted_key, wanted)| {
                (wanted_key.is_empty() || matches(wanted_key, &key)) && matches(wanted, &value)
            })
        })
    }
}

/// `*` stands for any characters, `?` for one.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(&character) = text.get(t) {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&wanted) if wanted == '?' || wanted == character => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, t) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).is_none_or(|rest| rest.iter().all(|&character| character == '*'))
}

fn read_listeners(region: &mut Region) -> BTreeMap<u16, Vec<Rule>> {
    let balancers = list(region, "DescribeLoadBalancers", &json!({}), "LoadBalancers");
    let mut listeners = BTreeMap::new();
    for balancer in balancers {
        let of_balancer = json!({"LoadBalancerArn": balancer.get("LoadBalancerArn")});
        for listener in list(region, "DescribeListeners", &of_balancer, "Listeners") {
            let port = listener.get("Port").and_then(Value::as_u64).map(u16::try_from);
            let of_listener = json!({"ListenerArn": listener.get("ListenerArn")});
            let mut rules = list(region, "DescribeRules", &of_listener, "Rules");
            rules.sort_by_key(priority);
            if let Some(Ok(port)) = port {
                listeners.insert(port, rules.iter().filter_map(rule).collect());
            }
        }
    }
    listeners
}

fn list(region: &mut Region, operation: &str, input: &Value, member: &str) -> Vec<Value> {
    let reply = region.call(Api::ElasticLoadBalancingV2, operation, input);
    let list = reply.ok().and_then(|reply| reply.get(member).and_then(Value::as_array).cloned());
    list.unwrap_or_default()
}

/// The default rule's priority is the word `default`: it comes last.
fn priority(rule: &Value) -> u32 {
    rule.get("Priority")
        .and_then(Value::as_str)
        .and_then(|text| text.parse().ok())
        .unwrap_or(u32::MAX)
}

fn rule(rule: &Value) -> Option<Rule> {
    let conditions = rule.get("Conditions").and_then(Value::as_array);
    let actions = rule.get("Actions").and_then(Value::as_array)?;
    Some(Rule {
        conditions: conditions.into_iter().flatten().map(condition).collect(),
        action: actions.iter().find_map(action)?,
    })
}

fn condition(condition: &Value) -> Condition {
    let configs = [
        "PathPatternConfig",
        "HostHeaderConfig",
        "HttpHeaderConfig",
        "HttpRequestMethodConfig",
        "QueryStringConfig",
    ];
    let config = configs.iter().find_map(|name| condition.get(*name)).unwrap_or(condition);
    let values = config.get("Values").or_else(|| condition.get("Values"));
    let values = values.and_then(Value::as_array).into_iter().flatten();
    let field = text(condition, "Field");
    let caseless = matches!(field.as_str(), "host-header" | "http-header");
    let fold = |text: &str| if caseless { text.to_lowercase() } else { text.to_owned() };
    Condition {
        header: text(config, "HttpHeaderName"),
        values: values.clone().filter_map(Value::as_str).map(fold).collect(),
        pairs: values.map(|pair| (text(pair, "Key"), text(pair, "Value"))).collect(),
        field,
    }
}

fn action(action: &Value) -> Option<RouteAction> {
    match text(action, "Type").as_str() {
        "forward" => Some(RouteAction::Forward(weights(action))),
        "fixed-response" => {
            let config = action.get("FixedResponseConfig")?;
            Some(RouteAction::Fixed {
                status: text(config, "StatusCode").parse().ok()?,
                content_type: text(config, "ContentType"),
                body: text(config, "MessageBody"),
            })
        }
        "redirect" => {
            let config = action.get("RedirectConfig")?;
            let permanent = text(config, "StatusCode") == "HTTP_301";
            let status = if permanent { 301 } else { 302 };
            Some(RouteAction::Redirect { status, location: config.clone() })
        }
        _ => None,
    }
}

fn weights(action: &Value) -> Vec<(String, u64)> {
    let groups = action.pointer("/ForwardConfig/TargetGroups").and_then(Value::as_array);
    let weighted = |group: &Value| {
        let weight = group.get("Weight").and_then(Value::as_u64).unwrap_or(1);
        (text(group, "TargetGroupArn"), weight)
    };
    match groups {
        Some(groups) => groups.iter().map(weighted).collect(),
        None => vec![(text(action, "TargetGroupArn"), 1)],
    }
}

fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_elb_s_do() {
        for (pattern, text, expected) in [
            ("/api/*", "/api/users", true),
            ("/api/*", "/app", false),
            ("*", "", true),
            ("/a?c", "/abc", true),
            ("/a?c", "/ac", false),
            ("*.example.com", "www.example.com", true),
            ("/a*b*c", "/a1b2c", true),
            ("/a*b*c", "/a1b2", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    fn routing(rules: &[Value], targets: &[(u8, &str)]) -> Routing {
        let targets = targets
            .iter()
            .map(|&(last, state)| (IpAddr::from([127, 0, 0, last]), 80, state.to_owned()));
        let group = Group {
            path: "/".to_owned(),
            matcher: "200".to_owned(),
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
            targets: targets.collect(),
        };
        Routing {
            listeners: BTreeMap::from([(80, rules.iter().filter_map(rule).collect())]),
            groups: BTreeMap::from([("tg".to_owned(), group)]),
        }
    }

    #[test]
    fn the_first_rule_whose_conditions_all_hold_decides() {
        let api = json!({"Priority": "1", "Conditions": [
            {"Field": "path-pattern", "Values": ["/api/*"]},
            {"Field": "host-header", "HostHeaderConfig": {"Values": ["Shop.example"]}}],
            "Actions": [{"Type": "forward", "TargetGroupArn": "api"}]});
        let default = json!({"Priority": "default", "Conditions": [],
            "Actions": [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}]});
        let routing = routing(&[api, default], &[]);
        let request = |path: &str, host: &str| {
            Request::get(path).header(header::HOST, host).body(()).unwrap()
        };
        let forward = RouteAction::Forward(vec![("api".to_owned(), 1)]);
        assert_eq!(routing.action(80, &request("/api/x", "shop.example:80")), Some(&forward));
        let other = routing.action(80, &request("/api/x", "other.example"));
        assert!(matches!(other, Some(RouteAction::Fixed { status: 404, .. })), "{other:?}");
        assert_eq!(routing.action(81, &request("/", "shop.example")), None);
    }

    #[test]
    fn draining_targets_take_no_request_and_unhealthy_ones_only_when_none_is_healthy() {
        let port = |last| SocketAddr::from(([127, 0, 0, last], 80));
        let mixed = [(1, "healthy"), (2, "draining"), (3, "unhealthy"), (4, "initial")];
        assert_eq!(routing(&[], &mixed).targets("tg"), [port(1)]);
        let none = [(2, "draining"), (3, "unhealthy"), (5, "unused")];
        assert_eq!(routing(&[], &none).targets("tg"), [port(3)]);
        assert!(routing(&[], &[(2, "draining")]).targets("tg").is_empty());
    }

    #[test]
    fn targets_that_leave_or_are_not_in_use_are_not_checked() {
        let states = [(1, "healthy"), (2, "draining"), (3, "unused"), (4, "initial")];
        let checks = routing(&[], &states).checks();
        let mut checked: Vec<_> = checks.iter().map(|check| check.address.to_string()).collect();
        checked.sort_unstable();
        assert_eq!(checked, ["127.0.0.1", "127.0.0.4"]);
    }
}
