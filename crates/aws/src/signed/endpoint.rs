//! Where each service is and what its requests are signed for; never anything that the configuration of AWS's tools
//! does not say.

use std::collections::BTreeMap;

use aws_types::SdkConfig;
use aws_types::service_config::ServiceConfigKey;

use crate::operation::VerifyOperation;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) url: String,
    /// The region that requests are signed for.
    pub(super) region: String,
    pub(super) signing_name: &'static str,
}

/// A service as its hosts, its signatures and the configuration of AWS's tools name it.
struct Service {
    host: &'static str,
    signing_name: &'static str,
    /// As in `AWS_ENDPOINT_URL_...`, with spaces.
    id: &'static str,
}

fn service(operation: VerifyOperation) -> Service {
    let (host, signing_name, id) = match operation {
        VerifyOperation::GetRole => ("iam", "iam", "IAM"),
        VerifyOperation::DescribeSecret => ("secretsmanager", "secretsmanager", "Secrets Manager"),
        VerifyOperation::DescribeParameters => ("ssm", "ssm", "SSM"),
        VerifyOperation::DescribeLogGroups => ("logs", "logs", "CloudWatch Logs"),
        VerifyOperation::GetAuthorizationToken => ("api.ecr", "ecr", "ECR"),
        VerifyOperation::DescribeSubnets | VerifyOperation::DescribeSecurityGroups => {
            ("ec2", "ec2", "EC2")
        }
        VerifyOperation::GetFunctionConcurrency => ("lambda", "lambda", "Lambda"),
    };
    Service { host, signing_name, id }
}

/// What the configuration says of endpoints.
pub(super) struct Endpoints {
    region: String,
    /// By the ID of a service.
    set: BTreeMap<&'static str, String>,
    /// For all others.
    set_for_all: Option<String>,
}

impl Endpoints {
    /// The most special setting wins, but one that Evenkeel's own configuration makes goes before all.
    pub(super) fn new(config: &SdkConfig) -> Self {
        let all = config.endpoint_url().map(str::to_owned);
        let is_ours = all.is_some() && config.get_origin("endpoint_url").is_client_config();
        let of = |id: &'static str| {
            let key = ServiceConfigKey::builder();
            let key = key.service_id(id).env("AWS_ENDPOINT_URL").profile("endpoint_url");
            let url = config.service_config()?.load_config(key.build().ok()?)?;
            Some((id, url))
        };
        let ids = VerifyOperation::ALL.into_iter().map(|operation| service(operation).id);
        let set = if is_ours { BTreeMap::new() } else { ids.filter_map(of).collect() };
        let region = config.region().map(ToString::to_string).unwrap_or_default();
        Self { region, set, set_for_all: all }
    }

    pub(super) fn of(&self, operation: VerifyOperation, region: Option<&str>) -> Endpoint {
        let Service { host, signing_name, id } = service(operation);
        let region = region.filter(|region| is_name(region)).unwrap_or(&self.region);
        let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let (host, region) = match (id, region) {
            ("IAM", china) if china.starts_with("cn-") => {
                ("iam.cn-north-1".to_owned(), "cn-north-1")
            }
            ("IAM", gov) if gov.starts_with("us-gov-") => {
                ("iam.us-gov".to_owned(), "us-gov-west-1")
            }
            ("IAM", _) => ("iam".to_owned(), "us-east-1"),
            _ => (format!("{host}.{region}"), region),
        };
        let set = self.set.get(id).or(self.set_for_all.as_ref());
        let url = set.map_or_else(|| format!("https://{host}.{suffix}"), Clone::clone);
        let url = format!("{}/", url.trim_end_matches('/'));
        Endpoint { url, region: region.to_owned(), signing_name }
    }
}

/// A region of a manifest becomes part of a host, and must not become another host.
fn is_name(region: &str) -> bool {
    !region.is_empty() && region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use aws_types::origin::Origin;
    use aws_types::region::Region;
    use aws_types::service_config::LoadServiceConfig;

    use super::*;

    /// A setting for the services whose ID has a space in it.
    #[derive(Debug)]
    struct ForTwo;

    impl LoadServiceConfig for ForTwo {
        fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
            key.service_id().contains(' ').then(|| "http://two".to_owned())
        }
    }

    #[test]
    fn what_evenkeel_is_configured_with_goes_before_the_settings_of_aws_tools() {
        let urls = |origin| {
            let mut config = SdkConfig::builder()
                .region(Region::new("eu-west-1"))
                .endpoint_url("http://all")
                .service_config(ForTwo);
            config.insert_origin("endpoint_url", origin);
            let endpoints = Endpoints::new(&config.build());
            [VerifyOperation::DescribeSecret, VerifyOperation::DescribeSubnets]
                .map(|operation| endpoints.of(operation, None).url)
        };
        let from_environment = urls(Origin::shared_environment_variable());
        assert_eq!(from_environment, ["http://two/", "http://all/"]);
        assert_eq!(urls(Origin::shared_config()), ["http://all/", "http://all/"]);
    }

    fn endpoints(region: &str, set: &[(&'static str, &str)], all: Option<&str>) -> Endpoints {
        let set = set.iter().map(|(id, url)| (*id, (*url).to_owned())).collect();
        Endpoints { region: region.to_owned(), set, set_for_all: all.map(str::to_owned) }
    }

    #[test]
    fn every_partition_has_its_hosts_and_iam_one_for_all_regions() {
        let cases = [
            ("eu-west-1", "https://iam.amazonaws.com/", "us-east-1"),
            ("us-gov-east-1", "https://iam.us-gov.amazonaws.com/", "us-gov-west-1"),
            ("cn-northwest-1", "https://iam.cn-north-1.amazonaws.com.cn/", "cn-north-1"),
        ];
        for (region, url, signed_for) in cases {
            let endpoint = endpoints(region, &[], None).of(VerifyOperation::GetRole, None);
            assert_eq!((endpoint.url.as_str(), endpoint.region.as_str()), (url, signed_for));
        }
        let ecr = VerifyOperation::GetAuthorizationToken;
        let endpoint = endpoints("eu-west-1", &[], None).of(ecr, Some("us-east-2"));
        let expected = ("https://api.ecr.us-east-2.amazonaws.com/", "us-east-2", "ecr");
        assert_eq!((&*endpoint.url, &*endpoint.region, endpoint.signing_name), expected);
        let china = endpoints("cn-north-1", &[], None).of(VerifyOperation::DescribeSubnets, None);
        assert_eq!(china.url, "https://ec2.cn-north-1.amazonaws.com.cn/");
    }

    #[test]
    fn a_region_of_a_manifest_names_no_other_host() {
        let secret = VerifyOperation::DescribeSecret;
        for region in ["", "evil.example/", "a@b", "x#"] {
            let endpoint = endpoints("eu-west-1", &[], None).of(secret, Some(region));
            assert_eq!(endpoint.url, "https://secretsmanager.eu-west-1.amazonaws.com/");
        }
    }

    #[test]
    fn a_setting_for_one_service_goes_before_one_for_all() {
        let all = endpoints("eu-west-1", &[("SSM", "http://ssm/")], Some("http://all"));
        assert_eq!(all.of(VerifyOperation::DescribeParameters, None).url, "http://ssm/");
        let elsewhere = all.of(VerifyOperation::DescribeSecret, Some("us-east-2"));
        assert_eq!((&*elsewhere.url, &*elsewhere.region), ("http://all/", "us-east-2"));
    }
}
