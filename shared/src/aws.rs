//! What the clients of AWS services have in common: who asks, in which region, over which TLS, for how long.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_smithy_http_client::tls;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::timeout::TimeoutConfig;

use crate::config::{Env, FromEnv};

/// The five roots that every AWS endpoint's certificate leads to (<https://www.amazontrust.com/repository/>).
///
/// Reading the system's 145 roots instead is most of a client's start-up cost.
const AMAZON_ROOTS: [&str; 5] = [
    include_str!("roots/amazon_root_ca_1.pem"),
    include_str!("roots/amazon_root_ca_2.pem"),
    include_str!("roots/amazon_root_ca_3.pem"),
    include_str!("roots/amazon_root_ca_4.pem"),
    include_str!("roots/starfield_services_root_certificate_authority_g2.pem"),
];

/// Who asks: the variables that Lambda sets.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// The AWS region: `AWS_REGION`, or `AWS_DEFAULT_REGION`.
    pub region: Option<String>,
    /// The function's own credentials.
    pub credentials: Option<Credentials>,
}

impl FromEnv for Caller {
    fn from_env(env: &mut Env) -> Option<Self> {
        let region = env.optional("AWS_REGION");
        let fallback_region = env.optional("AWS_DEFAULT_REGION");
        let access_key_id = env.optional::<String>("AWS_ACCESS_KEY_ID");
        let secret_access_key = env.optional::<String>("AWS_SECRET_ACCESS_KEY");
        let session_token = env.optional::<String>("AWS_SESSION_TOKEN");
        Some(Self {
            region: region?.or(fallback_region?),
            credentials: access_key_id?.zip(secret_access_key?).map(|(id, secret)| {
                Credentials::new(id, secret, session_token.flatten(), None, "environment")
            }),
        })
    }
}

/// An endpoint other than Amazon's, such as `http://127.0.0.1:9001`: the service's own variable, or the one for all.
/// `None` when one of them is invalid.
pub fn endpoint(env: &mut Env, variable: &'static str) -> Option<Option<String>> {
    let own = env.optional(variable);
    let any = env.optional("AWS_ENDPOINT_URL");
    Some(own?.or(any?))
}

/// HTTPS that trusts Amazon's roots. An endpoint `elsewhere` has a certificate that is signed by whom its owner
/// chose, so the system's roots count as well.
pub fn http_client(elsewhere: bool) -> SharedHttpClient {
    let roots = AMAZON_ROOTS
        .iter()
        .fold(tls::TrustStore::empty(), |roots, pem| {
            roots.with_pem_certificate(pem.as_bytes())
        })
        .with_native_roots(elsewhere);
    let builder = aws_smithy_http_client::Builder::new().tls_provider(tls::Provider::Rustls(
        tls::rustls_provider::CryptoMode::Ring,
    ));
    match tls::TlsContext::builder().with_trust_store(roots).build() {
        Ok(context) => builder.tls_context(context).build_https(),
        Err(error) => {
            tracing::error!(%error, "embedded root certificates were refused; using the system's");
            builder.build_https()
        }
    }
}

/// How long one question may take: small ones, which are asked while an invocation waits.
pub fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(Duration::from_secs(3))
        .operation_timeout(Duration::from_secs(8))
        .build()
}
