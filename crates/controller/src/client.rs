//! Asks a running daemon over HTTP, and commands it; never waits long, never takes an endless answer, and
//! never prints a token.

mod token;

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::config::Config;
use crate::style::safe;
pub(crate) use token::Token;
pub(crate) use token::TokenError;

const TIMEOUT: Duration = Duration::from_secs(10);
/// A command for many services takes the daemon up to 100 s.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(115);
/// A page of 500 services is about 2 MiB.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// 100,000 services; a daemon that goes on for longer is broken.
const PAGES_MAX: usize = 200;

/// A daemon at one address.
#[derive(Debug)]
pub(crate) struct Client {
    base: String,
    http: HyperClient<HttpConnector, Full<Bytes>>,
}

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(
        "`{url}` is not the address of a daemon; it looks like http://127.0.0.1:9464, and TLS is \
         the business of a proxy on this machine"
    )]
    Address { url: String },
    #[error(
        "no daemon answers at {base} ({why}); start one with `evenkeel run`, name another with \
         --server or EVENKEEL_SERVER, or ask AWS itself with --direct"
    )]
    NoAnswer { base: String, why: String },
    #[error("the daemon at {base} answered {status}: {message}")]
    Refused { base: String, status: StatusCode, message: String },
    #[error("{base} does not answer like an Evenkeel daemon ({why}); name another with --server")]
    Strange { base: String, why: String },
}

impl ClientError {
    /// Whether the daemon understood a command and does not follow it as things stand.
    pub(crate) fn is_a_refusal(&self) -> bool {
        matches!(self, Self::Refused { status: StatusCode::CONFLICT, .. })
    }

    /// Whether there is no daemon, or one that does not know its services yet, as in a restart.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::NoAnswer { .. } => true,
            Self::Refused { status, .. } => *status == StatusCode::SERVICE_UNAVAILABLE,
            Self::Address { .. } | Self::Strange { .. } => false,
        }
    }
}

impl Client {
    /// The daemon that was named, or the one that the configuration is of.
    pub(crate) fn of(config: &Config, server: Option<&str>) -> Result<Self, ClientError> {
        let configured = || {
            let mut address = config.http.listen;
            if address.ip().is_unspecified() {
                address.set_ip([127, 0, 0, 1].into());
            }
            format!("http://{address}")
        };
        Self::new(&server.map_or_else(configured, str::to_owned))
    }

    /// `server` is `http://host:port`.
    pub(crate) fn new(server: &str) -> Result<Self, ClientError> {
        let base = server.trim_end_matches('/').to_owned();
        let uri = base.parse::<Uri>().ok();
        let valid = uri.is_some_and(|uri| uri.scheme_str() == Some("http") && uri.host().is_some());
        if !valid {
            return Err(ClientError::Address { url: safe(server).into_owned() });
        }
        Ok(Self { base, http: HyperClient::builder(TokioExecutor::new()).build_http() })
    }

    /// All services, in the order of their keys.
    pub(crate) async fn services(&self) -> Result<Vec<Value>, ClientError> {
        let mut services = Vec::new();
        let mut path = "/v1/services".to_owned();
        for _ in 0..PAGES_MAX {
            let mut page = self.get(&path).await?;
            match page.get_mut("services").map(Value::take) {
                Some(Value::Array(found)) => services.extend(found),
                _ => return Err(self.strange("there is no list of services in its answer")),
            }
            match page.get("next").and_then(Value::as_str) {
                Some(next) => path = format!("/v1/services?after={next}"),
                None => return Ok(services),
            }
        }
        Err(self.strange("its list of services does not end"))
    }

    /// `None` when no manifest names the service.
    pub(crate) async fn service(
        &self,
        cluster: &str,
        name: &str,
    ) -> Result<Option<Value>, ClientError> {
        match self.get(&format!("/v1/services/{cluster}/{name}")).await {
            Ok(status) => Ok(Some(status)),
            Err(ClientError::Refused { status: StatusCode::NOT_FOUND, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the daemon says about its manifests as a whole.
    pub(crate) async fn manifests(&self) -> Result<Value, ClientError> {
        self.get("/v1/manifests").await
    }

    /// The deployments of a service that ECS remembers.
    pub(crate) async fn history(&self, cluster: &str, name: &str) -> Result<Value, ClientError> {
        let request = Request::get(self.uri(&format!("/v1/services/{cluster}/{name}/history"))?);
        self.ask(request.body(Full::default()), COMMAND_TIMEOUT).await
    }

    /// Says a command.
    pub(crate) async fn post(
        &self,
        path: &str,
        token: &Token,
        body: &Value,
    ) -> Result<Value, ClientError> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.uri(path)?)
            .header(AUTHORIZATION, token.bearer())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body.to_string()));
        self.ask(request, COMMAND_TIMEOUT).await
    }

    async fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.ask(Request::get(self.uri(path)?).body(Full::default()), TIMEOUT).await
    }

    fn uri(&self, path: &str) -> Result<Uri, ClientError> {
        let url = format!("{}{path}", self.base);
        url.parse().map_err(|_| ClientError::Address { url })
    }

    async fn ask(
        &self,
        request: Result<Request<Full<Bytes>>, hyper::http::Error>,
        limit: Duration,
    ) -> Result<Value, ClientError> {
        let request = request.map_err(|error| self.strange(&error.to_string()))?;
        let (status, body) = tokio::time::timeout(limit, self.exchange(request))
            .await
            .map_err(|_| self.no_answer(format!("none within {} s", limit.as_secs())))??;
        let value: Value =
            serde_json::from_slice(&body).map_err(|_| self.strange("its answer is not JSON"))?;
        if status.is_success() {
            return Ok(value);
        }
        let message = value.get("error").and_then(Value::as_str).unwrap_or("no reason was given");
        let message = safe(message).into_owned();
        Err(ClientError::Refused { base: self.base.clone(), status, message })
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let response =
            self.http.request(request).await.map_err(|error| self.no_answer(innermost(&error)))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| self.strange(&error.to_string()))?;
        Ok((status, body.to_bytes()))
    }

    fn no_answer(&self, why: String) -> ClientError {
        ClientError::NoAnswer { base: self.base.clone(), why }
    }

    fn strange(&self, why: &str) -> ClientError {
        ClientError::Strange { base: self.base.clone(), why: why.to_owned() }
    }
}

/// The outer layers say "client error (Connect)", the innermost says "connection refused".
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_is_spoken() {
        assert!(Client::new("http://127.0.0.1:9464/").is_ok());
        for url in ["https://127.0.0.1:9464", "127.0.0.1:9464", "http://", "x y"] {
            assert!(matches!(Client::new(url), Err(ClientError::Address { .. })), "{url}");
        }
    }
}
