//! Whether a registry has an image and what it runs on, by the HTTP API of registries; never reads a layer, and sends
//! credentials only to the registry that they are for.
//!
//! Source: OCI distribution specification, "Pull"; Docker registry, "Token authentication".

mod challenge;
mod image;
mod manifest;

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use evenkeel_planner::{Fact, Platform, Shown, Unknown};
use hyper::StatusCode;
use hyper::header::{LOCATION, WWW_AUTHENTICATE};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Looks;
use crate::outside::web::{Answer, Web};
use challenge::Challenge;
use image::Image;
use manifest::Manifest;

const TIMEOUT: Duration = Duration::from_secs(10);
/// ECR's credentials are good for twelve hours.
const TOKEN_LIFETIME: Duration = Duration::from_hours(1);
/// Registries send to a storage service, once.
const REDIRECTS_MAX: usize = 3;

/// All registries that images are named of.
pub(super) struct Registries {
    web: Web,
    /// Of ECR, by region.
    tokens: Mutex<BTreeMap<String, (Instant, String)>>,
}

/// Why there is no answer about the image.
enum Unanswered {
    Absent,
    Unknown(Unknown),
}

/// Registries give either, or both with the same value.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl From<Unanswered> for Fact<Shown> {
    fn from(why: Unanswered) -> Self {
        match why {
            Unanswered::Absent => Self::Absent,
            Unanswered::Unknown(why) => Self::Unknown(why),
        }
    }
}

impl Registries {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { web: Web::new()?, tokens: Mutex::default() })
    }

    /// The platforms of an image.
    pub(super) async fn look(&self, reference: &str, looks: &impl Looks) -> Fact<Shown> {
        let Some(image) = Image::parse(reference) else {
            let (operation, message) = ("the image", "it is no reference of an image");
            let (operation, message) = (operation.to_owned(), message.to_owned());
            return Fact::Unknown(Unknown::Failed { operation, message });
        };
        match self.platforms(&image, looks).await {
            Ok(platforms) => Fact::Known(Shown::Image(platforms)),
            Err(why) => why.into(),
        }
    }

    async fn platforms(
        &self,
        image: &Image,
        looks: &impl Looks,
    ) -> Result<Vec<Platform>, Unanswered> {
        let region = image.ecr_region();
        let credentials = match region {
            Some(region) => Some(format!("Basic {}", self.token(region, looks).await?)),
            None => None,
        };
        let (answer, authorization) = self.manifest(image, credentials).await?;
        match Manifest::parse(&answer.body) {
            Some(Manifest::Index(platforms)) => Ok(platforms),
            Some(Manifest::Image { configuration }) => {
                let answer = self.blob(image, &configuration, authorization).await?;
                Ok(Manifest::platform(&answer.body).into_iter().collect())
            }
            Some(Manifest::Silent) => Ok(Vec::new()),
            None => Err(failed(image, "its manifest cannot be read")),
        }
    }

    /// The manifest, and the credentials with which it was given.
    async fn manifest(
        &self,
        image: &Image,
        credentials: Option<String>,
    ) -> Result<(Answer, Option<String>), Unanswered> {
        let url = image.manifest_url();
        let answer = self.get(image, &url, credentials.as_deref()).await?;
        if answer.status != StatusCode::UNAUTHORIZED || credentials.is_some() {
            return Ok((expect_image(image, answer)?, credentials));
        }
        let challenge = answer.headers.get(WWW_AUTHENTICATE).and_then(|text| text.to_str().ok());
        let Some(challenge) = challenge.and_then(Challenge::parse) else {
            return Err(private(image));
        };
        let bearer = Some(format!("Bearer {}", self.bearer(image, &challenge).await?));
        let answer = self.get(image, &url, bearer.as_deref()).await?;
        Ok((expect_image(image, answer)?, bearer))
    }

    /// What a configuration says is small; where it is stored may be elsewhere, whereto no credentials go.
    async fn blob(
        &self,
        image: &Image,
        digest: &str,
        authorization: Option<String>,
    ) -> Result<Answer, Unanswered> {
        let mut url = image.blob_url(digest);
        let mut authorization = authorization;
        for _ in 0..=REDIRECTS_MAX {
            let answer = self.get(image, &url, authorization.as_deref()).await?;
            if !answer.status.is_redirection() {
                return expect_image(image, answer);
            }
            let to = answer.headers.get(LOCATION).and_then(|to| to.to_str().ok());
            url = to
                .and_then(|to| image.redirected(to))
                .ok_or_else(|| failed(image, "it sends to a place that is not asked"))?;
            authorization = authorization.filter(|_| image.is_of_registry(&url));
        }
        Err(failed(image, "it sends from one place to another"))
    }

    async fn get(
        &self,
        image: &Image,
        url: &str,
        authorization: Option<&str>,
    ) -> Result<Answer, Unanswered> {
        let mut headers = vec![("accept", manifest::ACCEPTED.join(", "))];
        headers.extend(authorization.map(|text| ("authorization", text.to_owned())));
        let answer = self.web.get(url, &headers, TIMEOUT).await;
        answer.map_err(|why| failed(image, &why))
    }

    async fn bearer(&self, image: &Image, challenge: &Challenge) -> Result<String, Unanswered> {
        let url = challenge.url(&image.pull_scope());
        let url = url.filter(|url| image.may_be_asked(url)).ok_or_else(|| private(image))?;
        let answer = self.web.get(&url, &[], TIMEOUT).await.map_err(|why| failed(image, &why))?;
        match answer.status {
            status if status.is_success() => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(private(image)),
            status => return Err(failed(image, &format!("status {status} instead of a token"))),
        }
        let token = serde_json::from_slice::<Token>(&answer.body).ok();
        let token = token.and_then(|one| one.token.or(one.access_token));
        token.ok_or_else(|| failed(image, "it gives no token"))
    }

    /// Asked once for all images of a region.
    async fn token(&self, region: &str, looks: &impl Looks) -> Result<String, Unanswered> {
        let mut tokens = self.tokens.lock().await;
        if let Some((since, token)) = tokens.get(region)
            && since.elapsed() < TOKEN_LIFETIME
        {
            return Ok(token.clone());
        }
        let token = looks.registry_token(region).await.map_err(Unanswered::Unknown)?;
        tokens.insert(region.to_owned(), (Instant::now(), token.clone()));
        Ok(token)
    }
}

fn expect_image(image: &Image, answer: Answer) -> Result<Answer, Unanswered> {
    match answer.status {
        status if status.is_success() => Ok(answer),
        StatusCode::NOT_FOUND => Err(Unanswered::Absent),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if image.ecr_region().is_some() => {
            let operation = "ecr:BatchGetImage".to_owned();
            Err(Unanswered::Unknown(Unknown::Denied { operation, message: String::new() }))
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(private(image)),
        StatusCode::TOO_MANY_REQUESTS => Err(failed(image, "it was asked too often")),
        status => Err(failed(image, &format!("status {status}"))),
    }
}

fn private(image: &Image) -> Unanswered {
    let message = "it shows the image to nobody without credentials, or has none of this name";
    let (operation, message) = (image.registry().to_owned(), message.to_owned());
    Unanswered::Unknown(Unknown::Denied { operation, message })
}

fn failed(image: &Image, why: &str) -> Unanswered {
    let (operation, message) = (image.registry().to_owned(), why.to_owned());
    Unanswered::Unknown(Unknown::Failed { operation, message })
}

#[cfg(test)]
mod tests;
