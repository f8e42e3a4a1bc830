//! Finds out which API, operation and input a request means; never answers it.

use std::io::Read as _;

use evenkeel_simulator::Api;
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING};
use hyper::http::request::Parts;
use serde_json::{Value, json};

use super::{BODY_LIMIT, cbor, query};

/// One API call as it came over the wire.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ApiRequest {
    pub(super) api: Api,
    pub(super) operation: String,
    pub(super) input: Value,
    pub(super) protocol: Protocol,
}

/// How the request was written, which is how the reply is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Json11,
    Json10,
    Query,
    Cbor,
}

/// A request that is no API call of this region, and the reply to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) protocol: Protocol,
}

impl Refused {
    pub(super) fn too_large() -> Self {
        let message = format!("the request is larger than {BODY_LIMIT} bytes");
        Self::new(Protocol::Json11, "RequestEntityTooLargeException", message).with_status(413)
    }

    fn new(protocol: Protocol, code: &'static str, message: impl Into<String>) -> Self {
        Self { status: 400, code, message: message.into(), protocol }
    }

    fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }
}

/// Recognises a request by smithy-protocol, then `X-Amz-Target`, then the form's `Action`.
pub(super) fn read(head: &Parts, body: &[u8]) -> Result<ApiRequest, Refused> {
    let body = &decompress(&head.headers, body)?;
    if header(&head.headers, "smithy-protocol") == Some("rpc-v2-cbor") {
        return read_cbor(head.uri.path(), body);
    }
    match header(&head.headers, "x-amz-target") {
        Some(target) => read_json(target, body),
        None => read_query(head, body),
    }
}

fn read_json(target: &str, body: &[u8]) -> Result<ApiRequest, Refused> {
    let (service, operation) = target.split_once('.').unwrap_or((target, ""));
    let (api, protocol) = match service {
        "AmazonEC2ContainerServiceV20141113" => (Api::Ecs, Protocol::Json11),
        "CodeDeploy_20141006" => (Api::CodeDeploy, Protocol::Json11),
        "GraniteServiceVersion20100801" => (Api::CloudWatch, Protocol::Json10),
        _ => return Err(unknown(Protocol::Json11, target)),
    };
    let input = match body {
        b"" => json!({}),
        body => serde_json::from_slice(body).map_err(|error| {
            Refused::new(protocol, "SerializationException", format!("no JSON: {error}"))
        })?,
    };
    ApiRequest { api, operation: operation.to_owned(), input, protocol }.checked()
}

fn read_cbor(path: &str, body: &[u8]) -> Result<ApiRequest, Refused> {
    let named = path.strip_prefix("/service/").and_then(|path| path.split_once("/operation/"));
    let (api, operation) = match named {
        Some(("CodeDeploy_20141006", operation)) => (Api::CodeDeploy, operation),
        Some(("GraniteServiceVersion20100801", operation)) => (Api::CloudWatch, operation),
        _ => return Err(unknown(Protocol::Cbor, path)),
    };
    let input = cbor::document(body)
        .map_err(|message| Refused::new(Protocol::Cbor, "SerializationException", message))?;
    let protocol = Protocol::Cbor;
    ApiRequest { api, operation: operation.to_owned(), input, protocol }.checked()
}

fn read_query(head: &Parts, body: &[u8]) -> Result<ApiRequest, Refused> {
    let in_url = head.uri.query().unwrap_or_default().as_bytes();
    let form: Vec<(String, String)> = form_urlencoded::parse(in_url)
        .into_owned()
        .chain(form_urlencoded::parse(body).into_owned())
        .collect();
    let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, text)| &**text);
    let Some(operation) = field("Action") else {
        return Err(not_an_api_call(head));
    };
    let api = api_of_version(field("Version"))
        .or_else(|| api_of_credential_scope(&head.headers))
        .ok_or_else(|| unknown(Protocol::Query, operation))?;
    let input = query::document(&form)
        .map_err(|message| Refused::new(Protocol::Query, "ValidationError", message))?;
    let protocol = Protocol::Query;
    ApiRequest { api, operation: operation.to_owned(), input, protocol }.checked()
}

impl ApiRequest {
    /// An operation's name ends up in the reply's element names, and its input is a structure.
    fn checked(self) -> Result<Self, Refused> {
        let named = !self.operation.is_empty()
            && self.operation.len() <= 128
            && self.operation.bytes().all(|byte| byte.is_ascii_alphanumeric());
        match named && self.input.is_object() {
            true => Ok(self),
            false if named => Err(Refused::new(
                self.protocol,
                "SerializationException",
                "the input of an operation is a structure",
            )),
            false => Err(unknown(self.protocol, &self.operation)),
        }
    }
}

fn api_of_version(version: Option<&str>) -> Option<Api> {
    match version? {
        "2015-12-01" => Some(Api::ElasticLoadBalancingV2),
        "2010-08-01" => Some(Api::CloudWatch),
        "2011-06-15" => Some(Api::Sts),
        _ => None,
    }
}

/// `Credential=KEY/20261123/us-east-1/ecs/aws4_request`
fn api_of_credential_scope(headers: &HeaderMap) -> Option<Api> {
    let authorization = header(headers, AUTHORIZATION.as_str())?;
    let scope = authorization.split("Credential=").nth(1)?.split([',', ' ']).next()?;
    match scope.split('/').nth(3)? {
        "codedeploy" => Some(Api::CodeDeploy),
        "ecs" => Some(Api::Ecs),
        "elasticloadbalancing" => Some(Api::ElasticLoadBalancingV2),
        "monitoring" => Some(Api::CloudWatch),
        "sts" => Some(Api::Sts),
        _ => None,
    }
}

/// Clients compress `PutMetricData`.
fn decompress(headers: &HeaderMap, body: &[u8]) -> Result<Vec<u8>, Refused> {
    if header(headers, CONTENT_ENCODING.as_str()) != Some("gzip") {
        return Ok(body.to_vec());
    }
    let limit = u64::try_from(BODY_LIMIT).unwrap_or(u64::MAX);
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(body).take(limit + 1).read_to_end(&mut plain).map_err(
        |error| {
            Refused::new(Protocol::Json11, "SerializationException", format!("no gzip: {error}"))
        },
    )?;
    if plain.len() > BODY_LIMIT { Err(Refused::too_large()) } else { Ok(plain) }
}

fn unknown(protocol: Protocol, what: &str) -> Refused {
    let message = format!("this region does not know {what}");
    match protocol {
        Protocol::Query => Refused::new(protocol, "InvalidAction", message),
        _ => Refused::new(protocol, "UnknownOperationException", message),
    }
}

fn not_an_api_call(head: &Parts) -> Refused {
    let message = format!(
        "{} {} is no AWS API call; set AWS_ENDPOINT_URL to this address and use any AWS tool",
        head.method,
        head.uri.path()
    );
    Refused::new(Protocol::Json11, "UnknownOperationException", message).with_status(404)
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use hyper::Request;

    use super::*;

    fn head(path: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn named(request: Result<ApiRequest, Refused>) -> (Api, String, Protocol) {
        let request = request.unwrap();
        (request.api, request.operation, request.protocol)
    }

    #[test]
    fn each_protocol_is_recognised_by_its_own_mark() {
        let ecs = head("/", &[("x-amz-target", "AmazonEC2ContainerServiceV20141113.ListClusters")]);
        assert_eq!(named(read(&ecs, b"{}")), (Api::Ecs, "ListClusters".into(), Protocol::Json11));

        let json = head("/", &[("x-amz-target", "GraniteServiceVersion20100801.DescribeAlarms")]);
        let expected = (Api::CloudWatch, "DescribeAlarms".into(), Protocol::Json10);
        assert_eq!(named(read(&json, b"")), expected);

        let path = "/service/GraniteServiceVersion20100801/operation/DescribeAlarms";
        let cbor = head(path, &[("smithy-protocol", "rpc-v2-cbor")]);
        let expected = (Api::CloudWatch, "DescribeAlarms".into(), Protocol::Cbor);
        assert_eq!(named(read(&cbor, b"\xa0")), expected);

        let json = head("/", &[("x-amz-target", "CodeDeploy_20141006.GetDeployment")]);
        let expected = (Api::CodeDeploy, "GetDeployment".into(), Protocol::Json11);
        assert_eq!(named(read(&json, b"{}")), expected);

        let path = "/service/CodeDeploy_20141006/operation/GetDeployment";
        let cbor = head(path, &[("smithy-protocol", "rpc-v2-cbor")]);
        let expected = (Api::CodeDeploy, "GetDeployment".into(), Protocol::Cbor);
        assert_eq!(named(read(&cbor, b"\xa0")), expected);

        let form = b"Action=DescribeRules&Version=2015-12-01";
        let expected = (Api::ElasticLoadBalancingV2, "DescribeRules".into(), Protocol::Query);
        assert_eq!(named(read(&head("/", &[]), form)), expected);
    }

    #[test]
    fn without_a_version_the_credential_scope_decides() {
        let signed = "AWS4-HMAC-SHA256 Credential=AK/20261123/us-east-1/sts/aws4_request, \
                      SignedHeaders=host, Signature=0";
        let head = head("/", &[("authorization", signed)]);
        let expected = (Api::Sts, "GetCallerIdentity".into(), Protocol::Query);
        assert_eq!(named(read(&head, b"Action=GetCallerIdentity")), expected);
    }

    #[test]
    fn a_compressed_body_is_read_and_a_compressed_bomb_is_refused() {
        let target = ("x-amz-target", "GraniteServiceVersion20100801.PutMetricData");
        let head = head("/", &[target, ("content-encoding", "gzip")]);
        let compress = |plain: &[u8]| {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(plain).unwrap();
            gzip.finish().unwrap()
        };
        let request = read(&head, &compress(b"{\"Namespace\":\"N\"}")).unwrap();
        assert_eq!(request.input, json!({"Namespace": "N"}));
        assert_eq!(read(&head, &compress(&vec![b' '; BODY_LIMIT + 1])).unwrap_err().status, 413);
    }

    #[test]
    fn a_stranger_s_request_is_told_what_this_is() {
        let refused = read(&head("/index.html", &[]), b"").unwrap_err();
        assert_eq!(refused.status, 404);
        assert!(refused.message.contains("AWS_ENDPOINT_URL"), "{}", refused.message);
    }

    #[test]
    fn an_operation_s_name_cannot_carry_markup() {
        let refused = read(&head("/", &[]), b"Action=%3Cx%3E&Version=2015-12-01").unwrap_err();
        assert_eq!(refused.code, "InvalidAction");
    }
}
