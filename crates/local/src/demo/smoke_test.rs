//! The web hook of the demo: asks the new revision once, through the test listener; never lets a user's
//! request fail for it.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Serves until it is dropped.
#[derive(Debug)]
pub(super) struct SmokeTest {
    address: SocketAddr,
    _serving: JoinSet<()>,
}

#[derive(Clone, Debug)]
struct Tester {
    listener: SocketAddr,
    client: Client<HttpConnector, Empty<Bytes>>,
}

impl SmokeTest {
    /// Tests what answers at `listener`.
    pub(super) async fn start(listener: SocketAddr) -> io::Result<Self> {
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
        let app = Router::new().route("/", post(test)).with_state(Tester { listener, client });
        let server = TcpListener::bind("127.0.0.1:0").await?;
        let address = server.local_addr()?;
        let mut serving = JoinSet::new();
        serving.spawn(async move { drop(axum::serve(server, app).await) });
        Ok(Self { address, _serving: serving })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

/// 422 is a failed test; that nothing answers at all decides nothing.
async fn test(State(tester): State<Tester>) -> (StatusCode, String) {
    let uri = format!("http://{}/", tester.listener);
    let Ok(uri) = uri.parse() else { return (StatusCode::BAD_GATEWAY, uri) };
    match tester.client.get(uri).await {
        Ok(answer) if answer.status().is_success() => (StatusCode::OK, String::new()),
        Ok(answer) => {
            let message = format!(r#"{{"message":"the smoke test got {}"}}"#, answer.status());
            (StatusCode::UNPROCESSABLE_ENTITY, message)
        }
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}
