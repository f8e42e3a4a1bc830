//! Applications: names for deployment groups; never what these deploy.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::groups::Group;
use super::{CodeDeploy, refused, required};
use crate::region::{ApiError, State, epoch, text};

#[derive(Clone, Debug)]
pub(super) struct Application {
    id: String,
    created_at: Timestamp,
    /// By name.
    pub(super) groups: BTreeMap<String, Group>,
}

pub(super) fn missing(name: &str) -> ApiError {
    refused("ApplicationDoesNotExist", format!("No application found for name: {name}"))
}

impl CodeDeploy {
    /// The application that an input names.
    pub(super) fn application<'a>(
        &self,
        input: &'a Value,
    ) -> Result<(&'a str, &Application), ApiError> {
        let name = required(input, "applicationName", "ApplicationNameRequired")?;
        let found = self.applications.get(name).ok_or_else(|| missing(name))?;
        Ok((name, found))
    }
}

impl State {
    pub(super) fn create_application(&mut self, input: &Value) -> Result<Value, ApiError> {
        let name = required(input, "applicationName", "ApplicationNameRequired")?;
        check_platform(input)?;
        if self.code_deploy.applications.contains_key(name) {
            return Err(refused(
                "ApplicationAlreadyExists",
                format!("Application {name} already exists"),
            ));
        }
        let id = self.new_uuid();
        let made = Application { id: id.clone(), created_at: self.now, groups: BTreeMap::new() };
        self.code_deploy.applications.insert(name.to_owned(), made);
        Ok(json!({"applicationId": id}))
    }

    pub(super) fn get_application(&self, input: &Value) -> Result<Value, ApiError> {
        let (name, found) = self.code_deploy.application(input)?;
        Ok(json!({"application": {
            "applicationId": found.id,
            "applicationName": name,
            "createTime": epoch(found.created_at),
            "linkedToGitHub": false,
            "computePlatform": "ECS",
        }}))
    }

    pub(super) fn list_applications(&self, input: &Value) -> Result<Value, ApiError> {
        let names = self.code_deploy.applications.keys().cloned();
        super::replies::names("applications", names, input)
    }
}

/// This model speaks for services of ECS alone.
pub(super) fn check_platform(input: &Value) -> Result<(), ApiError> {
    match text(input, "computePlatform") {
        Some("ECS") => Ok(()),
        _ => Err(refused(
            "InvalidComputePlatform",
            "The computePlatform is invalid. The computePlatform should be ECS.",
        )),
    }
}
