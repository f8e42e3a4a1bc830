//! Where a request goes by the region's listeners, rules and target groups; never sends it.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use evenkeel_simulator::{Region, RuleCondition, RuleView};
use hyper::{Request, header};

use super::health_check::Check;

/// All listeners and target groups of the region at one moment.
#[derive(Debug, Default)]
pub(super) struct Routing {
    listeners: BTreeMap<u16, Listener>,
    groups: BTreeMap<String, Group>,
}

#[derive(Debug)]
struct Listener {
    /// The ARN of the one that it belongs to.
    load_balancer: String,
    rules: Vec<Rule>,
}

/// One rule; all of its conditions must hold. The default rule has none and comes last.
#[derive(Debug)]
struct Rule {
    conditions: Vec<RuleCondition>,
    action: RouteAction,
}

/// What a rule does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RouteAction {
    /// Target groups by ARN, with their weights.
    Forward(Vec<(String, u32)>),
    Fixed {
        status: u16,
        content_type: String,
        body: String,
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
    pub(super) fn read(region: &Region) -> Self {
        let listeners = region.listeners().into_iter().map(|view| {
            let rules = view.rules.into_iter().map(rule).collect();
            (view.port, Listener { load_balancer: view.load_balancer, rules })
        });
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
        Self { groups: groups.collect(), listeners: listeners.collect() }
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

    /// The ARN of the load balancer that listens on a port.
    pub(super) fn load_balancer(&self, port: u16) -> Option<&str> {
        self.listeners.get(&port).map(|listener| listener.load_balancer.as_str())
    }

    /// What to do with a request on a listener's port; nothing when the listener is gone.
    pub(super) fn action<B>(&self, port: u16, request: &Request<B>) -> Option<&RouteAction> {
        let listener = self.listeners.get(&port)?;
        let rule = listener
            .rules
            .iter()
            .find(|rule| rule.conditions.iter().all(|condition| holds(condition, request)))?;
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

fn holds<B>(condition: &RuleCondition, request: &Request<B>) -> bool {
    let any = |text: &str| condition.values.iter().any(|pattern| matches(pattern, text));
    let header = |name: &str| {
        let mut values = request.headers().get_all(name).iter();
        values.any(|value| value.to_str().is_ok_and(|text| any(&text.to_lowercase())))
    };
    match condition.field.as_str() {
        "path-pattern" => any(request.uri().path()),
        "host-header" => host(request).is_some_and(|host| any(&host.to_lowercase())),
        "http-header" => condition.name.as_deref().is_some_and(header),
        "http-request-method" => any(request.method().as_str()),
        _ => false,
    }
}

/// Without the port.
fn host<B>(request: &Request<B>) -> Option<&str> {
    request.headers().get(header::HOST)?.to_str().ok()?.split(':').next()
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

fn rule(rule: RuleView) -> Rule {
    let action = match rule.fixed_response {
        Some((status, content_type, body)) => RouteAction::Fixed { status, content_type, body },
        None => RouteAction::Forward(rule.forwards),
    };
    Rule { conditions: rule.conditions.into_iter().map(condition).collect(), action }
}

/// Host and header conditions ignore case, so their patterns are kept in small letters.
fn condition(mut condition: RuleCondition) -> RuleCondition {
    if matches!(condition.field.as_str(), "host-header" | "http-header") {
        condition.values.iter_mut().for_each(|value| *value = value.to_lowercase());
    }
    condition
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

    fn routing(rules: Vec<Rule>, targets: &[(u8, &str)]) -> Routing {
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
            listeners: BTreeMap::from([(80, Listener { load_balancer: "b".to_owned(), rules })]),
            groups: BTreeMap::from([("tg".to_owned(), group)]),
        }
    }

    #[test]
    fn the_first_rule_whose_conditions_all_hold_decides() {
        let when = |field: &str, value: &str| {
            let (field, values) = (field.to_owned(), vec![value.to_owned()]);
            condition(RuleCondition { field, name: None, values })
        };
        let conditions = vec![when("path-pattern", "/api/*"), when("host-header", "Shop.example")];
        let api = Rule { conditions, action: RouteAction::Forward(vec![("api".to_owned(), 1)]) };
        let fixed =
            RouteAction::Fixed { status: 404, content_type: String::new(), body: String::new() };
        let routing = routing(vec![api, Rule { conditions: Vec::new(), action: fixed }], &[]);
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
        assert_eq!(routing(Vec::new(), &mixed).targets("tg"), [port(1)]);
        let none = [(2, "draining"), (3, "unhealthy"), (5, "unused")];
        assert_eq!(routing(Vec::new(), &none).targets("tg"), [port(3)]);
        assert!(routing(Vec::new(), &[(2, "draining")]).targets("tg").is_empty());
    }

    #[test]
    fn targets_that_leave_or_are_not_in_use_are_not_checked() {
        let states = [(1, "healthy"), (2, "draining"), (3, "unused"), (4, "initial")];
        let checks = routing(Vec::new(), &states).checks();
        let mut checked: Vec<_> = checks.iter().map(|check| check.address.to_string()).collect();
        checked.sort_unstable();
        assert_eq!(checked, ["127.0.0.1", "127.0.0.4"]);
    }
}
