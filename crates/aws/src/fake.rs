//! A server of replies for tests, below the SDK's own signing, parsing and errors; never opens a
//! socket.

use std::sync::{Arc, Mutex};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_types::SdkConfig;
use serde_json::Value;

use crate::cloud::AwsCloud;
use crate::metrics::AwsMetrics;

/// What came in: the operation and the body.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) operation: String,
    pub(crate) uri: String,
    /// As text, which CBOR is not.
    pub(crate) body: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) headers: Vec<(String, String)>,
}

impl Request {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|header| header.0 == name);
        header.map(|header| header.1.as_str())
    }
}

/// What goes out.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Body {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    },
    /// The connection broke after the request was sent.
    Lost,
    /// Nothing ever comes back.
    Silence,
}

pub(crate) fn ok(body: &Value) -> Reply {
    answer(200, body)
}

pub(crate) fn error(code: &str, message: &str) -> Reply {
    answer(400, &serde_json::json!({ "__type": code, "message": message }))
}

pub(crate) fn answer(status: u16, body: &Value) -> Reply {
    Reply::Body { status, headers: Vec::new(), body: body.to_string().into_bytes() }
}

type Answer = dyn Fn(&Request) -> Reply + Send + Sync;

/// Answers by a function and remembers what it was asked.
#[derive(Clone)]
pub(crate) struct Fake {
    answer: Arc<Answer>,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Fake {
    pub(crate) fn new(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self { answer: Arc::new(answer), requests: Arc::default() }
    }

    /// A cloud of which this is the server, with all of AWS's buckets.
    pub(crate) fn cloud(&self) -> AwsCloud {
        self.cloud_with(AwsMetrics::new().unwrap())
    }

    pub(crate) fn cloud_with(&self, metrics: AwsMetrics) -> AwsCloud {
        let credentials = Credentials::new("id", "secret", None, None, "test");
        self.cloud_of_both(SharedCredentialsProvider::new(credentials), metrics)
    }

    /// A cloud that was made with the grant to delete services.
    pub(crate) fn cloud_that_deletes(&self) -> AwsCloud {
        let cloud = self.cloud();
        cloud.caller.grant_deletes();
        cloud
    }

    pub(crate) fn cloud_of(&self, credentials: SharedCredentialsProvider) -> AwsCloud {
        self.cloud_of_both(credentials, AwsMetrics::new().unwrap())
    }

    fn cloud_of_both(
        &self,
        credentials: SharedCredentialsProvider,
        metrics: AwsMetrics,
    ) -> AwsCloud {
        let connector = SharedHttpConnector::new(self.clone());
        AwsCloud::with_config(&self.config(credentials), connector, 1.0, metrics)
    }

    fn config(&self, credentials: SharedCredentialsProvider) -> SdkConfig {
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .credentials_provider(credentials)
            .http_client(self.http_client())
            .build()
    }

    pub(crate) fn http_client(&self) -> SharedHttpClient {
        let fake = self.clone();
        http_client_fn(move |_, _| SharedHttpConnector::new(fake.clone()))
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// The bodies of the requests for one operation.
    pub(crate) fn bodies(&self, operation: &str) -> Vec<Value> {
        let requests = self.requests();
        requests.iter().filter(|r| r.operation == operation).map(Request::json).collect()
    }

    pub(crate) fn operations(&self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.operation).collect()
    }
}

impl std::fmt::Debug for Fake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fake")
    }
}

impl HttpConnector for Fake {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let request = read(&request);
        self.requests.lock().unwrap().push(request.clone());
        let reply = (self.answer)(&request);
        if matches!(reply, Reply::Silence) {
            return HttpConnectorFuture::new(std::future::pending());
        }
        HttpConnectorFuture::ready(match reply {
            Reply::Body { status, headers, body } => {
                let status = status.try_into().unwrap();
                let mut response = HttpResponse::new(status, SdkBody::from(body));
                for (name, value) in headers {
                    response.headers_mut().insert(name, value);
                }
                Ok(response)
            }
            Reply::Lost | Reply::Silence => {
                Err(ConnectorError::io("connection reset by peer".into()))
            }
        })
    }
}

/// ECS and CodeDeploy name the operation in a header, Elastic Load Balancing in the form, `CloudWatch` in the path.
fn read(request: &HttpRequest) -> Request {
    let bytes = request.body().bytes().unwrap_or_default().to_vec();
    let body = String::from_utf8_lossy(&bytes).into_owned();
    let target = request.headers().get("x-amz-target").and_then(|target| target.split('.').nth(1));
    let form = body.strip_prefix("Action=").and_then(|form| form.split('&').next());
    let path = request.uri().rsplit('/').next();
    let operation = target.or(form).or(path).unwrap_or_default().to_owned();
    let headers = request.headers().iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    Request { operation, uri: request.uri().to_owned(), body, bytes, headers }
}
