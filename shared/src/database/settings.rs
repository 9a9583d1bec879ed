//! The settings of a database, from the environment.

use super::iam::Signer;
use super::url::{SslMode, Url};
use crate::aws::Caller;
use crate::config::{Env, FromEnv};
use crate::secret;

/// Where the database is and how a function proves who it is.
///
/// | variable | |
/// |---|---|
/// | `DATABASE_URL` | a [`Url`]. Required without a secret |
/// | `DATABASE_SECRET_ARN` | name or ARN of a secret in AWS Secrets Manager: a URL, or the JSON of RDS. Its user and password count, and of the rest what `DATABASE_URL` leaves open |
/// | `DATABASE_IAM_AUTH` | `true`: the password is a token of RDS, signed with the function's credentials |
#[derive(Debug, Clone)]
pub struct Settings {
    pub(super) access: AccessSettings,
}

/// Where the database is, and what proves who asks.
#[derive(Debug, Clone)]
pub(super) enum AccessSettings {
    /// The password in the URL, or none.
    Url(Url),
    /// A secret, over the URL.
    Secret(Option<Url>, secret::Settings),
    /// A token instead of a password.
    IamToken(Url, Signer),
}

impl FromEnv for Settings {
    fn from_env(env: &mut Env) -> Option<Self> {
        let url = env.optional::<Url>("DATABASE_URL");
        let secret = secret::Settings::from_env(env, "DATABASE_SECRET_ARN");
        let uses_iam = env.or("DATABASE_IAM_AUTH", false);
        let caller = Caller::from_env(env);
        let (url, secret, uses_iam, caller) = (url?, secret?, uses_iam?, caller?);
        let access = match (url, secret) {
            (None, None) => {
                env.problem("DATABASE_URL is not set, and neither is DATABASE_SECRET_ARN");
                return None;
            }
            (_, Some(_)) if uses_iam => {
                env.problem("DATABASE_SECRET_ARN and DATABASE_IAM_AUTH exclude each other");
                return None;
            }
            (url, Some(secret)) => AccessSettings::Secret(url, secret),
            (Some(url), None) if uses_iam => {
                let signer = signer(env, &url, caller);
                check_for_iam(env, &url);
                AccessSettings::IamToken(url, signer?)
            }
            (Some(url), None) => {
                check_place(env, &url);
                AccessSettings::Url(url)
            }
        };
        Some(Self { access })
    }
}

impl Settings {
    /// The settings of a database that a function can do without: `Some(None)` where neither a URL nor a secret is
    /// given, `None` where what is given is wrong.
    pub fn optional(env: &mut Env) -> Option<Option<Self>> {
        let url = env.optional::<String>("DATABASE_URL");
        let secret = env.optional::<String>("DATABASE_SECRET_ARN");
        match (url, secret) {
            (Some(None), Some(None)) => {
                // Asked for all the same: these are settings of the function as well.
                drop(env.optional::<String>("DATABASE_IAM_AUTH"));
                Some(None)
            }
            _ => Self::from_env(env).map(Some),
        }
    }
}

fn check_place(env: &mut Env, url: &Url) {
    if url.targets().is_empty() {
        env.problem("DATABASE_URL names no host");
    }
}

/// A token is a password that others must not see, and is signed for a user.
fn check_for_iam(env: &mut Env, url: &Url) {
    check_place(env, url);
    if url.config.get_user().is_none() {
        env.problem("DATABASE_IAM_AUTH needs a user in DATABASE_URL");
    }
    let is_encrypted = matches!(url.ssl_mode(), SslMode::VerifyCa | SslMode::VerifyFull);
    if !is_encrypted || url.targets().iter().any(|target| target.name().is_none()) {
        env.problem("DATABASE_IAM_AUTH needs TLS: give DATABASE_URL sslmode=verify-full");
    }
}

fn signer(env: &mut Env, url: &Url, caller: Caller) -> Option<Signer> {
    let Some(credentials) = caller.credentials else {
        env.problem(
            "DATABASE_IAM_AUTH needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, which Lambda sets",
        );
        return None;
    };
    let signer = Signer {
        credentials,
        region: caller.region,
    };
    if url
        .targets()
        .iter()
        .any(|target| signer.region(target).is_none())
    {
        env.problem(
            "DATABASE_IAM_AUTH needs a region, which the host in DATABASE_URL does not tell: set AWS_REGION",
        );
    }
    Some(signer)
}

impl From<Url> for Settings {
    fn from(url: Url) -> Self {
        Self {
            access: AccessSettings::Url(url),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(values: &[(&str, &str)]) -> String {
        let env = Env::new(values.iter().copied());
        Settings::read(env).unwrap_err().to_string()
    }

    const KEY: [(&str, &str); 2] = [
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "geheim"),
    ];
    const ARN: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:orders/db-AbCdEf";

    fn with_key(url: &str) -> [(&str, &str); 4] {
        [
            ("DATABASE_IAM_AUTH", "true"),
            ("DATABASE_URL", url),
            KEY[0],
            KEY[1],
        ]
    }

    #[test]
    fn one_of_url_and_secret_is_enough() {
        insta::assert_snapshot!(problems(&[]), @"invalid configuration: DATABASE_URL is not set, and neither is DATABASE_SECRET_ARN");
        for values in [
            [("DATABASE_URL", "postgresql://db.example.com/d")],
            [("DATABASE_SECRET_ARN", ARN)],
        ] {
            Settings::read(Env::new(values)).unwrap();
        }
    }

    #[test]
    fn a_database_that_may_be_missing_must_not_be_wrong() {
        let optional = |values: &[(&str, &str)]| {
            let mut env = Env::new(values.iter().copied());
            Settings::optional(&mut env).map(|settings| settings.is_some())
        };
        assert_eq!(optional(&[]), Some(false));
        assert_eq!(optional(&[("DATABASE_URL", " ")]), Some(false));
        assert_eq!(
            optional(&[("DATABASE_URL", "postgresql://h/d")]),
            Some(true)
        );
        assert_eq!(optional(&[("DATABASE_URL", "mysql://h/d")]), None);
        assert_eq!(optional(&[("DATABASE_SECRET_ARN", "arn:aws:s3:::b")]), None);
    }

    #[test]
    fn the_region_is_that_of_the_arn_or_of_the_function() {
        let region = |values: &[(&str, &str)]| {
            let settings = Settings::read(Env::new(values.iter().copied())).unwrap();
            let AccessSettings::Secret(_, secret) = settings.access else {
                panic!("no secret")
            };
            secret.region().to_owned()
        };
        let home = ("AWS_REGION", "us-east-1");
        assert_eq!(
            region(&[("DATABASE_SECRET_ARN", ARN), home]),
            "eu-central-1"
        );
        assert_eq!(
            region(&[("DATABASE_SECRET_ARN", "orders/db"), home]),
            "us-east-1"
        );
        insta::assert_snapshot!(
            problems(&[("DATABASE_SECRET_ARN", "orders/db")]),
            @"invalid configuration: DATABASE_SECRET_ARN is a name without a region: give the ARN, or set AWS_REGION"
        );
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        insta::assert_snapshot!(
            problems(&[
                ("DATABASE_URL", "postgresql://u:geheim@h/d?sslmode=on"),
                ("DATABASE_SECRET_ARN", "arn:aws:s3:::geheim"),
                ("DATABASE_IAM_AUTH", "yes"),
            ]),
            @"invalid configuration: DATABASE_URL is invalid: sslmode must be disable, allow, prefer, require, verify-ca or verify-full; DATABASE_SECRET_ARN is invalid: must be the name of a secret or its ARN, arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME; DATABASE_IAM_AUTH is invalid: provided string was not `true` or `false`"
        );
    }

    #[test]
    fn iam_authentication_says_what_it_lacks() {
        let iam = ("DATABASE_IAM_AUTH", "true");
        insta::assert_snapshot!(
            problems(&[iam, ("DATABASE_URL", "postgresql://127.0.0.1/d")]),
            @"invalid configuration: DATABASE_IAM_AUTH needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, which Lambda sets; DATABASE_IAM_AUTH needs a user in DATABASE_URL; DATABASE_IAM_AUTH needs TLS: give DATABASE_URL sslmode=verify-full"
        );
        insta::assert_snapshot!(
            problems(&[iam, ("DATABASE_SECRET_ARN", ARN)]),
            @"invalid configuration: DATABASE_SECRET_ARN and DATABASE_IAM_AUTH exclude each other"
        );
        insta::assert_snapshot!(
            problems(&with_key("postgresql://u@db.example.com/d")),
            @"invalid configuration: DATABASE_IAM_AUTH needs a region, which the host in DATABASE_URL does not tell: set AWS_REGION"
        );
        for weak in ["disable", "prefer", "allow"] {
            let url =
                format!("postgresql://u@db.x.eu-central-1.rds.amazonaws.com/d?sslmode={weak}");
            assert_eq!(
                problems(&with_key(&url)),
                "invalid configuration: DATABASE_IAM_AUTH needs TLS: give DATABASE_URL sslmode=verify-full"
            );
        }
        let url = "postgresql://u@db.x.eu-central-1.rds.amazonaws.com/d";
        Settings::read(Env::new(with_key(url))).unwrap();
    }

    #[test]
    fn a_url_without_a_host_needs_a_secret_that_has_one() {
        let url = ("DATABASE_URL", "postgresql:///d");
        insta::assert_snapshot!(problems(&[url]), @"invalid configuration: DATABASE_URL names no host");
        Settings::read(Env::new([url, ("DATABASE_SECRET_ARN", ARN)])).unwrap();
    }

    #[test]
    fn debug_output_has_no_secrets() {
        let url = "postgresql://u:geheim@db.x.eu-central-1.rds.amazonaws.com/d";
        let iam = [
            ("DATABASE_URL", url),
            ("DATABASE_IAM_AUTH", "true"),
            KEY[0],
            KEY[1],
        ];
        let secret = [
            ("DATABASE_URL", url),
            ("DATABASE_SECRET_ARN", ARN),
            KEY[0],
            KEY[1],
        ];
        for values in [iam, secret] {
            let settings = Settings::read(Env::new(values)).unwrap();
            assert!(!format!("{settings:?}").contains("geheim"));
        }
    }
}
