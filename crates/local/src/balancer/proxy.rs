//! Forwards one request to one target and its answer back; never picks a target twice in a row
//! while there is another.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::{Authority, Scheme};
use hyper::{Request, Response, StatusCode, Uri, Version};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;

use super::SharedRouting;
use super::counts::{Counts, Ending, Route};
use super::routing::RouteAction;

type Body = UnsyncBoxBody<Bytes, hyper::Error>;

/// As the `idle_timeout.timeout_seconds` of an Application Load Balancer, in real time: traffic is
/// not compressed.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Idle connections to targets are given up before common servers close them.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// Connection-level headers, which end at a proxy (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

#[derive(Debug)]
pub(super) struct Proxy {
    routing: SharedRouting,
    counts: Counts,
    /// Keeps connections to targets open.
    pooled: Client<HttpConnector, Body>,
    /// Opens a connection for each request.
    fresh: Client<HttpConnector, Body>,
    turn: AtomicUsize,
    /// Requests whose target group was chosen by weight.
    chosen: AtomicU64,
}

/// Why there is no answer from a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoAnswer {
    Refused,
    Broken,
    TimedOut,
}

impl Proxy {
    pub(super) fn new(routing: SharedRouting, counts: Counts) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let builder = || {
            let mut builder = Client::builder(TokioExecutor::new());
            builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE_TIMEOUT);
            builder
        };
        Self {
            routing,
            counts,
            pooled: builder().build(connector.clone()),
            fresh: builder().pool_max_idle_per_host(0).build(connector),
            turn: AtomicUsize::new(0),
            chosen: AtomicU64::new(0),
        }
    }

    /// Answers a request that came in on a listener's port.
    pub(super) async fn answer(
        &self,
        port: u16,
        client: SocketAddr,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let routing = self.routing.get();
        let Some(balancer) = routing.load_balancer(port) else {
            return own(StatusCode::SERVICE_UNAVAILABLE);
        };
        let group = match routing.action(port, &request) {
            None => None,
            Some(RouteAction::Fixed { status, content_type, body }) => {
                return fixed(*status, content_type, body);
            }
            Some(RouteAction::Forward(weights)) => {
                pick_group(weights, self.chosen.fetch_add(1, Ordering::Relaxed))
            }
        };
        let Some(target_group) = group else {
            self.counts.lost(balancer);
            return own(StatusCode::SERVICE_UNAVAILABLE);
        };
        let targets = routing.targets(&target_group);
        let route = Route { port, target_group };
        self.counts.chosen(&route);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let Some(target) = turn.checked_rem(targets.len()).and_then(|index| targets.get(index))
        else {
            self.counts.ended(balancer, &route, Ending::NoTarget);
            return own(StatusCode::SERVICE_UNAVAILABLE);
        };
        let (response, ending) = self.forward(*target, prepare(request, client, port)).await;
        self.counts.ended(balancer, &route, ending);
        response
    }

    async fn forward(
        &self,
        target: SocketAddr,
        request: Request<Incoming>,
    ) -> (Response<Body>, Ending) {
        let sent = Instant::now();
        match timeout(ANSWER_TIMEOUT, self.send(target, request))
            .await
            .unwrap_or(Err(NoAnswer::TimedOut))
        {
            Ok(response) => {
                let ending = Ending::Answered(response.status(), sent.elapsed());
                let (mut head, body) = response.into_parts();
                remove_hop_by_hop(&mut head.headers);
                (Response::from_parts(head, body.boxed_unsync()), ending)
            }
            Err(reason) => {
                tracing::warn!(%target, ?reason, "a target did not answer");
                match reason {
                    NoAnswer::Refused => (own(StatusCode::BAD_GATEWAY), Ending::Refused),
                    NoAnswer::Broken => (own(StatusCode::BAD_GATEWAY), Ending::Broken),
                    NoAnswer::TimedOut => (own(StatusCode::GATEWAY_TIMEOUT), Ending::Broken),
                }
            }
        }
    }

    /// A target may close an idle connection in the moment in which it is used again. So only a
    /// request that can be repeated goes over one, and is then sent again over a new connection.
    async fn send(
        &self,
        target: SocketAddr,
        request: Request<Incoming>,
    ) -> Result<Response<Incoming>, NoAnswer> {
        let (mut head, body) = request.into_parts();
        head.uri = at(target, &head.uri);
        let repeatable = head.method.is_idempotent() && body.is_end_stream();
        if !repeatable {
            let request = Request::from_parts(head, body.boxed_unsync());
            return self.fresh.request(request).await.map_err(|error| no_answer(&error));
        }
        let empty = || Empty::new().map_err(|never| match never {}).boxed_unsync();
        match self.pooled.request(Request::from_parts(head.clone(), empty())).await {
            Ok(response) => Ok(response),
            Err(error) if error.is_connect() => Err(no_answer(&error)),
            Err(_) => {
                let again = Request::from_parts(head, empty());
                self.fresh.request(again).await.map_err(|error| no_answer(&error))
            }
        }
    }
}

fn no_answer(error: &Error) -> NoAnswer {
    let source = std::error::Error::source(error).map(ToString::to_string);
    tracing::debug!(?source, "forwarding failed");
    if error.is_connect() { NoAnswer::Refused } else { NoAnswer::Broken }
}

/// The golden ratio of all numbers: multiples of it, of which what overflows is lost, lie evenly between the multiples
/// before them (Weyl).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The group of the request of that number, by weight; nothing when all weights are 0. Any few hundred requests in a row
/// are divided as the weights say to within some requests, whatever the weights were before.
fn pick_group(weights: &[(String, u32)], number: u64) -> Option<String> {
    let total: u64 = weights.iter().map(|(_, weight)| u64::from(*weight)).sum();
    let point = u128::from(number.wrapping_mul(GOLDEN)) * u128::from(total);
    let mut left = u64::try_from(point >> u64::BITS).ok()?;
    for (group, weight) in weights {
        match left.checked_sub(u64::from(*weight)) {
            Some(rest) => left = rest,
            None => return Some(group.clone()),
        }
    }
    None
}

/// The request as the target gets it: HTTP/1.1, without the client's connection headers, with
/// those that an Application Load Balancer adds.
fn prepare(request: Request<Incoming>, client: SocketAddr, port: u16) -> Request<Incoming> {
    let (mut head, body) = request.into_parts();
    head.version = Version::HTTP_11;
    remove_hop_by_hop(&mut head.headers);
    let before = head.headers.get("x-forwarded-for").and_then(|value| value.to_str().ok());
    let chain = match before {
        Some(before) => format!("{before}, {}", client.ip()),
        None => client.ip().to_string(),
    };
    set(&mut head.headers, "x-forwarded-for", &chain);
    set(&mut head.headers, "x-forwarded-proto", "http");
    set(&mut head.headers, "x-forwarded-port", &port.to_string());
    Request::from_parts(head, body)
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_owned())
        .collect();
    for name in named {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

fn at(target: SocketAddr, uri: &Uri) -> Uri {
    let mut parts = uri.clone().into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Authority::try_from(target.to_string()).ok();
    parts.path_and_query.get_or_insert(hyper::http::uri::PathAndQuery::from_static("/"));
    Uri::from_parts(parts).unwrap_or_default()
}

/// An answer by the load balancer itself.
fn own(status: StatusCode) -> Response<Body> {
    let reason = status.canonical_reason().unwrap_or_default();
    let page = format!(
        "<html>\r\n<head><title>{code} {reason}</title></head>\r\n<body>\r\n<center><h1>{code} \
         {reason}</h1></center>\r\n</body>\r\n</html>\r\n",
        code = status.as_u16()
    );
    fixed(status.as_u16(), "text/html", &page)
}

fn fixed(status: u16, content_type: &str, body: &str) -> Response<Body> {
    let body = Full::new(Bytes::from(body.to_owned())).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    response.headers_mut().insert(header::SERVER, HeaderValue::from_static("awselb/2.0"));
    if !content_type.is_empty()
        && let Ok(content_type) = HeaderValue::from_str(content_type)
    {
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to_the_first(weights: [u32; 2], numbers: std::ops::Range<u64>) -> u64 {
        let weights = [("blue".to_owned(), weights[0]), ("green".to_owned(), weights[1])];
        let groups = numbers.map(|number| pick_group(&weights, number));
        groups.map(|group| u64::from(group.as_deref() == Some("blue"))).sum()
    }

    #[test]
    fn any_requests_in_a_row_are_divided_as_the_weights_say() {
        for blue in [1_u32, 10, 25, 33, 50, 90, 99, 333, 999] {
            let total = if blue < 100 { 100 } else { 1000 };
            for (begin, many) in [(0, 100), (17, 263), (5_000, 300), (123_456, 10_000)] {
                let got = to_the_first([blue, total - blue], begin..begin + many);
                let off = (got * u64::from(total)).abs_diff(many * u64::from(blue));
                assert!(off <= 3 * u64::from(total), "{got} of {many} requests at {blue}/{total}");
            }
        }
    }

    #[test]
    fn a_group_of_weight_0_gets_no_request() {
        assert_eq!(to_the_first([0, 1], 0..10_000), 0);
        assert_eq!(to_the_first([1, 0], 0..10_000), 10_000);
        assert_eq!(pick_group(&[("blue".to_owned(), 0)], 3), None);
    }
}
