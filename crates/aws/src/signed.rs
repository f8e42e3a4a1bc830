//! Signed reads of the services for which no SDK is built in, by AWS's three plain protocols; never writes, and never
//! prints a body.

mod endpoint;
mod xml;

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use aws_types::SdkConfig;
use evenkeel_reconciler::CloudError;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::error::{Answer, Failure};
use crate::operation::VerifyOperation;
use endpoint::{Endpoint, Endpoints};
pub(crate) use xml::text_of;

/// An attempt, the fetching of credentials included.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// What is asked on demand has no queue that would ask again; each wait is longer than the one before.
const WAITS_WHEN_THROTTLED: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

/// A client for all of these services in one account.
pub(crate) struct Signed {
    connector: SharedHttpConnector,
    credentials: Option<SharedCredentialsProvider>,
    endpoints: Endpoints,
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signed").finish_non_exhaustive()
    }
}

/// One request, before it is signed.
struct Unsigned<'a> {
    endpoint: &'a Endpoint,
    method: &'static str,
    /// Behind the endpoint, without a slash before it.
    path: String,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Signed {
    pub(crate) fn new(config: &SdkConfig, connector: SharedHttpConnector) -> Self {
        let credentials = config.credentials_provider();
        Self { connector, credentials, endpoints: Endpoints::new(config) }
    }

    /// Calls an operation of a service that speaks JSON, in a region other than that of the target if one is given.
    pub(crate) async fn json(
        &self,
        operation: VerifyOperation,
        region: Option<&str>,
        input: &Value,
    ) -> Result<Value, CloudError> {
        let target = operation.target().unwrap_or_default();
        let headers = vec![
            ("content-type", "application/x-amz-json-1.1".to_owned()),
            ("x-amz-target", format!("{target}.{}", operation.name())),
        ];
        let endpoint = self.endpoints.of(operation, region);
        let request = post(&endpoint, headers, input.to_string());
        let reply = self.patiently(operation, &request).await?;
        serde_json::from_slice(&reply).map_err(|error| {
            let message = format!("the reply is not JSON: {error}");
            Failure::Unanswered { message }.classify_as(operation.name(), false)
        })
    }

    /// Reads what is at a path, of a service that has one for each thing. The reply is not read.
    pub(crate) async fn is_there(
        &self,
        operation: VerifyOperation,
        region: Option<&str>,
        path: String,
    ) -> Result<(), CloudError> {
        let endpoint = self.endpoints.of(operation, region);
        let (method, headers, body) = ("GET", Vec::new(), String::new());
        let request = Unsigned { endpoint: &endpoint, method, path, headers, body };
        self.patiently(operation, &request).await.map(drop)
    }

    /// Calls an operation of a service that takes a form and answers in XML.
    pub(crate) async fn query(
        &self,
        operation: VerifyOperation,
        parameters: &[(&str, &str)],
    ) -> Result<String, CloudError> {
        let version = ("Version", operation.version().unwrap_or_default());
        let mut parts = vec![format!("Action={}", operation.name())];
        parts.extend(parameters.iter().chain([&version]).map(|(name, value)| {
            format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC))
        }));
        let body = parts.join("&");
        let headers =
            vec![("content-type", "application/x-www-form-urlencoded; charset=utf-8".to_owned())];
        let endpoint = self.endpoints.of(operation, None);
        let request = post(&endpoint, headers, body);
        let reply = self.patiently(operation, &request).await?;
        Ok(String::from_utf8_lossy(&reply).into_owned())
    }

    async fn patiently(
        &self,
        operation: VerifyOperation,
        request: &Unsigned<'_>,
    ) -> Result<Vec<u8>, CloudError> {
        let mut waits = WAITS_WHEN_THROTTLED.into_iter();
        loop {
            let failure = match self.once(request).await {
                Ok(reply) => return Ok(reply),
                Err(failure) => failure,
            };
            let error = failure.classify_as(operation.name(), false);
            tracing::debug!(operation = operation.name(), outcome = error.class(), "called AWS");
            match (&error, waits.next()) {
                (CloudError::Throttled { .. }, Some(wait)) => tokio::time::sleep(wait).await,
                _ => return Err(error),
            }
        }
    }

    async fn once(&self, request: &Unsigned<'_>) -> Result<Vec<u8>, Failure> {
        let exchange = async {
            let identity = self.identity().await?;
            let request = signed(request, &identity)
                .map_err(|message| Failure::NotSent { message, credentials: false })?;
            let response = self.connector.call(request).await;
            let response =
                response.map_err(|error| Failure::Unanswered { message: innermost(&error) })?;
            read(response).await
        };
        tokio::time::timeout(ATTEMPT_TIMEOUT, exchange).await.unwrap_or_else(|_| {
            let message = format!("no answer within {} s", ATTEMPT_TIMEOUT.as_secs());
            Err(Failure::Unanswered { message })
        })
    }

    async fn identity(&self) -> Result<Identity, Failure> {
        let missing = |message| Failure::NotSent { message, credentials: true };
        let Some(provider) = &self.credentials else {
            return Err(missing("there are no credentials".to_owned()));
        };
        let credentials = provider.provide_credentials().await;
        credentials.map(Identity::from).map_err(|error| missing(innermost(&error)))
    }
}

fn post<'a>(
    endpoint: &'a Endpoint,
    headers: Vec<(&'static str, String)>,
    body: String,
) -> Unsigned<'a> {
    Unsigned { endpoint, method: "POST", path: String::new(), headers, body }
}

fn signed(request: &Unsigned<'_>, identity: &Identity) -> Result<HttpRequest, String> {
    let Unsigned { endpoint, method, path, headers, body } = request;
    let url = format!("{}{path}", endpoint.url);
    let params = SigningParams::builder()
        .identity(identity)
        .region(&endpoint.region)
        .name(endpoint.signing_name)
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| error.to_string())?;
    let named = headers.iter().map(|(name, value)| (*name, value.as_str()));
    let signable = SignableRequest::new(method, &url, named, SignableBody::Bytes(body.as_bytes()))
        .map_err(|error| innermost(&error))?;
    let output = sign(signable, &params.into()).map_err(|error| innermost(&error))?;
    let mut signed = HttpRequest::new(SdkBody::from(body.as_str()));
    signed.set_method(method).map_err(|error| error.to_string())?;
    signed.set_uri(url.as_str()).map_err(|error| error.to_string())?;
    let all = signed.headers_mut();
    all.insert("user-agent", concat!("app/evenkeel ", env!("CARGO_PKG_VERSION")));
    for (name, value) in headers {
        all.insert(*name, value.clone());
    }
    for (name, value) in output.output().headers() {
        all.insert(name.to_owned(), value.to_owned());
    }
    Ok(signed)
}

async fn read(mut response: HttpResponse) -> Result<Vec<u8>, Failure> {
    let status = response.status().as_u16();
    let in_header = response.headers().get("x-amzn-errortype").map(str::to_owned);
    let body = ByteStream::new(response.take_body()).collect().await;
    let body = body.map_err(|error| Failure::Unanswered { message: innermost(&error) })?.to_vec();
    if (200..300).contains(&status) {
        return Ok(body);
    }
    let (code, message) = error_in(&body, in_header.as_deref()).unwrap_or_default();
    let message = if message.is_empty() { format!("HTTP status {status}") } else { message };
    Err(Failure::Answered(Answer { code, message, status, retry_after: None }))
}

/// Code and message of an error reply in each of their forms; the code may be in a header, before a colon.
fn error_in(body: &[u8], in_header: Option<&str>) -> Option<(String, String)> {
    if let Ok(reply) = serde_json::from_slice::<Value>(body) {
        let in_header = in_header.and_then(|code| code.split(':').next());
        let code = reply.get("__type").and_then(Value::as_str).or(in_header)?;
        let code = code.rsplit('#').next().unwrap_or(code).to_owned();
        let message = reply.get("message").or_else(|| reply.get("Message")).and_then(Value::as_str);
        return Some((code, message.unwrap_or_default().to_owned()));
    }
    let xml = str::from_utf8(body).ok()?;
    Some((text_of(xml, "Code")?, text_of(xml, "Message").unwrap_or_default()))
}

fn innermost(error: &dyn std::error::Error) -> String {
    let last = std::iter::successors(Some(error), |error| error.source()).last();
    last.map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests;
