//! The text of one element of a reply in XML; never more of it.

use aws_smithy_xml::decode::{Document, ScopedDecoder, try_data};

/// AWS's replies are less than ten deep.
const DEPTH_MAX: usize = 32;

/// The text of the element of this name that is the least deep, the first of several; `None` also when it holds
/// elements. A security group has the ID of its VPC, and its rules may have those of others.
pub(crate) fn text_of(xml: &str, name: &str) -> Option<String> {
    let mut document = Document::new(xml);
    let mut root = document.root_element().ok()?;
    let mut found = Vec::new();
    gather(&mut root, name, 0, &mut found);
    found.into_iter().min_by_key(|(depth, _)| *depth).map(|(_, text)| text)
}

fn gather(
    scope: &mut ScopedDecoder<'_, '_>,
    name: &str,
    depth: usize,
    found: &mut Vec<(usize, String)>,
) {
    while let Some(mut tag) = scope.next_tag() {
        if tag.start_el().local() == name {
            found.extend(try_data(&mut tag).ok().map(|text| (depth, text.into_owned())));
        } else if depth < DEPTH_MAX {
            gather(&mut tag, name, depth + 1, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_of_the_thing_itself_goes_before_one_of_what_it_refers_to() {
        let xml = "<R><item><rules><item><vpcId>vpc-2</vpcId></item></rules><vpcId>vpc-1</vpcId></item></R>";
        assert_eq!(text_of(xml, "vpcId").as_deref(), Some("vpc-1"));
    }

    #[test]
    fn the_first_element_of_a_name_is_read_with_its_escapes() {
        let xml = "<?xml version=\"1.0\"?><R xmlns=\"x\"><a><Id>1</Id></a><b><Arn>x &amp; y</Arn><Id>2</Id></b></R>";
        assert_eq!(text_of(xml, "Arn").as_deref(), Some("x & y"));
        assert_eq!(text_of(xml, "Id").as_deref(), Some("1"));
        assert_eq!(text_of(xml, "a"), None);
        assert_eq!(text_of(xml, "c"), None);
    }

    #[test]
    fn what_is_no_xml_or_endlessly_deep_has_no_text() {
        for xml in ["", "{}", "<a", "<a><b>", "<a></b></a>"] {
            assert_eq!(text_of(xml, "Code"), None, "{xml}");
        }
        let deep = "<a>".repeat(100_000);
        assert_eq!(text_of(&deep, "Code"), None);
    }
}
