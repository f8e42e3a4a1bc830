//! What a failed call means for what to do next, in one table; never decides to try again.

use std::error::Error;
use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use evenkeel_reconciler::CloudError;

use crate::operation::Operation;

/// A call that failed, before it is classified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nothing left this machine: no credentials, no connection, no valid request.
    NotSent { message: String, credentials: bool },
    /// Sent, but no reply that can be understood came back.
    Unanswered { message: String },
    /// AWS answered with an error.
    Answered(Answer),
}

/// An error reply of AWS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Empty when the reply names none.
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Throttled,
    Transient,
    /// The server failed: a read may be tried again, a write may have been carried out.
    ServerFault,
    Denied,
    Rejected,
    Conflict,
    Quota,
    CapabilityMissing,
}

/// Codes whose class does not depend on anything else. ECS: API reference, "Common errors" and the
/// errors of each operation; Elastic Load Balancing, `CloudWatch` and CodeDeploy the same; the throttling codes
/// are those that the AWS SDKs agree on. What is not listed here and not recognised by its text or
/// its HTTP status is [`Class::Rejected`].
const CODES: &[(Class, &[&str])] = &[
    (
        Class::Throttled,
        &[
            "BandwidthLimitExceeded",
            "EC2ThrottledException",
            "PriorRequestNotComplete",
            "ProvisionedThroughputExceededException",
            "RequestLimitExceeded",
            "RequestThrottled",
            "RequestThrottledException",
            "SlowDown",
            "ThrottledException",
            "Throttling",
            "ThrottlingException",
            "TooManyRequestsException",
            "TransactionInProgressException",
        ],
    ),
    (
        Class::Transient,
        &[
            "RequestTimeout",
            "RequestTimeoutException",
            "ServiceUnavailable",
            "ServiceUnavailableException",
        ],
    ),
    (
        Class::ServerFault,
        &[
            "HealthUnavailable",
            "InternalError",
            "InternalFailure",
            "InternalServiceError",
            "InternalServiceFault",
            "ServerException",
        ],
    ),
    (
        Class::Denied,
        &[
            "AccessDenied",
            "AccessDeniedException",
            "AuthFailure",
            "BlockedException",
            "ExpiredToken",
            "ExpiredTokenException",
            "IncompleteSignature",
            "IncompleteSignatureException",
            "InvalidAccessKeyId",
            "InvalidClientTokenId",
            "InvalidSignatureException",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
            "NotAuthorized",
            "OptInRequired",
            "RequestExpired",
            "RequestTimeTooSkewed",
            "SignatureDoesNotMatch",
            "UnauthorizedOperation",
            "UnrecognizedClientException",
        ],
    ),
    (
        Class::Conflict,
        &[
            "ApplicationDoesNotExistException",
            "ClusterNotFoundException",
            "ConflictException",
            // CodeDeploy's: a deployment ended, is not at the point of waiting, or another one is on its way.
            "DeploymentAlreadyCompletedException",
            "DeploymentConfigDoesNotExistException",
            "DeploymentDoesNotExistException",
            "DeploymentGroupDoesNotExistException",
            "DeploymentIsNotInReadyStateException",
            "DeploymentLimitExceededException",
            "ListenerNotFound",
            "ResourceInUseException",
            "ResourceNotFoundException",
            "RevisionDoesNotExistException",
            "RuleNotFound",
            "ServiceDeploymentNotFoundException",
            "ServiceNotActiveException",
            "ServiceNotFoundException",
            "TargetGroupNotFound",
            "TargetNotFoundException",
            "TaskSetNotFoundException",
            "UpdateInProgressException",
        ],
    ),
    (Class::Quota, &["LimitExceeded", "LimitExceededException", "ServiceQuotaExceededException"]),
    (
        Class::CapabilityMissing,
        &[
            "InvalidAction",
            "NotImplemented",
            "NotImplementedError",
            "NotImplementedException",
            "UnknownOperation",
            "UnknownOperationException",
            "UnsupportedOperation",
        ],
    ),
];

/// Texts that say more than the code they come with (`InvalidParameterException`,
/// `ClientException`), from AWS's documents and from reports of its users.
const TEXTS: &[(Class, &str)] = &[
    (Class::Throttled, "rate exceeded"),
    // Passes when the listener that will use the target group has been made.
    (Class::Transient, "does not have an associated load balancer"),
    // Pass when IAM has spread a new role.
    (Class::Transient, "unable to assume the service linked role"),
    (Class::Transient, "unable to assume role"),
    (Class::Transient, "role is not valid"),
    // Passes when somebody else's registration in the same family is over (hashicorp/terraform-provider-aws#9777).
    (Class::Transient, "too many concurrent attempts"),
    // ContinueServiceDeployment of a hook that was answered before, or of a deployment that has ended.
    (Class::Conflict, "is either completed, unavailable"),
    (Class::Conflict, "in terminal states"),
    // Passes when the deleted service of the same name is gone.
    (Class::Conflict, "still draining"),
    // Somebody created it first.
    (Class::Conflict, "was not idempotent"),
    (Class::Quota, "exceeds limit"),
    (Class::Quota, "exceeds the limit"),
    (Class::Quota, "limit exceeded"),
    // moto.
    (Class::CapabilityMissing, "has not been implemented"),
];

impl Failure {
    /// The one place where a failed call is given its meaning.
    pub(crate) fn classify(self, operation: Operation) -> CloudError {
        self.classify_as(operation.name(), operation.mutates())
    }

    /// As [`Self::classify`], for an operation of any service; `mutates` says whether it writes.
    pub(crate) fn classify_as(self, operation: &str, mutates: bool) -> CloudError {
        let operation = operation.to_owned();
        match self {
            Self::NotSent { message, credentials: true } => CloudError::Denied {
                operation,
                code: CloudError::NO_CREDENTIALS.to_owned(),
                message,
            },
            Self::NotSent { message, credentials: false } => {
                CloudError::Transient { operation, message }
            }
            Self::Unanswered { message } if mutates => {
                CloudError::UnknownOutcome { operation, message }
            }
            Self::Unanswered { message } => CloudError::Transient { operation, message },
            Self::Answered(answer) => answer.classify(operation, mutates),
        }
    }
}

impl Answer {
    fn classify(self, operation: String, mutates: bool) -> CloudError {
        let class = self.class();
        let Self { code, message, retry_after, .. } = self;
        match class {
            Class::Throttled => CloudError::Throttled { operation, message, retry_after },
            Class::ServerFault if mutates => CloudError::UnknownOutcome { operation, message },
            Class::Transient | Class::ServerFault => CloudError::Transient { operation, message },
            Class::Denied => CloudError::Denied { operation, code, message },
            Class::Rejected => CloudError::Rejected { operation, code, message },
            Class::Conflict => CloudError::Conflict { operation, code, message },
            Class::Quota => CloudError::Quota { operation, code, message },
            Class::CapabilityMissing => CloudError::CapabilityMissing { operation },
        }
    }

    fn class(&self) -> Class {
        self.class_of_text()
            .or_else(|| self.class_of_code())
            .unwrap_or_else(|| self.class_of_status())
    }

    fn class_of_text(&self) -> Option<Class> {
        let message = self.message.to_lowercase();
        let row = TEXTS.iter().find(|(_, text)| message.contains(text));
        row.map(|(class, _)| *class)
    }

    fn class_of_code(&self) -> Option<Class> {
        let row = CODES.iter().find(|(_, codes)| codes.contains(&self.code.as_str()));
        row.map(|(class, _)| *class)
    }

    fn class_of_status(&self) -> Class {
        match self.status {
            401 | 403 => Class::Denied,
            429 => Class::Throttled,
            // A server that has no such path or method does not know the call.
            404 | 405 if self.code.is_empty() => Class::CapabilityMissing,
            501 => Class::CapabilityMissing,
            408 | 503 => Class::Transient,
            500.. => Class::ServerFault,
            _ => Class::Rejected,
        }
    }
}

/// Takes an SDK error apart. `sent` says whether the request reached the connection.
pub(crate) fn failure<E>(error: &SdkError<E, HttpResponse>, sent: bool) -> Failure
where
    E: Error + ProvideErrorMetadata + 'static,
{
    match error {
        SdkError::ServiceError(service) => Failure::Answered(answer(service.err(), service.raw())),
        SdkError::ResponseError(response) => unreadable(response.raw(), chain(error)),
        _ if sent && !never_connected(error) && !no_credentials(error) => {
            Failure::Unanswered { message: chain(error) }
        }
        _ => Failure::NotSent { message: chain(error), credentials: no_credentials(error) },
    }
}

fn answer<E: ProvideErrorMetadata>(error: &E, response: &HttpResponse) -> Answer {
    let status = response.status().as_u16();
    let retry_after = response.headers().get("retry-after").and_then(|text| text.parse().ok());
    let message = error.message().map_or_else(|| format!("HTTP status {status}"), str::to_owned);
    Answer {
        code: error.code().unwrap_or_else(|| implied_code(response)).to_owned(),
        message,
        status,
        retry_after: retry_after.map(Duration::from_secs),
    }
}

/// A reply that is not in AWS's format: cut short, or from something between us and AWS, or from a
/// server that is not AWS.
fn unreadable(response: &HttpResponse, message: String) -> Failure {
    let status = response.status().as_u16();
    if (200..300).contains(&status) {
        return Failure::Unanswered { message };
    }
    let message = format!("HTTP status {status} without an error of AWS in it");
    Failure::Answered(Answer {
        code: implied_code(response).to_owned(),
        message,
        status,
        retry_after: None,
    })
}

/// The code of an error reply that names none.
fn implied_code(response: &HttpResponse) -> &'static str {
    // moto's server answers a call that it does not implement with the error page of its framework.
    let server = response.headers().get("server").unwrap_or_default();
    if response.status().as_u16() == 500 && server.starts_with("Werkzeug") {
        "NotImplementedError"
    } else {
        ""
    }
}

/// The error and its causes, each once, on one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for cause in causes(error) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            let colon = if text.is_empty() { "" } else { ": " };
            text.push_str(colon);
            text.push_str(&cause);
        }
    }
    text
}

fn never_connected(error: &(dyn Error + 'static)) -> bool {
    use hyper_util::client::legacy::Error as ClientError;
    causes(error)
        .filter_map(|cause| cause.downcast_ref::<ClientError>())
        .any(ClientError::is_connect)
}

fn no_credentials(error: &(dyn Error + 'static)) -> bool {
    use aws_credential_types::provider::error::CredentialsError;
    causes(error).any(<dyn Error>::is::<CredentialsError>)
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(operation: Operation, status: u16, code: &str, message: &str) -> CloudError {
        let (code, message) = (code.to_owned(), message.to_owned());
        let answer = Answer { code, message, status, retry_after: None };
        Failure::Answered(answer).classify(operation)
    }

    /// Class of an error reply to a read and to a write.
    fn classes(status: u16, code: &str, message: &str) -> (&'static str, &'static str) {
        (
            answered(Operation::DescribeServices, status, code, message).class(),
            answered(Operation::UpdateService, status, code, message).class(),
        )
    }

    #[test]
    fn every_code_has_the_class_that_says_what_to_do_next() {
        let rows = [
            ("ThrottlingException", "throttled"),
            ("Throttling", "throttled"),
            ("RequestLimitExceeded", "throttled"),
            ("TooManyRequestsException", "throttled"),
            ("RequestTimeoutException", "transient"),
            ("ServiceUnavailable", "transient"),
            ("AccessDeniedException", "denied"),
            ("ExpiredTokenException", "denied"),
            ("UnrecognizedClientException", "denied"),
            ("InvalidSignatureException", "denied"),
            ("IncompleteSignature", "denied"),
            ("NotAuthorized", "denied"),
            ("OptInRequired", "denied"),
            ("InvalidParameterException", "rejected"),
            ("ClientException", "rejected"),
            ("PlatformUnknownException", "rejected"),
            ("PlatformTaskDefinitionIncompatibilityException", "rejected"),
            ("UnsupportedFeatureException", "rejected"),
            ("NamespaceNotFoundException", "rejected"),
            ("SomethingNewerThanThisTable", "rejected"),
            ("ServiceNotActiveException", "conflict"),
            ("ServiceNotFoundException", "conflict"),
            ("ServiceDeploymentNotFoundException", "conflict"),
            ("ClusterNotFoundException", "conflict"),
            ("ConflictException", "conflict"),
            ("TargetGroupNotFound", "conflict"),
            ("ListenerNotFound", "conflict"),
            ("DeploymentLimitExceededException", "conflict"),
            ("DeploymentAlreadyCompletedException", "conflict"),
            ("DeploymentIsNotInReadyStateException", "conflict"),
            ("DeploymentDoesNotExistException", "conflict"),
            ("DeploymentGroupDoesNotExistException", "conflict"),
            ("ApplicationDoesNotExistException", "conflict"),
            ("InvalidRevisionException", "rejected"),
            ("InvalidRoleException", "rejected"),
            ("UnsupportedActionForDeploymentTypeException", "rejected"),
            ("LimitExceededException", "quota"),
            ("UnknownOperationException", "capability_missing"),
            ("InvalidAction", "capability_missing"),
            ("NotImplementedError", "capability_missing"),
        ];
        for (code, class) in rows {
            assert_eq!(classes(400, code, "text"), (class, class), "{code}");
        }
    }

    #[test]
    fn no_code_is_listed_twice() {
        let mut codes: Vec<_> = CODES.iter().flat_map(|row| row.1).collect();
        let listed = codes.len();
        codes.sort();
        codes.dedup();
        assert_eq!(codes.len(), listed);
    }

    #[test]
    fn a_text_that_says_more_than_its_code_decides() {
        let rows = [
            ("ClientException", "Rate exceeded", "throttled"),
            (
                "InvalidParameterException",
                "The target group with targetGroupArn arn:x does not have an associated load balancer.",
                "transient",
            ),
            (
                "InvalidParameterException",
                "Unable to assume the service linked role. Please verify that the ECS service linked \
                 role exists.",
                "transient",
            ),
            ("ClientException", "Role is not valid", "transient"),
            (
                "InvalidParameterException",
                "Unable to Start a service that is still Draining.",
                "conflict",
            ),
            ("InvalidParameterException", "Creation of service was not idempotent.", "conflict"),
            ("InvalidParameterException", "The count exceeds limit of 500.", "quota"),
            (
                "InvalidParameterException",
                "Provided hookId is either completed, unavailable, or not associated with the given \
                 Resource ARN",
                "conflict",
            ),
            (
                "InvalidParameterException",
                "Continuing a service deployment is not allowed for service deployment in terminal \
                 states.",
                "conflict",
            ),
            (
                "ClientException",
                "Too many concurrent attempts to create a new revision of the specified family.",
                "transient",
            ),
        ];
        for (code, message, class) in rows {
            assert_eq!(classes(400, code, message), (class, class), "{message}");
        }
    }

    #[test]
    fn a_server_fault_leaves_the_outcome_of_a_write_unknown() {
        assert_eq!(classes(500, "ServerException", ""), ("transient", "unknown_outcome"));
        assert_eq!(classes(500, "", ""), ("transient", "unknown_outcome"));
        assert_eq!(classes(502, "", ""), ("transient", "unknown_outcome"));
        assert_eq!(classes(504, "", ""), ("transient", "unknown_outcome"));
        assert_eq!(classes(503, "", ""), ("transient", "transient"));
    }

    #[test]
    fn a_status_decides_when_there_is_no_code() {
        assert_eq!(classes(429, "", "").0, "throttled");
        assert_eq!(classes(403, "", "").0, "denied");
        assert_eq!(classes(404, "", "").0, "capability_missing");
        assert_eq!(classes(404, "SomethingNotFound", "").0, "rejected");
        assert_eq!(classes(501, "", "").0, "capability_missing");
        assert_eq!(classes(413, "", "").0, "rejected");
    }

    #[test]
    fn silence_after_a_write_was_sent_is_an_unknown_outcome_and_before_it_is_not() {
        let silence = Failure::Unanswered { message: "timed out".to_owned() };
        assert_eq!(silence.clone().classify(Operation::CreateService).class(), "unknown_outcome");
        assert_eq!(silence.classify(Operation::ListTasks).class(), "transient");
        let refused =
            Failure::NotSent { message: "connection refused".to_owned(), credentials: false };
        assert_eq!(refused.classify(Operation::CreateService).class(), "transient");
    }

    #[test]
    fn retry_after_is_handed_on() {
        let retry_after = Some(Duration::from_secs(7));
        let answer = Answer { code: "Throttling".to_owned(), retry_after, ..Answer::default() };
        let error = Failure::Answered(answer).classify(Operation::DescribeTargetHealth);
        assert!(matches!(error, CloudError::Throttled { retry_after: Some(after), .. }
            if after == Duration::from_secs(7)));
    }
}
