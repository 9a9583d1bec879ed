//! RDS's IAM authentication: the password is a request that the function's role has signed.
//!
//! Signing is arithmetic and asks nobody. What is signed, with which service name, is in
//! <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.Connecting.html>; the words of the
//! signature are those of a presigned URL.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::ConnectError;
use super::rds::RdsHost;
use super::target::Target;

/// How long a token opens connections: the longest that RDS accepts.
const EXPIRES: Duration = Duration::from_mins(15);
/// How long a token is used again: a connection begun with it has time to finish.
const REUSED: Duration = Duration::from_mins(10);
/// What is percent-encoded in a signed request: all but letters, digits and these.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Whose signature it is, and where.
#[derive(Debug, Clone)]
pub(super) struct Signer {
    pub(super) credentials: Credentials,
    /// For hosts whose name does not tell theirs.
    pub(super) region: Option<String>,
}

/// Tokens by host, used again while they are good.
#[derive(Debug)]
pub(super) struct IamTokens {
    signer: Signer,
    clock: fn() -> SystemTime,
    kept: Mutex<HashMap<String, Token>>,
}

/// No `Debug`: it is a password.
struct Token {
    text: String,
    signed_at: SystemTime,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Token")
            .field("signed_at", &self.signed_at)
            .finish_non_exhaustive()
    }
}

impl IamTokens {
    pub(super) fn new(signer: Signer, clock: fn() -> SystemTime) -> Self {
        Self {
            signer,
            clock,
            kept: Mutex::default(),
        }
    }

    /// The password for this user at this server.
    pub(super) fn token(&self, target: &Target, user: &str) -> Result<String, ConnectError> {
        let now = (self.clock)();
        let host = target.to_string();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = kept.get(&host)
            && now
                .duration_since(token.signed_at)
                .is_ok_and(|age| age < REUSED)
        {
            return Ok(token.text.clone());
        }
        let text = self
            .signer
            .token(target, user, now)
            .map_err(|source| ConnectError::Token {
                host: host.clone(),
                source,
            })?;
        let token = Token {
            text: text.clone(),
            signed_at: now,
        };
        kept.insert(host, token);
        Ok(text)
    }

    /// A token that was refused is not used again: the next may be signed in better times.
    pub(super) fn forget(&self) {
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

impl Signer {
    /// The region a server is in, if anything tells.
    pub(super) fn region<'a>(&'a self, target: &'a Target) -> Option<&'a str> {
        target
            .name()
            .and_then(RdsHost::parse)
            .and_then(|host| host.region)
            .or(self.region.as_deref())
    }

    fn token(
        &self,
        target: &Target,
        user: &str,
        now: SystemTime,
    ) -> Result<String, Box<dyn Error + Send + Sync>> {
        let region = self
            .region(target)
            .ok_or("its region is not known: set AWS_REGION")?;
        let user = utf8_percent_encode(user, ENCODED);
        let place = format!("{target}/?Action=connect&DBUser={user}");
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(EXPIRES);
        let identity = self.credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name("rds-db")
            .time(now)
            .settings(settings)
            .build()?
            .into();
        let url = format!("https://{place}");
        let request =
            SignableRequest::new("GET", &url, std::iter::empty(), SignableBody::Bytes(&[]))?;
        let (instructions, _signature) = sign(request, &parameters)?.into_parts();
        let mut token = place;
        for (name, value) in instructions.params() {
            token.extend(["&", name, "="]);
            token.extend(utf8_percent_encode(value, ENCODED));
        }
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use testkit::{Authority, Postgres};

    use super::super::{Database, Settings, Url};
    use super::*;
    use crate::database::settings::AccessSettings;

    fn signer(session_token: Option<&str>) -> Signer {
        Signer {
            credentials: Credentials::new(
                "AKIAIOSFODNN7EXAMPLE",
                "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                session_token.map(ToOwned::to_owned),
                None,
                "test",
            ),
            region: Some("eu-central-1".to_owned()),
        }
    }

    /// 2026-11-21T05:30:00Z.
    fn fixed_time() -> SystemTime {
        UNIX_EPOCH + Duration::from_mins(29_920_650)
    }

    fn target(url: &str) -> Target {
        let url: Url = url.parse().unwrap();
        url.targets().remove(0)
    }

    /// The tokens are those of `generate_db_auth_token` of botocore 1.44.5, with its clock set to [`fixed_time`]:
    /// with these credentials, hosts, ports, users and regions. Only the order of the parameters, which is free, is
    /// another: that of the alphabet.
    #[test]
    fn tokens_are_those_of_amazons_own_signer() {
        let token = |signer: &Signer, url, user| {
            let token = signer.token(&target(url), user, fixed_time()).unwrap();
            let (place, parameters) = token.split_once('?').unwrap();
            let mut parameters: Vec<&str> = parameters.split('&').collect();
            parameters.sort_unstable();
            format!("{place}?{}", parameters.join("&"))
        };
        let plain = token(
            &signer(None),
            "postgresql://orders.abc123.eu-central-1.rds.amazonaws.com",
            "holdfast",
        );
        assert_eq!(
            plain,
            "orders.abc123.eu-central-1.rds.amazonaws.com:5432/?Action=connect&DBUser=holdfast\
             &X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20261121%2Feu-central-1%2Frds-db%2Faws4_request\
             &X-Amz-Date=20261121T053000Z&X-Amz-Expires=900\
             &X-Amz-Signature=5f45b3fb8db6ed682b698b2980815f066fd21db29abde9af9bf24d8740fe608a\
             &X-Amz-SignedHeaders=host"
        );
        let with_session = token(
            &signer(Some("IQoJb3JpZ2luX2VjEXAMPLE+token/with=signs==")),
            "postgresql://orders.cluster-abc123.us-gov-west-1.rds.amazonaws.com:6432",
            "d\u{f6}c user+a&b=c/d@e~f.g",
        );
        assert_eq!(
            with_session,
            "orders.cluster-abc123.us-gov-west-1.rds.amazonaws.com:6432/?Action=connect\
             &DBUser=d%C3%B6c%20user%2Ba%26b%3Dc%2Fd%40e~f.g\
             &X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20261121%2Fus-gov-west-1%2Frds-db%2Faws4_request\
             &X-Amz-Date=20261121T053000Z&X-Amz-Expires=900\
             &X-Amz-Security-Token=IQoJb3JpZ2luX2VjEXAMPLE%2Btoken%2Fwith%3Dsigns%3D%3D\
             &X-Amz-Signature=887260d6dd1475c7a8eb95481fb67cc7699432c0e5ffff653e97538f24ce1053\
             &X-Amz-SignedHeaders=host"
        );
    }

    #[test]
    fn a_token_is_used_again_for_ten_minutes_at_its_own_host() {
        use std::sync::atomic::{AtomicU64, Ordering};
        static SECONDS: AtomicU64 = AtomicU64::new(0);
        let tokens = IamTokens::new(signer(None), || {
            fixed_time() + Duration::from_secs(SECONDS.load(Ordering::Relaxed))
        });
        let host = target("postgresql://a.example.com");
        let first = tokens.token(&host, "u").unwrap();
        SECONDS.store(599, Ordering::Relaxed);
        assert_eq!(tokens.token(&host, "u").unwrap(), first);
        let elsewhere = tokens
            .token(&target("postgresql://b.example.com"), "u")
            .unwrap();
        assert!(elsewhere.starts_with("b.example.com:5432/"));
        SECONDS.store(600, Ordering::Relaxed);
        let second = tokens.token(&host, "u").unwrap();
        assert_ne!(second, first);
        SECONDS.store(601, Ordering::Relaxed);
        tokens.forget();
        assert_ne!(tokens.token(&host, "u").unwrap(), second);
        assert!(!format!("{tokens:?}").contains(&second));
    }

    /// A server that compares passwords does for RDS: it is told the token that is due.
    #[tokio::test]
    async fn a_token_opens_the_database_over_tls_and_no_other_does() {
        const HOST: &str = "db.example.com";
        let authority = Authority::new();
        let folder = tempfile::tempdir().unwrap();
        let roots = folder.path().join("roots.pem");
        std::fs::write(&roots, authority.certificate()).unwrap();
        let mut postgres = Postgres::start_own().await;
        let url: Url = format!(
            "postgresql://holdfast_iam@{HOST}:{}/test?hostaddr=127.0.0.1&sslrootcert={}",
            postgres.address().port(),
            roots.display()
        )
        .parse()
        .unwrap();
        let token = signer(Some("session"))
            .token(&url.targets()[0], "holdfast_iam", fixed_time())
            .unwrap();
        let create = format!("create role holdfast_iam login password '{token}'");
        postgres
            .connect()
            .await
            .batch_execute(&create)
            .await
            .unwrap();
        postgres.use_tls(&authority.issue(&[HOST])).await;
        postgres
            .allow("hostssl all holdfast_iam 127.0.0.1/32 password")
            .await;

        let settings = |session| Settings {
            access: AccessSettings::IamToken(url.clone(), signer(Some(session))),
        };
        let database = Database::with_clock(settings("session"), fixed_time);
        for _ in 0..2 {
            database.open().await.unwrap();
        }
        let stranger = Database::with_clock(settings("other"), fixed_time);
        let error = stranger.open().await.unwrap_err();
        assert!(
            matches!(error, ConnectError::Credentials { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains("rds_iam"), "{error}");
        assert!(!format!("{error:?}").contains("X-Amz-Signature"));
    }
}
