//! Really sends a target's health checks; never decides what the results mean.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use evenkeel_simulator::Happening;
use http_body_util::Empty;
use hyper::{Request, StatusCode, header};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::live_region::LiveRegion;

/// A process takes as long as it takes, however fast the region's time runs.
const SHORTEST_TIMEOUT: Duration = Duration::from_secs(2);

/// Everything that one target's health check depends on: when it changes, another check begins.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Check {
    pub(super) target_group: String,
    pub(super) address: IpAddr,
    pub(super) port: u16,
    pub(super) path: String,
    pub(super) matcher: String,
    /// Of the region's time.
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
}

/// Checks at once and then each interval of the region's time, and reports every result.
pub(super) async fn watch(check: Check, region: LiveRegion) {
    let clock = region.clock();
    let mut ticks = interval(clock.real(check.interval).max(Duration::from_millis(10)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let limit = clock.real(check.timeout).max(SHORTEST_TIMEOUT);
    loop {
        ticks.tick().await;
        let result = timeout(limit, check.send())
            .await
            .unwrap_or_else(|_| Err("Request timed out".to_owned()));
        region.report(Happening::TargetHealth {
            target_group: check.target_group.clone(),
            id: check.address.to_string(),
            port: check.port,
            result,
        });
    }
}

impl Check {
    /// Over a connection of its own: the result must not depend on an older one.
    async fn send(&self) -> Result<(), String> {
        let target = SocketAddr::new(self.address, self.port);
        let request = Request::get(format!("http://{target}{}", self.path))
            .header(header::USER_AGENT, "ELB-HealthChecker/2.0")
            .header(header::CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(|error| format!("Health checks failed: {error}"))?;
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
        let response =
            client.request(request).await.map_err(|_| "Health checks failed".to_owned())?;
        if matches(&self.matcher, response.status()) {
            return Ok(());
        }
        Err(format!("Health checks failed with these codes: [{}]", response.status().as_u16()))
    }
}

/// `200`, `200,202` or `200-299`, as ELBv2 writes a matcher.
fn matches(matcher: &str, status: StatusCode) -> bool {
    let status = status.as_u16();
    matcher.split(',').any(|part| match part.trim().split_once('-') {
        Some((low, high)) => {
            let bounds = low.parse::<u16>().ok().zip(high.parse::<u16>().ok());
            bounds.is_some_and(|(low, high)| (low..=high).contains(&status))
        }
        None => part.trim().parse() == Ok(status),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matcher_takes_codes_lists_and_ranges() {
        for (matcher, status, expected) in [
            ("200", 200, true),
            ("200", 201, false),
            ("200,302", 302, true),
            ("200-299", 204, true),
            ("200-299", 300, false),
            ("", 200, false),
            ("abc-200", 200, false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(matches(matcher, status), expected, "{matcher} {status}");
        }
    }
}
