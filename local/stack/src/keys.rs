use std::io;

use embedded_s3::Credentials;

/// The profile of the customer's account in the credentials file.
pub(crate) const CUSTOMER_PROFILE: &str = "customer";
const OWN_PROFILE: &str = "default";

/// The keys of both accounts: the stack's own, and a customer's, for what lies in somebody else's bucket.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) own: Credentials,
    pub(crate) customer: Credentials,
}

/// Why a credentials file gives no keys.
#[derive(Debug)]
pub(crate) enum KeysError {
    /// A profile lacks its key.
    Incomplete,
    Random(io::Error),
}

impl Keys {
    /// Those of the file, or new ones, which are added to its text. A given key comes before that of the file.
    pub(crate) fn of(text: &mut String, given: Option<&Credentials>) -> Result<Self, KeysError> {
        Ok(Self {
            own: match given {
                Some(given) => given.clone(),
                None => find_or_add(text, OWN_PROFILE)?,
            },
            customer: find_or_add(text, CUSTOMER_PROFILE)?,
        })
    }
}

fn find_or_add(text: &mut String, profile: &str) -> Result<Credentials, KeysError> {
    if let Some(found) = find(text, profile)? {
        return Ok(found);
    }
    let made = generate().map_err(KeysError::Random)?;
    let Credentials {
        access_key_id,
        secret_access_key,
    } = &made;
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    // What else the user has put there stays.
    let section = format!(
        "[{profile}]\naws_access_key_id = {access_key_id}\naws_secret_access_key = {secret_access_key}\n"
    );
    text.push_str(&section);
    Ok(made)
}

/// The key of a profile; `None` where there is no such profile.
fn find(text: &str, profile: &str) -> Result<Option<Credentials>, KeysError> {
    let mut lines = text.lines().map(str::trim);
    let is_wanted = |line: &str| {
        let name = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'));
        name.is_some_and(|name| name.trim() == profile)
    };
    if !lines.any(is_wanted) {
        return Ok(None);
    }
    let section: Vec<(&str, &str)> = lines
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim(), value.trim()))
        .collect();
    let value = |name: &str| {
        let found = section
            .iter()
            .find(|(key, value)| *key == name && !value.is_empty());
        found
            .map(|(_, value)| (*value).to_owned())
            .ok_or(KeysError::Incomplete)
    };
    Ok(Some(Credentials {
        access_key_id: value("aws_access_key_id")?,
        secret_access_key: value("aws_secret_access_key")?,
    }))
}

/// 60 random bits that name the key, and 160 that are its secret.
fn generate() -> io::Result<Credentials> {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(io::Error::from)?;
    let (name, secret) = random.split_at(12);
    let letters = name
        .iter()
        .filter_map(|byte| LETTERS.get(usize::from(byte % 32)))
        .map(|letter| char::from(*letter));
    Ok(Credentials {
        access_key_id: format!("HOLDFAST{}", letters.collect::<String>()),
        secret_access_key: hex::encode(secret),
    })
}
