//! The HTTPS client: rustls with ring, the platform's certificates and the environment's proxy; never
//! sends what is meant for this machine or its metadata service through a proxy.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

/// `AWS_CA_BUNDLE` names a file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("AWS_CA_BUNDLE={}: {reason}", path.display())]
pub struct CaBundleError {
    path: PathBuf,
    reason: String,
}

/// One client for all services and credential providers, so that connections are shared. Like other
/// AWS tools it honours `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY` and `AWS_CA_BUNDLE`.
pub(crate) fn client() -> Result<SharedHttpClient, CaBundleError> {
    let tls = tls_context(std::env::var_os("AWS_CA_BUNDLE").map(PathBuf::from))?;
    let connectors = Mutex::new(BTreeMap::new());
    Ok(http_client_fn(move |settings, components| {
        let mut connectors = connectors.lock().unwrap_or_else(PoisonError::into_inner);
        let connector = connectors.entry(timeouts(settings)).or_insert_with(|| {
            SharedHttpConnector::new(Routes::new(settings, Some(components), &tls))
        });
        connector.clone()
    }))
}

/// As [`client`], for requests that the SDK does not send; without a limit of time.
pub(crate) fn connector() -> Result<SharedHttpConnector, CaBundleError> {
    let tls = tls_context(std::env::var_os("AWS_CA_BUNDLE").map(PathBuf::from))?;
    let settings = HttpConnectorSettings::builder().build();
    Ok(SharedHttpConnector::new(Routes::new(&settings, None, &tls)))
}

/// What tells one set of connection settings from another.
fn timeouts(settings: &HttpConnectorSettings) -> (Option<Duration>, Option<Duration>) {
    (settings.connect_timeout(), settings.read_timeout())
}

fn tls_context(ca_bundle: Option<PathBuf>) -> Result<TlsContext, CaBundleError> {
    let trust_store = match ca_bundle {
        Some(path) => TrustStore::default().with_pem_certificate(read_bundle(path)?),
        None => TrustStore::default(),
    };
    let context = TlsContext::builder().with_trust_store(trust_store).build();
    Ok(context.expect("only names of servers can make a context invalid, and there are none"))
}

fn read_bundle(path: PathBuf) -> Result<Vec<u8>, CaBundleError> {
    let bundle = std::fs::read(&path)
        .map_err(|error| CaBundleError { path: path.clone(), reason: error.to_string() })?;
    let marker = b"-----BEGIN CERTIFICATE-----";
    if bundle.windows(marker.len()).any(|window| window == marker) {
        Ok(bundle)
    } else {
        Err(CaBundleError { path, reason: "it holds no PEM certificate".to_owned() })
    }
}

/// The way to this machine and to its metadata services, and the way to everything else.
#[derive(Debug)]
struct Routes {
    direct: Arc<Connector>,
    proxied: Arc<Connector>,
}

impl Routes {
    fn new(
        settings: &HttpConnectorSettings,
        components: Option<&RuntimeComponents>,
        tls: &TlsContext,
    ) -> Self {
        let build = |proxy| {
            let mut builder = Connector::builder();
            builder
                .set_connector_settings(Some(settings.clone()))
                .set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
            let builder = builder.tls_provider(Provider::Rustls(CryptoMode::Ring));
            Arc::new(builder.tls_context(tls.clone()).proxy_config(proxy).build())
        };
        Self { direct: build(ProxyConfig::disabled()), proxied: build(ProxyConfig::from_env()) }
    }
}

impl HttpConnector for Routes {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let route = if is_local(request.uri()) { &self.direct } else { &self.proxied };
        route.call(request)
    }
}

/// Loopback and link-local addresses: the metadata services of EC2 and ECS are link-local.
fn is_local(uri: &str) -> bool {
    let authority = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let host = authority.split(['/', '?']).next().unwrap_or_default();
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    match host.parse() {
        Ok(std::net::IpAddr::V4(ip)) => ip.is_loopback() || ip.is_link_local(),
        // EC2's metadata service listens on fd00:ec2::254, Pod Identity's agent on fd00:ec2::23.
        Ok(std::net::IpAddr::V6(ip)) => {
            ip.is_loopback() || ip.segments().starts_with(&[0xfd00, 0xec2])
        }
        Err(_) => host == "localhost",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_and_its_metadata_services_are_reached_without_the_proxy() {
        let local = [
            "http://localhost:4599/",
            "http://127.0.0.1:4599",
            "http://169.254.169.254/latest/meta-data",
            "http://169.254.170.2/v2/credentials?x",
            "http://[::1]:80/",
            "http://[fd00:ec2::254]/latest",
        ];
        for uri in local {
            assert!(is_local(uri), "{uri}");
        }
        for uri in ["https://ecs.eu-west-1.amazonaws.com/", "https://10.0.0.1/", "https://[::2]/"] {
            assert!(!is_local(uri), "{uri}");
        }
    }

    #[test]
    fn a_certificate_bundle_that_cannot_be_used_is_named() {
        let missing = tls_context(Some(PathBuf::from("/nowhere/bundle.pem"))).unwrap_err();
        assert!(missing.to_string().starts_with("AWS_CA_BUNDLE=/nowhere/bundle.pem: "));
        let not_pem = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let error = tls_context(Some(PathBuf::from(not_pem))).unwrap_err();
        assert!(error.to_string().ends_with("it holds no PEM certificate"));
    }
}
