//! Tokens: what a client shows instead of a password.
//!
//! They are JSON Web Tokens (RFC 7519) signed with HMAC-SHA-256 (HS256 of RFC 7518), made and checked here with `ring`,
//! which is in the function already for TLS. The crate for JWT brings either aws-lc, which is not allowed here, or RSA and
//! three elliptic curves; and the part of the standard that makes JWT dangerous, a header that says how it is to be
//! checked, is the part that is not needed: a token whose header is not, byte for byte, the one that one of our keys writes is
//! refused before anything in it is read.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

/// How long a token is valid.
pub const LIFETIME: Duration = Duration::hours(10);
/// How far the clocks of two instances may differ.
const SKEW: Duration = Duration::minutes(1);
/// The longest token looked at, in bytes. Ours are shorter: a name has at most 256 bytes.
const MAX_BYTES: usize = 4096;
/// The shortest secret, in bytes: as long as the signature (RFC 7518, section 3.2).
const MIN_SECRET_BYTES: usize = 32;

/// The keys that tokens are signed with: one signs, all are believed.
///
/// To change the key without logging everybody out, give the new one as the first and the old one as another for ten
/// hours.
#[derive(Debug, Clone)]
pub struct Keys {
    signing: Key,
    retiring: Vec<Key>,
    issuer: String,
    audience: String,
}

/// One key. Its id is derived from it, so that it need not be configured and two keys never share one.
#[derive(Clone)]
pub struct Key {
    id: String,
    /// The first part of every token signed with it.
    header: String,
    mac: hmac::Key,
}

/// A key that can be guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key must have at least 32 bytes, for example those of `openssl rand -hex 32`")]
pub struct WeakKey;

impl Key {
    /// The key of this secret.
    ///
    /// # Errors
    ///
    /// [`WeakKey`]
    pub fn new(secret: &[u8]) -> Result<Self, WeakKey> {
        if secret.len() < MIN_SECRET_BYTES {
            return Err(WeakKey);
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let mut id = hex::encode(hmac::sign(&key, b"key id"));
        id.truncate(16);
        let header =
            URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"HS256","kid":"{id}","typ":"JWT"}}"#));
        Ok(Self {
            id,
            header,
            mac: key,
        })
    }

    /// A key that no other process has.
    ///
    /// # Errors
    ///
    /// The system has no random bytes.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut secret = [0; MIN_SECRET_BYTES];
        getrandom::fill(&mut secret)?;
        Self::new(&secret).map_err(|_weak| getrandom::Error::UNEXPECTED)
    }

    /// Says which key it is, and nothing else about it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The authentication code of `parts`, for the `purpose` only: no code of one purpose is one of another.
    pub fn code(&self, purpose: &str, parts: &[&[u8]]) -> String {
        hex::encode(hmac::sign(&self.mac, &message(purpose, parts)))
    }

    /// Whether `code` is that of `parts`, in constant time.
    pub fn is_code(&self, purpose: &str, parts: &[&[u8]], code: &str) -> bool {
        let Ok(bytes) = hex::decode(code) else {
            return false;
        };
        // In one way of writing only: capitals would be another text of the same code.
        hmac::verify(&self.mac, &message(purpose, parts), &bytes).is_ok()
            && hex::encode(bytes) == code
    }
}

/// Each part after its length: parts cannot be shifted into each other. A token's text never begins like this.
fn message(purpose: &str, parts: &[&[u8]]) -> Vec<u8> {
    let mut message = vec![0];
    for part in std::iter::once(purpose.as_bytes()).chain(parts.iter().copied()) {
        message.extend_from_slice(part.len().to_string().as_bytes());
        message.push(b':');
        message.extend_from_slice(part);
    }
    message
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Key")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Whom a token speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The user's name.
    pub user: String,
    /// Which account of that name: see [`User`](super::user::User).
    pub generation: String,
    /// The token itself, for counting its calls.
    pub token: [u8; 16],
    /// When it ends.
    pub expires_at: OffsetDateTime,
}

/// The claims as they are written.
#[derive(Serialize, Deserialize)]
struct Written {
    iss: String,
    aud: String,
    sub: String,
    #[serde(rename = "gen")]
    generation: String,
    jti: String,
    iat: i64,
    exp: i64,
}

/// A token as a client sends it back: `bearer eyJ…`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// As text, `bearer ` included.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As text without `bearer `, of letters, digits, `-`, `_` and `.`: for where spaces have a meaning.
    pub fn bare(&self) -> &str {
        bare(&self.0)
    }
}

/// Without the text: whoever has it is logged in.
impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(…)")
    }
}

/// Why a token is not accepted: for logs. Clients learn only that it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// Not three parts, too long, or with a header that none of the keys writes: another algorithm, another key.
    #[error("it is not a token signed by a key of this registry")]
    Unknown,
    /// Changed, or signed with a key that only says it is ours.
    #[error("its signature is wrong")]
    Forged,
    /// Of another service that has the same key.
    #[error("it was made by or for another service")]
    Elsewhere,
    /// Valid once.
    #[error("it has expired")]
    Expired,
    /// From the future, or for longer than any is.
    #[error("its times are impossible")]
    Times,
}

impl Keys {
    /// Keys for the tokens of `issuer` to `audience`, signed with `signing`; those of `retiring` keys are believed too.
    pub fn new(
        signing: Key,
        retiring: Vec<Key>,
        issuer: impl Into<String>,
        audience: impl Into<String>,
    ) -> Self {
        Self {
            signing,
            retiring,
            issuer: issuer.into(),
            audience: audience.into(),
        }
    }

    /// The key that signs.
    pub fn signing(&self) -> &Key {
        &self.signing
    }

    /// The key of this id, if it is believed.
    pub fn find(&self, id: &str) -> Option<&Key> {
        self.all().find(|key| key.id == id)
    }

    fn all(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.signing).chain(&self.retiring)
    }

    /// A token for `user` from `now` on.
    ///
    /// # Errors
    ///
    /// The system has no random bytes.
    pub fn issue(
        &self,
        user: &str,
        generation: &str,
        now: OffsetDateTime,
    ) -> Result<Token, getrandom::Error> {
        let mut id = [0; 16];
        getrandom::fill(&mut id)?;
        let claims = serde_json::json!(Written {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: user.to_owned(),
            generation: generation.to_owned(),
            jti: hex::encode(id),
            iat: now.unix_timestamp(),
            exp: (now + LIFETIME).unix_timestamp(),
        });
        let signed = format!(
            "{}.{}",
            self.signing.header,
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let signature = hmac::sign(&self.signing.mac, signed.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(signature);
        Ok(Token(format!("bearer {signed}.{signature}")))
    }

    /// What the token in `header` claims, and the key it is signed with.
    ///
    /// # Errors
    ///
    /// [`InvalidToken`]
    pub fn check(&self, header: &str, now: OffsetDateTime) -> Result<(Claims, &Key), InvalidToken> {
        let token = bare(header);
        if token.len() > MAX_BYTES {
            return Err(InvalidToken::Unknown);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(InvalidToken::Unknown)?;
        let (own_header, claims) = signed.split_once('.').ok_or(InvalidToken::Unknown)?;
        let key = self
            .all()
            .find(|key| key.header == own_header)
            .ok_or(InvalidToken::Unknown)?;
        // Strict: no padding, no bits after the end. Else one signature could be written in several ways.
        let signature = URL_SAFE_NO_PAD
            .decode(signature)
            .map_err(|_no_base64| InvalidToken::Forged)?;
        hmac::verify(&key.mac, signed.as_bytes(), &signature)
            .map_err(|_unspecified| InvalidToken::Forged)?;
        // From here on it is something that a holder of the key wrote.
        let written: Written = URL_SAFE_NO_PAD
            .decode(claims)
            .ok()
            .and_then(|json| serde_json::from_slice(&json).ok())
            .ok_or(InvalidToken::Elsewhere)?;
        if written.iss != self.issuer || written.aud != self.audience {
            return Err(InvalidToken::Elsewhere);
        }
        let mut token = [0; 16];
        hex::decode_to_slice(&written.jti, &mut token)
            .map_err(|_not_ours| InvalidToken::Elsewhere)?;
        let instant = |seconds| {
            OffsetDateTime::from_unix_timestamp(seconds).map_err(|_range| InvalidToken::Times)
        };
        let (issued_at, expires_at) = (instant(written.iat)?, instant(written.exp)?);
        if issued_at > now + SKEW || expires_at - issued_at > LIFETIME {
            return Err(InvalidToken::Times);
        }
        if expires_at <= now {
            return Err(InvalidToken::Expired);
        }
        let claims = Claims {
            user: written.sub,
            generation: written.generation,
            token,
            expires_at,
        };
        Ok((claims, key))
    }
}

/// The header that a request is judged by: the registry's own if there is one. `Authorization` may be there for a gateway.
pub fn header<'a>(
    x_authorization: Option<&'a str>,
    authorization: Option<&'a str>,
) -> Option<&'a str> {
    [x_authorization, authorization]
        .into_iter()
        .flatten()
        .find(|header| !bare(header).is_empty())
}

/// The token in a header: after `bearer` in any case, which may be missing or there twice, and between quotes if there are
/// any. Clients put the answer to a login there as they have it.
fn bare(header: &str) -> &str {
    let mut rest = header;
    loop {
        rest = rest.trim_matches(|c: char| c.is_ascii_whitespace() || c == '"' || c == '\'');
        match rest.split_at_checked("bearer".len()) {
            Some((scheme, after))
                if scheme.eq_ignore_ascii_case("bearer")
                    && after.starts_with(|c: char| c.is_ascii_whitespace()) =>
            {
                rest = after;
            }
            _ if rest.eq_ignore_ascii_case("bearer") => return "",
            _ => return rest,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-02 09:15 UTC);

    fn key(letter: &str) -> Key {
        Key::new(letter.repeat(32).as_bytes()).unwrap()
    }

    fn keys() -> Keys {
        Keys::new(key("a"), vec![], "registry", "clients")
    }

    fn issue(keys: &Keys) -> String {
        let token = keys.issue("ü \"user\"", "g1", NOW).unwrap();
        token.as_str().strip_prefix("bearer ").unwrap().to_owned()
    }

    /// A token with these parts, signed with the right key.
    fn signed(header: &str, claims: &serde_json::Value) -> String {
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let tag = hmac::sign(&key("a").mac, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    fn own_header() -> String {
        String::from_utf8(URL_SAFE_NO_PAD.decode(key("a").header).unwrap()).unwrap()
    }

    fn claims() -> serde_json::Value {
        let now = NOW.unix_timestamp();
        serde_json::json!({
            "iss": "registry", "aud": "clients", "sub": "u", "gen": "g", "jti": "00".repeat(16),
            "iat": now, "exp": now + 36_000,
        })
    }

    #[test]
    fn a_token_says_who_was_given_it() {
        let token = issue(&keys());
        let keys = keys();
        let (claims, key) = keys.check(&token, NOW).unwrap();
        assert_eq!((&*claims.user, &*claims.generation), ("ü \"user\"", "g1"));
        assert_eq!(claims.expires_at, NOW + LIFETIME);
        assert_eq!(key.id(), keys.signing().id());
        let (other, _) = keys.check(&issue(&keys), NOW).unwrap();
        assert_ne!(claims.token, other.token);
    }

    #[test]
    fn it_is_a_json_web_token_that_others_can_read() {
        let token = issue(&keys());
        assert!(token.starts_with("eyJ"), "{token}");
        let parts: Vec<_> = token
            .split('.')
            .map(|part| URL_SAFE_NO_PAD.decode(part).unwrap())
            .collect();
        let header: serde_json::Value = serde_json::from_slice(&parts[0]).unwrap();
        assert_eq!(header["alg"], "HS256");
        assert_eq!(header["typ"], "JWT");
        let claims: serde_json::Value = serde_json::from_slice(&parts[1]).unwrap();
        assert_eq!(claims["exp"], NOW.unix_timestamp() + 36_000);
        assert_eq!(parts[2].len(), 32);
    }

    #[test]
    fn a_token_ends_after_ten_hours() {
        let token = issue(&keys());
        let last = NOW + LIFETIME - Duration::SECOND;
        assert!(keys().check(&token, last).is_ok());
        let after = keys().check(&token, NOW + LIFETIME).unwrap_err();
        assert_eq!(after, InvalidToken::Expired);
    }

    #[test]
    fn headers_are_read_as_clients_write_them() {
        let token = issue(&keys());
        for header in [
            token.clone(),
            format!("bearer {token}"),
            format!("Bearer {token}"),
            format!("BEARER   {token} "),
            format!("bearer bearer {token}"),
            format!("\"bearer {token}\""),
            format!("Bearer \"bearer {token}\""),
            format!("'{token}'"),
        ] {
            assert!(keys().check(&header, NOW).is_ok(), "{header}");
        }
        for header in [
            "",
            "bearer",
            "bearer ",
            "\"\"",
            "Basic dTpw",
            "ü",
            "beareü",
            "...",
        ] {
            let answer = keys().check(header, NOW).unwrap_err();
            assert_eq!(answer, InvalidToken::Unknown, "{header}");
        }
        let glued = format!("bearer{token}");
        let answer = keys().check(&glued, NOW).unwrap_err();
        assert_eq!(answer, InvalidToken::Unknown);
    }

    #[test]
    fn the_registry_s_own_header_comes_first() {
        assert_eq!(header(Some("a"), Some("b")), Some("a"));
        assert_eq!(header(Some(" bearer "), Some("b")), Some("b"));
        assert_eq!(header(None, Some("b")), Some("b"));
        assert_eq!(header(None, None), None);
    }

    #[test]
    fn no_header_but_our_own_is_believed() {
        let id = key("a").id().to_owned();
        assert!(keys().check(&signed(&own_header(), &claims()), NOW).is_ok());
        for header in [
            r#"{"alg":"none"}"#.to_owned(),
            format!(r#"{{"alg":"none","kid":"{id}","typ":"JWT"}}"#),
            format!(r#"{{"alg":"None","kid":"{id}","typ":"JWT"}}"#),
            format!(r#"{{"alg":"HS512","kid":"{id}","typ":"JWT"}}"#),
            format!(r#"{{"alg":"RS256","kid":"{id}","typ":"JWT"}}"#),
            format!(r#"{{"alg":"HS256","kid":"{id}","typ":"JWT","crit":["b64"]}}"#),
            r#"{"alg":"HS256","typ":"JWT"}"#.to_owned(),
            r#"{"alg":"HS256","kid":"../../dev/null","typ":"JWT"}"#.to_owned(),
        ] {
            let token = signed(&header, &claims());
            let answer = keys().check(&token, NOW).unwrap_err();
            assert_eq!(answer, InvalidToken::Unknown, "{header}");
            let unsigned = format!("{}.", token.rsplit_once('.').unwrap().0);
            assert!(keys().check(&unsigned, NOW).is_err(), "{header}");
        }
        let token = issue(&keys());
        let unsigned = format!("{}.", token.rsplit_once('.').unwrap().0);
        let answer = keys().check(&unsigned, NOW).unwrap_err();
        assert_eq!(answer, InvalidToken::Forged);
    }

    #[test]
    fn another_key_is_not_believed_even_under_our_id() {
        let other = Keys::new(key("b"), vec![], "registry", "clients");
        let answer = keys().check(&issue(&other), NOW).unwrap_err();
        assert_eq!(answer, InvalidToken::Unknown);
        let mut disguised = key("b");
        disguised.header = key("a").header;
        let other = Keys::new(disguised, vec![], "registry", "clients");
        let answer = keys().check(&issue(&other), NOW).unwrap_err();
        assert_eq!(answer, InvalidToken::Forged);
    }

    #[test]
    fn while_keys_change_both_are_believed() {
        let before = issue(&keys());
        let both = Keys::new(key("b"), vec![key("a")], "registry", "clients");
        assert!(both.check(&before, NOW).is_ok());
        let after = issue(&both);
        assert!(both.check(&after, NOW).is_ok());
        let (_, signer) = both.check(&after, NOW).unwrap();
        assert_eq!(signer.id(), key("b").id());
        let only_new = Keys::new(key("b"), vec![], "registry", "clients");
        assert!(only_new.check(&after, NOW).is_ok());
        assert!(only_new.check(&before, NOW).is_err());
    }

    #[test]
    fn claims_that_are_not_for_us_or_not_from_now_are_refused() {
        let now = NOW.unix_timestamp();
        for (claim, value, expected) in [
            ("iss", "else".into(), InvalidToken::Elsewhere),
            ("aud", "else".into(), InvalidToken::Elsewhere),
            ("aud", serde_json::Value::Null, InvalidToken::Elsewhere),
            ("jti", "1".into(), InvalidToken::Elsewhere),
            ("iat", (now + 61).into(), InvalidToken::Times),
            ("exp", (now + 36_001).into(), InvalidToken::Times),
            ("exp", i64::MAX.into(), InvalidToken::Times),
            ("exp", now.into(), InvalidToken::Expired),
        ] {
            let mut claims = claims();
            claims[claim] = value;
            let token = signed(&own_header(), &claims);
            let answer = keys().check(&token, NOW).unwrap_err();
            assert_eq!(answer, expected, "{claim}");
        }
    }

    #[test]
    fn a_short_secret_is_no_key() {
        assert_eq!(Key::new(&[7; 31]).unwrap_err(), WeakKey);
        assert!(Key::new(&[7; 32]).is_ok());
        assert_ne!(Key::random().unwrap().id(), Key::random().unwrap().id());
    }

    #[test]
    fn codes_are_for_one_purpose_and_one_division_into_parts() {
        let code = key("a").code("audit", &[b"ab", b"c"]);
        assert!(key("a").is_code("audit", &[b"ab", b"c"], &code));
        assert!(!key("a").is_code("audit", &[b"a", b"bc"], &code));
        assert!(!key("a").is_code("admin", &[b"ab", b"c"], &code));
        assert!(!key("b").is_code("audit", &[b"ab", b"c"], &code));
        assert!(!key("a").is_code("audit", &[b"ab", b"c"], &code.to_uppercase()));
    }

    #[test]
    fn nothing_shows_a_key_or_a_token() {
        let token = keys().issue("u", "g", NOW).unwrap();
        assert_eq!(format!("{token:?}"), "Token(…)");
        assert!(!format!("{:?}", keys()).contains("97, 97"));
        assert!(!format!("{:?}", keys()).contains("aaaa"));
    }

    /// Every bit of one token, not a sample of them.
    #[test]
    fn no_token_with_one_bit_changed_is_accepted() {
        let token = issue(&keys());
        for place in 0..token.len() {
            for bit in 0..8 {
                let mut bytes = token.clone().into_bytes();
                bytes[place] ^= 1 << bit;
                // A header that is not UTF-8 never gets here.
                if let Ok(changed) = String::from_utf8(bytes) {
                    assert!(keys().check(&changed, NOW).is_err(), "{place} {bit}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn no_change_of_a_token_is_accepted(
            user in ".{0,40}",
            place in any::<prop::sample::Index>(),
            inserted in "[A-Za-z0-9._=-]{0,3}",
            removed in 0_usize..4,
        ) {
            let token = keys().issue(&user, "g", NOW).unwrap();
            let token = token.as_str().strip_prefix("bearer ").unwrap();
            let place = place.index(token.len());
            let end = (place + removed).min(token.len());
            let (before, after) = (token.split_at(place).0, token.split_at(end).1);
            let changed = format!("{before}{inserted}{after}");
            prop_assume!(changed != token);
            prop_assert!(keys().check(&changed, NOW).is_err(), "{changed}");
            prop_assert_eq!(keys().check(token, NOW).unwrap().0.user, user);
        }

        #[test]
        fn any_header_has_an_answer(header in "\\PC{0,80}") {
            prop_assert!(keys().check(&header, NOW).is_err());
        }
    }
}
