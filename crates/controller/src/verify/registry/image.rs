//! The name of an image as the registry that has it takes it; never asks.

/// `[HOST[:PORT]/]NAME[/NAME...][:TAG][@DIGEST]`, with what Docker and ECS add to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Image {
    host: String,
    repository: String,
    /// A digest, else a tag.
    version: String,
}

const DOCKER_HUB: &str = "registry-1.docker.io";

impl Image {
    /// `None` of what could not be part of a URL.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        let (name, tag) = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (name, None),
        };
        let is_host = |first: &str| first.contains(['.', ':']) || first == "localhost";
        let (host, repository) = match name.split_once('/') {
            Some((first, rest)) if is_host(first) => (first, rest.to_owned()),
            Some(_) => ("docker.io", name.to_owned()),
            None => ("docker.io", format!("library/{name}")),
        };
        let is_hub = matches!(host, "docker.io" | "index.docker.io");
        let is_old = is_hub && !repository.contains('/');
        let repository = if is_old { format!("library/{repository}") } else { repository };
        let version = digest.or(tag).unwrap_or("latest").to_owned();
        let host = if is_hub { DOCKER_HUB } else { host }.to_owned();
        let image = Self { host, repository, version };
        image.is_plain().then_some(image)
    }

    fn is_plain(&self) -> bool {
        let only = |text: &str, others: &[u8]| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || others.contains(&byte);
            !text.is_empty() && text.bytes().all(allowed)
        };
        let names = |text: &str| text.split('/').all(|name| only(name, b"._-") && name != "..");
        only(&self.host, b".-:[]") && names(&self.repository) && only(&self.version, b"._-:+=")
    }

    /// As its answers are told of.
    pub(super) fn registry(&self) -> &str {
        &self.host
    }

    pub(super) fn manifest_url(&self) -> String {
        format!("{}/v2/{}/manifests/{}", self.base(), self.repository, self.version)
    }

    pub(super) fn blob_url(&self, digest: &str) -> String {
        format!("{}/v2/{}/blobs/{digest}", self.base(), self.repository)
    }

    pub(super) fn pull_scope(&self) -> String {
        format!("repository:{}:pull", self.repository)
    }

    /// As Docker does, plain HTTP is spoken with this machine alone.
    fn base(&self) -> String {
        let scheme = if self.is_local() { "http" } else { "https" };
        format!("{scheme}://{}", self.host)
    }

    fn is_local(&self) -> bool {
        is_this_machine(&self.host)
    }

    /// Whether a place that the registry names may be asked: over TLS, or on this machine if the registry is.
    pub(super) fn may_be_asked(&self, url: &str) -> bool {
        let on_this_machine = |rest: &str| {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            self.is_local() && is_this_machine(authority)
        };
        url.starts_with("https://") || url.strip_prefix("http://").is_some_and(on_this_machine)
    }

    /// Where a redirect leads, if that may be asked.
    pub(super) fn redirected(&self, to: &str) -> Option<String> {
        let url = if to.starts_with('/') { format!("{}{to}", self.base()) } else { to.to_owned() };
        self.may_be_asked(&url).then_some(url)
    }

    /// Whether a URL is of the registry itself.
    pub(super) fn is_of_registry(&self, url: &str) -> bool {
        url.strip_prefix(&self.base()).is_some_and(|rest| rest.starts_with('/'))
    }

    /// The region of a private registry of ECR, in each form of its hosts.
    pub(super) fn ecr_region(&self) -> Option<&str> {
        let parts: Vec<&str> = self.host.split('.').collect();
        let ([account, "dkr", "ecr" | "ecr-fips", region, "amazonaws", "com"]
        | [account, "dkr", "ecr", region, "amazonaws", "com", "cn"]
        | [account, "dkr-ecr" | "dkr-ecr-fips", region, "on", "aws"]) = parts.as_slice()
        else {
            return None;
        };
        account.bytes().all(|byte| byte.is_ascii_digit()).then_some(region)
    }
}

fn is_this_machine(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> String {
        Image::parse(text).unwrap().manifest_url()
    }

    #[test]
    fn a_name_is_completed_as_docker_and_ecs_do() {
        let hub = "https://registry-1.docker.io/v2";
        assert_eq!(url("nginx"), format!("{hub}/library/nginx/manifests/latest"));
        assert_eq!(url("nginx:1.29"), format!("{hub}/library/nginx/manifests/1.29"));
        assert_eq!(url("docker.io/nginx:1"), format!("{hub}/library/nginx/manifests/1"));
        assert_eq!(url("shop/web:7"), format!("{hub}/shop/web/manifests/7"));
        let ecr = "1.dkr.ecr.eu-west-1.amazonaws.com";
        assert_eq!(url(&format!("{ecr}/a/b:7")), format!("https://{ecr}/v2/a/b/manifests/7"));
        assert_eq!(url("ghcr.io:8443/web:7"), "https://ghcr.io:8443/v2/web/manifests/7");
        assert_eq!(url("localhost:5000/web"), "http://localhost:5000/v2/web/manifests/latest");
        let digest = format!("sha256:{}", "0a".repeat(32));
        let both = format!("public.ecr.aws/x/web:7@{digest}");
        assert_eq!(url(&both), format!("https://public.ecr.aws/v2/x/web/manifests/{digest}"));
    }

    #[test]
    fn what_could_change_the_url_is_no_name() {
        for text in ["", "web:7?x", "a b", "web#", "x.y/../web", "x.y//web", "u@x.y/web", "web:"] {
            assert_eq!(Image::parse(text), None, "{text}");
        }
    }

    #[test]
    fn private_registries_of_ecr_are_known_by_their_hosts() {
        let region = |host: &str| {
            let image = Image::parse(&format!("{host}/web:7")).unwrap();
            image.ecr_region().map(str::to_owned)
        };
        for host in [
            "12.dkr.ecr.eu-west-1.amazonaws.com",
            "12.dkr.ecr-fips.eu-west-1.amazonaws.com",
            "12.dkr-ecr.eu-west-1.on.aws",
        ] {
            assert_eq!(region(host).as_deref(), Some("eu-west-1"));
        }
        assert_eq!(region("12.dkr.ecr.cn-north-1.amazonaws.com.cn").as_deref(), Some("cn-north-1"));
        for host in [
            "public.ecr.aws",
            "x.dkr.ecr.eu-west-1.amazonaws.com",
            "12.dkr.ecr.eu-west-1.amazonaws.com.evil.example",
        ] {
            assert_eq!(region(host), None, "{host}");
        }
    }

    #[test]
    fn only_tls_or_this_machine_is_asked_and_credentials_stay_with_the_registry() {
        let far = Image::parse("ghcr.io/web:7").unwrap();
        let near = Image::parse("127.0.0.1:5000/web:7").unwrap();
        assert!(far.may_be_asked("https://auth.example/token"));
        assert!(!far.may_be_asked("http://127.0.0.1:1/token"));
        assert!(near.may_be_asked("http://[::1]:1/token"));
        assert!(!near.may_be_asked("http://evil.example/token"));
        assert!(!near.may_be_asked("file:///etc/passwd"));
        assert_eq!(far.redirected("/x").as_deref(), Some("https://ghcr.io/x"));
        assert_eq!(far.redirected("http://s3/x"), None);
        assert!(far.is_of_registry("https://ghcr.io/x"));
        assert!(!far.is_of_registry("https://ghcr.io.evil.example/x"));
    }
}
