//! Writes replies of the AWS Query protocol; never reads XML.

use std::io;

use jiff::Timestamp;
use quick_xml::Writer;
use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};
use serde_json::Value;

use super::members::{Kind, kind};

/// `<OpResponse xmlns=…><OpResult>…</OpResult><ResponseMetadata>…</OpResponse>`
pub(super) fn response(
    operation: &str,
    namespace: &str,
    result: &Value,
    request_id: &str,
) -> io::Result<Vec<u8>> {
    let mut xml = Writer::new(Vec::new());
    let root = format!("{operation}Response");
    xml.write_event(Event::Start(
        BytesStart::new(root.as_str()).with_attributes([("xmlns", namespace)]),
    ))?;
    element(&mut xml, "", &format!("{operation}Result"), result)?;
    xml.write_event(Event::Start(BytesStart::new("ResponseMetadata")))?;
    text(&mut xml, "RequestId", request_id)?;
    xml.write_event(Event::End(BytesEnd::new("ResponseMetadata")))?;
    xml.write_event(Event::End(BytesEnd::new(root.as_str())))?;
    Ok(xml.into_inner())
}

/// `<ErrorResponse><Error><Type>…`; `blame` is `Sender` or `Receiver`.
pub(super) fn error(
    namespace: &str,
    blame: &str,
    code: &str,
    message: &str,
    request_id: &str,
) -> io::Result<Vec<u8>> {
    let mut xml = Writer::new(Vec::new());
    let root = BytesStart::new("ErrorResponse").with_attributes([("xmlns", namespace)]);
    xml.write_event(Event::Start(root))?;
    xml.write_event(Event::Start(BytesStart::new("Error")))?;
    text(&mut xml, "Type", blame)?;
    text(&mut xml, "Code", code)?;
    text(&mut xml, "Message", message)?;
    xml.write_event(Event::End(BytesEnd::new("Error")))?;
    text(&mut xml, "RequestId", request_id)?;
    xml.write_event(Event::End(BytesEnd::new("ErrorResponse")))?;
    Ok(xml.into_inner())
}

fn element(xml: &mut Writer<Vec<u8>>, parent: &str, name: &str, value: &Value) -> io::Result<()> {
    match value {
        Value::Null => Ok(()),
        Value::Object(members) => {
            xml.write_event(Event::Start(BytesStart::new(name)))?;
            members.iter().try_for_each(|(member, value)| element(xml, name, member, value))?;
            xml.write_event(Event::End(BytesEnd::new(name)))
        }
        Value::Array(elements) => {
            xml.write_event(Event::Start(BytesStart::new(name)))?;
            elements.iter().try_for_each(|value| list_element(xml, parent, name, value))?;
            xml.write_event(Event::End(BytesEnd::new(name)))
        }
        scalar => text(xml, name, &scalar_text(kind(parent, name), scalar)),
    }
}

/// Elements are called `member` on the wire, while their own members belong to the list's name.
fn list_element(
    xml: &mut Writer<Vec<u8>>,
    parent: &str,
    list: &str,
    value: &Value,
) -> io::Result<()> {
    let Value::Object(members) = value else {
        return text(xml, "member", &scalar_text(kind(parent, list), value));
    };
    xml.write_event(Event::Start(BytesStart::new("member")))?;
    members.iter().try_for_each(|(member, value)| element(xml, list, member, value))?;
    xml.write_event(Event::End(BytesEnd::new("member")))
}

fn text(xml: &mut Writer<Vec<u8>>, name: &str, content: &str) -> io::Result<()> {
    xml.write_event(Event::Start(BytesStart::new(name)))?;
    xml.write_event(Event::Text(BytesText::new(content)))?;
    xml.write_event(Event::End(BytesEnd::new(name)))
}

fn scalar_text(kind: Kind, value: &Value) -> String {
    match (kind, value) {
        (_, Value::String(text)) => text.clone(),
        (Kind::Time, Value::Number(number)) => {
            number.as_f64().and_then(iso_8601).unwrap_or_else(|| number.to_string())
        }
        (_, other) => other.to_string(),
    }
}

/// With milliseconds, as ELBv2 and CloudWatch print times.
fn iso_8601(epoch_seconds: f64) -> Option<String> {
    let since = jiff::SignedDuration::try_from_secs_f64(epoch_seconds).ok()?;
    let time = Timestamp::from_duration(since).ok()?;
    Some(format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_are_members_times_are_iso_8601_and_text_is_escaped() {
        let result = json!({
            "LoadBalancers": [{"CreatedTime": 0.5, "DNSName": "a<b>&c", "SecurityGroups": ["s"]}],
            "NextMarker": null,
        });
        let xml = response("DescribeLoadBalancers", "urn:x", &result, "id").unwrap();
        assert_eq!(
            String::from_utf8(xml).unwrap(),
            "<DescribeLoadBalancersResponse xmlns=\"urn:x\"><DescribeLoadBalancersResult>\
             <LoadBalancers><member><CreatedTime>1970-01-01T00:00:00.500Z</CreatedTime>\
             <DNSName>a&lt;b&gt;&amp;c</DNSName>\
             <SecurityGroups><member>s</member></SecurityGroups></member></LoadBalancers>\
             </DescribeLoadBalancersResult>\
             <ResponseMetadata><RequestId>id</RequestId></ResponseMetadata>\
             </DescribeLoadBalancersResponse>"
        );
    }

    #[test]
    fn an_error_names_who_is_to_blame() {
        let xml = error("urn:x", "Sender", "TargetGroupNotFound", "none", "id").unwrap();
        assert_eq!(
            String::from_utf8(xml).unwrap(),
            "<ErrorResponse xmlns=\"urn:x\"><Error><Type>Sender</Type>\
             <Code>TargetGroupNotFound</Code><Message>none</Message></Error>\
             <RequestId>id</RequestId></ErrorResponse>"
        );
    }
}
