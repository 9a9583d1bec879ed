//! Secrets of AWS Secrets Manager: which one, and what it says.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use aws_credential_types::Credentials;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::retry::RetryConfig;
use aws_sdk_secretsmanager::config::{BehaviorVersion, Region};
use aws_sdk_secretsmanager::error::ProvideErrorMetadata;

use crate::aws::{self, Caller};
use crate::config::{Env, FromEnv};

/// Name or ARN of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SecretId(String);

/// A text that cannot name a secret.
#[derive(Debug, thiserror::Error)]
#[error(
    "must be the name of a secret or its ARN, arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME"
)]
struct InvalidSecretId;

impl FromStr for SecretId {
    type Err = InvalidSecretId;

    fn from_str(text: &str) -> Result<Self, InvalidSecretId> {
        let id = Self(text.to_owned());
        let is_name = |name: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+=.@-!".contains(&byte);
            !name.is_empty() && name.bytes().all(allowed)
        };
        let is_valid = if text.starts_with("arn:") {
            id.region().is_some_and(|region| !region.is_empty())
                && text.split(':').nth(6).is_some_and(is_name)
        } else {
            is_name(text)
        };
        is_valid.then_some(id).ok_or(InvalidSecretId)
    }
}

impl SecretId {
    /// The region in an ARN.
    fn region(&self) -> Option<&str> {
        let mut parts = self.0.strip_prefix("arn:")?.split(':').skip(1);
        (parts.next()? == "secretsmanager").then(|| parts.next())?
    }
}

/// Which secret, and who asks for it.
#[derive(Debug, Clone)]
pub struct Settings {
    id: SecretId,
    /// What names it in the environment.
    variable: &'static str,
    region: String,
    endpoint: Option<String>,
    credentials: Option<Credentials>,
}

impl Settings {
    /// The secret that `variable` names, by its name or ARN; `Some(None)` where there is none, `None` when `env` has noted a
    /// problem.
    pub fn from_env(env: &mut Env, variable: &'static str) -> Option<Option<Self>> {
        let id = env.optional::<SecretId>(variable);
        let caller = Caller::from_env(env);
        let endpoint = aws::endpoint(env, "AWS_ENDPOINT_URL_SECRETS_MANAGER");
        let (Some(id), caller, endpoint) = (id?, caller?, endpoint?) else {
            return Some(None);
        };
        let Some(region) = id.region().map(ToOwned::to_owned).or(caller.region) else {
            env.problem(format!(
                "{variable} is a name without a region: give the ARN, or set AWS_REGION"
            ));
            return None;
        };
        Some(Some(Self {
            id,
            variable,
            region,
            endpoint,
            credentials: caller.credentials,
        }))
    }

    /// Where it is asked for.
    #[cfg(test)]
    pub(crate) fn region(&self) -> &str {
        &self.region
    }
}

/// Why a secret does not say what is wanted.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// There is none of this name, or it is about to be deleted.
    #[error("there is no secret {id} in {region}: check {variable}")]
    Missing {
        /// Name or ARN.
        id: String,
        /// Where it was looked for.
        region: String,
        /// What names it in the environment.
        variable: &'static str,
        /// What Secrets Manager says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The function may not read it.
    #[error(
        "the function may not read the secret {id}: allow its role secretsmanager:GetSecretValue, and kms:Decrypt if the secret has a key of its own"
    )]
    Denied {
        /// Name or ARN.
        id: String,
        /// What Secrets Manager says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Throttled, or no answer: later may be better.
    #[error(
        "cannot read the secret {id} at present: in a VPC this takes a way to Secrets Manager, by a VPC endpoint or NAT"
    )]
    Unavailable {
        /// Name or ARN.
        id: String,
        /// What happened.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It is there, but is not what it should be.
    #[error("the secret {id} cannot be used: {problem}")]
    Unusable {
        /// Name or ARN.
        id: String,
        /// What it should be; nothing of what it is.
        problem: String,
    },
}

/// A secret. The connection is made by the first question.
pub struct Secret {
    settings: Settings,
    client: OnceLock<Client>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Secret")
            .field("id", &self.settings.id)
            .finish_non_exhaustive()
    }
}

impl Secret {
    /// The secret that the settings name.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            client: OnceLock::new(),
        }
    }

    /// Its name or ARN.
    pub fn id(&self) -> &str {
        &self.settings.id.0
    }

    /// Asks Secrets Manager what the secret is now.
    ///
    /// # Errors
    ///
    /// [`SecretError`]; it is no text, for example.
    pub async fn fetch(&self) -> Result<String, SecretError> {
        let client = self.client.get_or_init(|| client(&self.settings));
        let answer = client.get_secret_value().secret_id(self.id()).send().await;
        let value = answer.map_err(|error| {
            let code = error.code().map(ToOwned::to_owned);
            let (id, source) = (self.id().to_owned(), Box::new(error));
            match code.as_deref() {
                Some("ResourceNotFoundException" | "InvalidRequestException") => {
                    SecretError::Missing {
                        id,
                        region: self.settings.region.clone(),
                        variable: self.settings.variable,
                        source,
                    }
                }
                Some(
                    "AccessDeniedException"
                    | "DecryptionFailure"
                    | "UnrecognizedClientException"
                    | "InvalidSignatureException"
                    | "ExpiredTokenException",
                ) => SecretError::Denied { id, source },
                _ => SecretError::Unavailable { id, source },
            }
        })?;
        value
            .secret_string
            .ok_or_else(|| self.unusable("it is binary"))
    }

    /// It says something else than what is wanted; `problem` holds nothing of what it says.
    pub fn unusable(&self, problem: impl Into<String>) -> SecretError {
        SecretError::Unusable {
            id: self.id().to_owned(),
            problem: problem.into(),
        }
    }
}

fn client(settings: &Settings) -> Client {
    let mut config = aws_sdk_secretsmanager::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(settings.region.clone()))
        .http_client(aws::http_client(settings.endpoint.is_some()))
        .retry_config(RetryConfig::standard())
        .timeout_config(aws::timeouts());
    if let Some(endpoint) = &settings.endpoint {
        config = config.endpoint_url(endpoint);
    }
    if let Some(credentials) = &settings.credentials {
        config = config.credentials_provider(credentials.clone());
    }
    Client::from_conf(config.build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_named_by_its_name_or_arn() {
        for (text, region) in [
            ("orders/db", None),
            ("rds!db-0a1b2c3d", None),
            (
                "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds!db-0a-AbCdEf",
                Some("eu-central-1"),
            ),
            (
                "arn:aws-us-gov:secretsmanager:us-gov-west-1:123456789012:secret:a/b",
                Some("us-gov-west-1"),
            ),
        ] {
            let id: SecretId = text.parse().unwrap();
            assert_eq!(id.region(), region, "{text}");
        }
        for text in [
            "",
            "a b",
            "arn:aws:s3:::bucket",
            "arn:aws:secretsmanager::123456789012:secret:a",
            "arn:aws:secretsmanager:eu-central-1:123456789012:secret",
            "{{resolve:secretsmanager:a}}",
            "postgresql://u:p@h/d",
        ] {
            assert!(text.parse::<SecretId>().is_err(), "{text}");
        }
    }
}
