//! Asks a running daemon over HTTP; never waits long and never takes an endless answer.

use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{StatusCode, Uri};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::style::safe;

const TIMEOUT: Duration = Duration::from_secs(10);
/// A page of 500 services is about 2 MiB.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// 100,000 services; a daemon that goes on for longer is broken.
const PAGES_MAX: usize = 200;

/// A daemon at one address.
#[derive(Debug)]
pub(crate) struct Client {
    base: String,
    http: HyperClient<HttpConnector, Empty<Bytes>>,
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

impl Client {
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

    async fn get(&self, path: &str) -> Result<Value, ClientError> {
        let uri = format!("{}{path}", self.base)
            .parse::<Uri>()
            .map_err(|_| ClientError::Address { url: format!("{}{path}", self.base) })?;
        let (status, body) = tokio::time::timeout(TIMEOUT, self.exchange(uri))
            .await
            .map_err(|_| self.no_answer(format!("none within {} s", TIMEOUT.as_secs())))??;
        let value: Value =
            serde_json::from_slice(&body).map_err(|_| self.strange("its answer is not JSON"))?;
        if status.is_success() {
            return Ok(value);
        }
        let message = value.get("error").and_then(Value::as_str).unwrap_or("no reason was given");
        let message = safe(message).into_owned();
        Err(ClientError::Refused { base: self.base.clone(), status, message })
    }

    async fn exchange(&self, uri: Uri) -> Result<(StatusCode, Bytes), ClientError> {
        let response =
            self.http.get(uri).await.map_err(|error| self.no_answer(innermost(&error)))?;
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
fn innermost(error: &dyn std::error::Error) -> String {
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
