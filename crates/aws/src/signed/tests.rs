use aws_credential_types::Credentials;

use super::*;

#[test]
fn a_session_is_part_of_the_signature_and_the_body_is_what_was_signed() {
    let credentials = Credentials::new("id", "secret", Some("session".to_owned()), None, "test");
    let endpoint = Endpoint {
        url: "https://ssm.eu-west-1.amazonaws.com/".to_owned(),
        region: "eu-west-1".to_owned(),
        signing_name: "ssm",
    };
    let headers = vec![("x-amz-target", "AmazonSSM.DescribeParameters".to_owned())];
    let request = post(&endpoint, headers, "{}".to_owned());
    let request = signed(&request, &Identity::from(credentials)).unwrap();
    let header = |name: &str| request.headers().get(name).unwrap_or_default().to_owned();
    assert_eq!((request.method(), request.uri()), ("POST", endpoint.url.as_str()));
    assert_eq!(header("x-amz-security-token"), "session");
    assert_eq!(header("x-amz-target"), "AmazonSSM.DescribeParameters");
    let signature = header("authorization");
    assert!(signature.contains("SignedHeaders=host;x-amz-date;x-amz-security-token;x-amz-target"));
    assert_eq!(request.body().bytes(), Some(b"{}".as_slice()));
}

#[test]
fn codes_are_read_in_every_form_of_error() {
    let read = |body: &str| {
        error_in(body.as_bytes(), None).map(|(code, message)| format!("{code}/{message}"))
    };
    let json = r#"{"__type":"com.amazonaws.x#AccessDeniedException","Message":"no"}"#;
    assert_eq!(read(json).as_deref(), Some("AccessDeniedException/no"));
    let iam = "<ErrorResponse><Error><Code>NoSuchEntity</Code><Message>a &lt;b&gt;</Message></Error></ErrorResponse>";
    assert_eq!(read(iam).as_deref(), Some("NoSuchEntity/a <b>"));
    let lambda = error_in(br#"{"Type":"User","Message":"no"}"#, Some("NotThere:http://x/"));
    assert_eq!(lambda, Some(("NotThere".to_owned(), "no".to_owned())));
    assert_eq!(read("<html>"), None);
    assert_eq!(read("{}"), None);
    assert_eq!(read(""), None);
}
