//! The answer of a registry that wants a token first: where to fetch one; never fetches.

/// `Bearer realm="...",service="...",scope="..."`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    realm: String,
    service: Option<String>,
    scope: Option<String>,
}

impl Challenge {
    /// `None` of another scheme, such as `Basic`, and without a realm.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let (scheme, mut rest) = header.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut realm, mut service, mut scope) = (None, None, None);
        while let Some((name, value, behind)) = parameter(rest) {
            match name.to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value),
                "service" => service = Some(value),
                "scope" => scope = Some(value),
                _ => {}
            }
            rest = behind;
        }
        Some(Self { realm: realm?, service, scope })
    }

    /// `None` when the realm cannot be extended.
    pub(super) fn url(&self, scope: &str) -> Option<String> {
        if self.realm.contains('#') {
            return None;
        }
        let mut query = form_urlencoded::Serializer::new(String::new());
        if let Some(service) = &self.service {
            query.append_pair("service", service);
        }
        let query = query.append_pair("scope", self.scope.as_deref().unwrap_or(scope)).finish();
        let sign = if self.realm.contains('?') { '&' } else { '?' };
        Some(format!("{}{sign}{query}", self.realm))
    }
}

/// The first `NAME="VALUE"` or `NAME=VALUE`, and what is behind it. A comma in quotes is part of the value.
fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let text = text.trim_start_matches([' ', ',', '\t']);
    let (name, rest) = text.split_once('=')?;
    if let Some(quoted) = rest.strip_prefix('"') {
        let (value, behind) = quoted.split_once('"')?;
        return Some((name.trim(), value.to_owned(), behind));
    }
    let (value, behind) = rest.split_once(',').unwrap_or((rest, ""));
    Some((name.trim(), value.trim().to_owned(), behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_says_where_a_token_is() {
        let hub = "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",\
                   scope=\"repository:library/nginx:pull,push\"";
        let url = Challenge::parse(hub).unwrap().url("ignored").unwrap();
        assert_eq!(
            url,
            "https://auth.docker.io/token?service=registry.docker.io&\
             scope=repository%3Alibrary%2Fnginx%3Apull%2Cpush"
        );
        let bare = Challenge::parse("bearer realm=https://x/token?a=b, error=\"denied\"").unwrap();
        let scope = "repository:web:pull";
        assert_eq!(bare.url(scope).unwrap(), "https://x/token?a=b&scope=repository%3Aweb%3Apull");
    }

    #[test]
    fn another_scheme_and_a_broken_challenge_say_nothing() {
        for header in
            ["Basic realm=\"x\"", "Bearer", "Bearer service=\"x\"", "Bearer realm=\"x", ""]
        {
            assert_eq!(Challenge::parse(header), None, "{header}");
        }
        assert_eq!(Challenge::parse("Bearer realm=\"https://x/#\"").unwrap().url("s"), None);
    }
}
