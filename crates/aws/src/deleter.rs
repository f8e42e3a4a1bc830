//! The only client that deletes services, made only where the configuration grants pruning; never sends anything
//! else.

use crate::error::{Failure, failure};
use crate::exchange::Exchange;

#[derive(Debug)]
pub(crate) struct Deleter(aws_sdk_ecs::Client);

impl Deleter {
    pub(crate) fn new(client: aws_sdk_ecs::Client) -> Self {
        Self(client)
    }

    pub(crate) async fn delete_service(&self, exchange: &Exchange) -> Result<(), Failure> {
        let request = self.0.delete_service().customize().interceptor(exchange.interceptor());
        request.send().await.map(drop).map_err(|error| failure(&error, exchange.sent()))
    }
}
