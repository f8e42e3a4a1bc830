//! What the manifest of an image says about its platforms; never reads layers.
//!
//! Source: OCI image specification; Docker, "Image manifest version 2, schema 2".

use evenkeel_planner::Platform;
use serde::Deserialize;

/// Both kinds in both dialects.
pub(super) const ACCEPTED: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Manifest {
    /// Of several images, with the platform of each.
    Index(Vec<Platform>),
    /// Of one image, whose platform is in its configuration.
    Image { configuration: String },
    /// Of something that names no platform.
    Silent,
}

#[derive(Deserialize)]
struct Document {
    manifests: Option<Vec<Element>>,
    config: Option<Configuration>,
}

#[derive(Deserialize)]
struct Element {
    platform: Option<Named>,
}

#[derive(Deserialize)]
struct Configuration {
    digest: String,
}

#[derive(Deserialize)]
struct Named {
    os: Option<String>,
    architecture: Option<String>,
}

impl Named {
    /// Attestations are listed as images for `unknown/unknown`.
    fn platform(self) -> Option<Platform> {
        let platform = Platform { os: self.os?, architecture: self.architecture? };
        (platform.os != "unknown").then_some(platform)
    }
}

impl Manifest {
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let document: Document = serde_json::from_slice(body).ok()?;
        match (document.manifests, document.config) {
            (Some(elements), _) => {
                let named = elements.into_iter().filter_map(|element| element.platform);
                Some(Self::Index(named.filter_map(Named::platform).collect()))
            }
            (None, Some(Configuration { digest })) => {
                let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b":+._-=".contains(&byte);
                digest.bytes().all(is_plain).then_some(Self::Image { configuration: digest })
            }
            (None, None) => Some(Self::Silent),
        }
    }

    /// The platform in the configuration of an image.
    pub(super) fn platform(configuration: &[u8]) -> Option<Platform> {
        serde_json::from_slice::<Named>(configuration).ok()?.platform()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_names_its_platforms_and_no_attestation() {
        let index = br#"{"manifests": [
            {"digest": "sha256:1", "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}},
            {"digest": "sha256:2", "platform": {"os": "unknown", "architecture": "unknown"}},
            {"digest": "sha256:3"}]}"#;
        let platform = Platform { os: "linux".to_owned(), architecture: "arm64".to_owned() };
        assert_eq!(Manifest::parse(index), Some(Manifest::Index(vec![platform])));
    }

    #[test]
    fn the_manifest_of_one_image_names_its_configuration() {
        let one = br#"{"schemaVersion": 2, "config": {"digest": "sha256:0a"}, "layers": []}"#;
        let configuration = "sha256:0a".to_owned();
        assert_eq!(Manifest::parse(one), Some(Manifest::Image { configuration }));
        let elsewhere = br#"{"config": {"digest": "../../x?y"}}"#;
        assert_eq!(Manifest::parse(elsewhere), None);
        assert_eq!(Manifest::parse(b"{}"), Some(Manifest::Silent));
        assert_eq!(Manifest::parse(b"<html>"), None);
    }
}
