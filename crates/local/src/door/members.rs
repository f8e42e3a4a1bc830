//! The few members of AWS's models whose kind the wire does not tell; never a whole model.
//!
//! Source: botocore's service models of elasticloadbalancingv2 (2015-12-01), cloudwatch (2010-08-01)
//! and codedeploy (2014-10-06), whose members begin with a small letter.
//! A name means the same in every shape of all, but for the exceptions in [`kind`].

/// What a scalar of a Query request, or a number of a JSON document, stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Whole,
    Decimal,
    Flag,
    Time,
}

/// The kind of member `name` inside the structure or list that is the value of `parent`.
pub(super) fn kind(parent: &str, name: &str) -> Kind {
    match (parent, name) {
        ("RedirectConfig", "Port") => Kind::Text,
        ("MetricData", "Value" | "Values") | ("MetricDataResults", "Values") => Kind::Decimal,
        _ if WHOLE.contains(&name) => Kind::Whole,
        _ if DECIMAL.contains(&name) => Kind::Decimal,
        _ if FLAG.contains(&name) => Kind::Flag,
        _ if TIME.contains(&name) => Kind::Time,
        _ => Kind::Text,
    }
}

/// Whether an empty value of `name` in a Query request means an empty list: that is how the AWS
/// CLI and botocore send one.
pub(super) fn is_list(name: &str) -> bool {
    LIST.contains(&name)
}

const WHOLE: &[&str] = &[
    "ActionsSuppressorExtensionPeriod",
    "ActionsSuppressorWaitPeriod",
    "CapacityUnits",
    "DatapointsToAlarm",
    "DurationSeconds",
    "EvaluationInterval",
    "EvaluationPeriods",
    "HealthCheckIntervalSeconds",
    "HealthCheckTimeoutSeconds",
    "HealthyThresholdCount",
    "MaxDatapoints",
    "MaxRecords",
    "MaxResults",
    "Order",
    "PageSize",
    "PendingPeriod",
    "Period",
    "Port",
    "Priority",
    "RecoveryPeriod",
    "SessionTimeout",
    "StorageResolution",
    "TargetControlPort",
    "UnhealthyThresholdCount",
    "Weight",
];

const DECIMAL: &[&str] = &[
    "Average",
    "Counts",
    "EffectiveCapacityUnits",
    "Maximum",
    "Minimum",
    "SampleCount",
    "Sum",
    "Threshold",
    "trafficWeight",
];

const FLAG: &[&str] = &[
    "ActionsEnabled",
    "ApplyOnTransformedLogs",
    "Enabled",
    "HealthCheckEnabled",
    "IgnoreClientCertificateExpiry",
    "IncludeLinkedAccounts",
    "IsDefault",
    "PeriodicSpikes",
    "ResetTransforms",
    "ReturnData",
    "StrictEntityValidation",
];

const TIME: &[&str] = &[
    "AlarmConfigurationUpdatedTimestamp",
    "CreatedTime",
    "EndDate",
    "EndTime",
    "LastModifiedTime",
    "StartDate",
    "StartTime",
    "StateTransitionedTimestamp",
    "StateUpdatedTimestamp",
    "Timestamp",
    "Timestamps",
    "completeTime",
    "createTime",
    "endTime",
    "lastUpdatedAt",
    "startTime",
];

const LIST: &[&str] = &[
    "Actions",
    "AlarmActions",
    "AlarmNames",
    "AlarmTypes",
    "Attributes",
    "Certificates",
    "Conditions",
    "DefaultActions",
    "Dimensions",
    "Include",
    "InsufficientDataActions",
    "ListenerArns",
    "LoadBalancerArns",
    "MetricData",
    "MetricDataQueries",
    "Metrics",
    "Names",
    "OKActions",
    "ResourceArns",
    "RuleArns",
    "RulePriorities",
    "SecurityGroups",
    "Statistics",
    "SubnetMappings",
    "Subnets",
    "TagKeys",
    "Tags",
    "TargetGroupArns",
    "TargetGroups",
    "Targets",
    "Transforms",
    "Values",
];
