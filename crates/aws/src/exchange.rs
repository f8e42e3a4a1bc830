//! The body of one request to ECS or CodeDeploy and of its reply as JSON, around the SDK's own types; never printed:
//! bodies hold the environment of containers.
//!
//! Both speak JSON whose members are those of AWS's documents. The SDK signs, sends, times out and
//! understands errors; the bodies go past its types, which know only the members of their day.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::{
    AfterDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextMut,
    BeforeTransmitInterceptorContextRef,
};
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use serde_json::Value;

use crate::error::Failure;

/// One request and its reply.
#[derive(Clone)]
pub(crate) struct Exchange(Arc<Bodies>);

struct Bodies {
    request: String,
    sent: AtomicBool,
    reply: Mutex<Option<Vec<u8>>>,
}

impl Exchange {
    pub(crate) fn new(input: &Value) -> Self {
        let request = input.to_string();
        Self(Arc::new(Bodies { request, sent: AtomicBool::new(false), reply: Mutex::default() }))
    }

    /// What puts the bodies in and takes them out, for `CustomizableOperation::interceptor`.
    pub(crate) fn interceptor(&self) -> impl Intercept + 'static {
        self.clone()
    }

    /// Whether the request was handed to the connection.
    pub(crate) fn sent(&self) -> bool {
        self.0.sent.load(Ordering::Relaxed)
    }

    /// The reply's body without nulls: an absent member and one that is null mean the same.
    pub(crate) fn reply(&self) -> Result<Value, Failure> {
        let reply = self.0.reply.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The replies of TagResource and UntagResource may be empty.
        let text = reply.filter(|text| !text.is_empty()).unwrap_or_else(|| b"{}".to_vec());
        let mut value: Value = serde_json::from_slice(&text).map_err(|error| {
            Failure::Unanswered { message: format!("the reply is not JSON: {error}") }
        })?;
        drop_nulls(&mut value);
        Ok(value)
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").finish_non_exhaustive()
    }
}

#[dyn_dispatch_hint]
impl Intercept for Exchange {
    fn name(&self) -> &'static str {
        "Exchange"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        request.headers_mut().insert("content-length", self.0.request.len().to_string());
        *request.body_mut() = SdkBody::from(self.0.request.as_str());
        Ok(())
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.sent.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response().body().bytes().map(<[u8]>::to_vec);
        *self.0.reply.lock().unwrap_or_else(PoisonError::into_inner) = body;
        Ok(())
    }
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(elements) => elements.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}
