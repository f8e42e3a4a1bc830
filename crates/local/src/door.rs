//! The one port on which all AWS APIs of the region are spoken; never checks a signature.
//!
//! Whatever credentials a client signs with are accepted: the region is for one machine and one
//! user, and binds to loopback.

mod call_log;
mod cbor;
mod members;
mod query;
mod reply;
mod request;
mod xml;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::response::Response;

pub use call_log::{CallLog, CallRecord};
use request::{ApiRequest, Refused};

use crate::live_region::LiveRegion;

/// The largest request body taken, before and after decompression: AWS's own limits are below.
const BODY_LIMIT: usize = 4 * 1024 * 1024;

/// What answers requests: the region and the log of calls.
#[derive(Clone, Debug)]
pub struct Door {
    region: LiveRegion,
    calls: CallLog,
}

impl Door {
    pub fn new(region: LiveRegion, calls: CallLog) -> Self {
        Self { region, calls }
    }

    /// The HTTP service, to be served on any listener.
    pub fn router(self) -> Router {
        Router::new().fallback(answer).with_state(self)
    }

    fn carry_out(&self, request: &ApiRequest) -> Response {
        let result = self.region.call(request.api, &request.operation, &request.input);
        let status = result.as_ref().map_or_else(|error| error.status, |_| 200);
        let id = self.calls.record(request, self.region.clock().now(), status);
        if let Err(error) = &result {
            tracing::debug!(operation = request.operation, %error, "refused");
        }
        reply::reply(request, &result, &id)
    }
}

async fn answer(State(door): State<Door>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let mut response = match to_bytes(body, BODY_LIMIT).await {
        Err(_) => reply::refuse(&Refused::too_large()),
        Ok(body) => match request::read(&head, &body) {
            Ok(request) => door.carry_out(&request),
            Err(refused) => reply::refuse(&refused),
        },
    };
    reply::stamp(&mut response, door.region.clock().now());
    response
}
