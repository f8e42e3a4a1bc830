//! One request over HTTP or HTTPS; never follows a redirect, never takes an endless answer.

use std::io;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::http::request::Builder;
use hyper::{HeaderMap, Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::client::innermost;
use crate::proxy::asked_directly;

/// A day of minutes of one series is about 40 KiB.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// A client with the certificates of this machine.
#[derive(Clone, Debug)]
pub(crate) struct Web(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

/// What was answered, whatever the status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Web {
    pub(crate) fn new() -> io::Result<Self> {
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())?
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self(Client::builder(TokioExecutor::new()).build(connector)))
    }

    /// Why there was no answer, in words.
    pub(crate) async fn post(
        &self,
        url: &str,
        headers: &[(&str, String)],
        body: Vec<u8>,
        timeout: Duration,
    ) -> Result<(StatusCode, Bytes), String> {
        let answer = self.exchange(Request::post(url), headers, body, timeout).await?;
        Ok((answer.status, answer.body))
    }

    /// As [`Self::post`].
    pub(crate) async fn get(
        &self,
        url: &str,
        headers: &[(&str, String)],
        timeout: Duration,
    ) -> Result<Answer, String> {
        self.exchange(Request::get(url), headers, Vec::new(), timeout).await
    }

    async fn exchange(
        &self,
        mut request: Builder,
        headers: &[(&str, String)],
        body: Vec<u8>,
        timeout: Duration,
    ) -> Result<Answer, String> {
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::from(body)).map_err(|error| error.to_string())?;
        let exchange = async {
            let response = self.0.request(request).await;
            let response = response.map_err(|error| asked_directly(innermost(&error)))?;
            let (status, headers) = (response.status(), response.headers().clone());
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| error.to_string())?.to_bytes();
            Ok(Answer { status, headers, body })
        };
        let late = |_| asked_directly(format!("no answer within {} s", timeout.as_secs()));
        tokio::time::timeout(timeout, exchange).await.map_err(late)?
    }
}
