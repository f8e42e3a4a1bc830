//! Writes replies in the protocol of their request; never decides what they say.

use axum::body::Body;
use axum::response::Response;
use evenkeel_simulator::{Api, ApiError};
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, DATE, HeaderName, HeaderValue};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use serde_json::{Value, json};

use super::request::{ApiRequest, Protocol, Refused};
use super::{cbor, xml};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const QUERY_ERROR: HeaderName = HeaderName::from_static("x-amzn-query-error");
const SMITHY_PROTOCOL: HeaderName = HeaderName::from_static("smithy-protocol");

/// The reply to a call that the region answered.
pub(super) fn reply(request: &ApiRequest, result: &Result<Value, ApiError>, id: &str) -> Response {
    let mut response = match result {
        Ok(output) => success(request, output, id),
        Err(error) => failure(request.protocol, request.api, error, id),
    };
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// The reply to a request that is no call.
pub(super) fn refuse(refused: &Refused) -> Response {
    let error = ApiError {
        code: refused.code.to_owned(),
        message: refused.message.clone(),
        status: refused.status,
    };
    failure(refused.protocol, Api::ElasticLoadBalancingV2, &error, "00000000")
}

/// Sets `Date` to the region's time: it is AWS's clock to the client.
pub(super) fn stamp(response: &mut Response, now: Timestamp) {
    let date = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&now);
    if let Some(date) = date.ok().and_then(|date| HeaderValue::from_str(&date).ok()) {
        response.headers_mut().insert(DATE, date);
    }
}

fn success(request: &ApiRequest, output: &Value, id: &str) -> Response {
    let body = match request.protocol {
        Protocol::Json10 | Protocol::Json11 => output.to_string().into_bytes(),
        Protocol::Cbor => cbor::body(output),
        Protocol::Query => xml::response(&request.operation, namespace(request.api), output, id)
            .unwrap_or_default(),
    };
    build(request.protocol, StatusCode::OK, body)
}

fn failure(protocol: Protocol, api: Api, error: &ApiError, id: &str) -> Response {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
    let blame = if status.is_server_error() { "Receiver" } else { "Sender" };
    let body = match protocol {
        Protocol::Json10 | Protocol::Json11 => json_error(&error.code, error),
        Protocol::Cbor => cbor::body(&json!({
            "__type": format!("com.amazonaws.{}#{}", name(api), error.code),
            "message": error.message,
        })),
        Protocol::Query => {
            xml::error(namespace(api), blame, &error.code, &error.message, id).unwrap_or_default()
        }
    };
    let mut response = build(protocol, status, body);
    // Only CloudWatch had a Query protocol before, which its clients still ask about.
    if matches!(protocol, Protocol::Cbor | Protocol::Json10)
        && api != Api::CodeDeploy
        && let Ok(header) = HeaderValue::from_str(&format!("{};{blame}", error.code))
    {
        response.headers_mut().insert(QUERY_ERROR, header);
    }
    response
}

fn json_error(code: &str, error: &ApiError) -> Vec<u8> {
    json!({"__type": code, "message": error.message}).to_string().into_bytes()
}

fn build(protocol: Protocol, status: StatusCode, body: Vec<u8>) -> Response {
    let content_type = match protocol {
        Protocol::Json11 => "application/x-amz-json-1.1",
        Protocol::Json10 => "application/x-amz-json-1.0",
        Protocol::Query => "text/xml",
        Protocol::Cbor => "application/cbor",
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if protocol == Protocol::Cbor {
        headers.insert(SMITHY_PROTOCOL, HeaderValue::from_static("rpc-v2-cbor"));
    }
    response
}

/// What the shapes of CBOR errors are named after.
fn name(api: Api) -> &'static str {
    match api {
        Api::CodeDeploy => "codedeploy",
        Api::CloudWatch | Api::ElasticLoadBalancingV2 | Api::Ecs | Api::Sts => "cloudwatch",
    }
}

fn namespace(api: Api) -> &'static str {
    match api {
        Api::CloudWatch => "http://monitoring.amazonaws.com/doc/2010-08-01/",
        Api::Sts => "https://sts.amazonaws.com/doc/2011-06-15/",
        Api::ElasticLoadBalancingV2 | Api::Ecs | Api::CodeDeploy => {
            "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"
        }
    }
}
