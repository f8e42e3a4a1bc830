//! What is said of a proxy that is configured and not used; never connects.

/// Those by which AWS is asked through a proxy.
const VARIABLES: [&str; 6] =
    ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

/// Why a server that was asked directly gave no answer, and that it was, where somebody may expect otherwise.
pub(crate) fn asked_directly(why: String) -> String {
    told(why, |name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

fn told(why: String, is_set: impl Fn(&str) -> bool) -> String {
    match VARIABLES.into_iter().find(|name| is_set(name)) {
        None => why,
        Some(name) => format!(
            "{why} ({name} is set, and AWS alone is asked through it: this machine must reach the server \
             itself)"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_set_a_proxy_learns_that_only_aws_is_asked_through_it() {
        let why = || "connection refused".to_owned();
        assert_eq!(told(why(), |_| false), "connection refused");
        let said = told(why(), |name| name == "HTTPS_PROXY");
        assert!(
            said.starts_with("connection refused (HTTPS_PROXY is set, and AWS alone"),
            "{said}"
        );
    }
}
