//! The text of one element of a reply in XML; never more of it.

use aws_smithy_xml::decode::{Document, ScopedDecoder, try_data};

/// AWS's replies are less than ten deep.
const DEPTH_MAX: usize = 32;

/// The text of the first element of this name, however deep; `None` also when it holds elements.
pub(crate) fn text_of(xml: &str, name: &str) -> Option<String> {
    let mut document = Document::new(xml);
    let mut root = document.root_element().ok()?;
    find(&mut root, name, DEPTH_MAX)
}

fn find(scope: &mut ScopedDecoder<'_, '_>, name: &str, depth: usize) -> Option<String> {
    let deeper = depth.checked_sub(1)?;
    while let Some(mut tag) = scope.next_tag() {
        if tag.start_el().local() == name {
            return try_data(&mut tag).ok().map(std::borrow::Cow::into_owned);
        }
        if let Some(found) = find(&mut tag, name, deeper) {
            return Some(found);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

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
