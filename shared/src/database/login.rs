//! What a secret says: a libpq URL, or the JSON that RDS writes.

use std::str::FromStr;

use serde_json::Value;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, TargetSessionAttrs};

use super::url::{Roots, Url, UrlError};

/// User and password, and perhaps where the database is.
///
/// The JSON is <https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_secret_json_structure.html>;
/// of the master user's secret that RDS manages itself, it has only `username` and `password`.
#[derive(Debug)]
pub(super) struct Login(Url);

/// Why the content of a secret is none. Nothing of the content is repeated.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoginError {
    #[error("it is neither a libpq URL nor JSON with username and password")]
    Form,
    #[error("it is no valid URL ({0})")]
    Url(#[from] UrlError),
    #[error("it has no {0}")]
    Lacks(&'static str),
    #[error("its port is not one")]
    Port,
    #[error("it is for another engine than PostgreSQL")]
    Engine,
    #[error("it names no host, and neither does DATABASE_URL")]
    NoHost,
}

impl FromStr for Login {
    type Err = LoginError;

    fn from_str(text: &str) -> Result<Self, LoginError> {
        let text = text.trim();
        let url = if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            text.parse()?
        } else {
            from_json(text)?
        };
        if url.config.get_user().is_none() {
            return Err(LoginError::Lacks("user"));
        }
        if url.config.get_password().is_none() {
            return Err(LoginError::Lacks("password"));
        }
        Ok(Self(url))
    }
}

fn from_json(text: &str) -> Result<Url, LoginError> {
    // The parser's own words quote the text: a password that was stored alone, say.
    let json: Value = serde_json::from_str(text).map_err(|_quoting| LoginError::Form)?;
    let fields = json.as_object().ok_or(LoginError::Form)?;
    let field = |name| {
        fields
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    if field("engine").is_some_and(|engine| !engine.contains("postgres")) {
        return Err(LoginError::Engine);
    }
    let mut config = Config::new();
    if let Some(user) = field("username") {
        config.user(user);
    }
    if let Some(password) = field("password") {
        config.password(password);
    }
    if let Some(database) = field("dbname") {
        config.dbname(database);
    }
    if let Some(host) = field("host") {
        config.host(host);
        let port = match fields.get("port") {
            None | Some(Value::Null) => 5432,
            Some(Value::String(port)) => port.parse().map_err(|_digits| LoginError::Port)?,
            Some(port) => port
                .as_u64()
                .and_then(|port| u16::try_from(port).ok())
                .ok_or(LoginError::Port)?,
        };
        config.port(port);
    }
    Ok(Url::new(config, None, Roots::WellKnown))
}

impl Login {
    /// This user and password, at the place and with the options that `DATABASE_URL` gives, or else this secret.
    ///
    /// Who writes a host into the URL means it: the proxy, say, of the cluster whose secret names the cluster itself.
    pub(super) fn over(self, base: Option<&Url>) -> Result<Url, LoginError> {
        let Self(own) = self;
        let merged = match base {
            None => own,
            Some(base) => {
                let mut merged = base.clone();
                if let Some(user) = own.config.get_user() {
                    merged.config.user(user);
                }
                if let Some(password) = own.config.get_password() {
                    merged.config.password(password);
                }
                if merged.targets().is_empty() {
                    place(&mut merged, &own);
                }
                if let (None, Some(database)) =
                    (merged.config.get_dbname(), own.config.get_dbname())
                {
                    merged.config.dbname(database);
                }
                merged
            }
        };
        if merged.targets().is_empty() {
            return Err(LoginError::NoHost);
        }
        Ok(merged)
    }
}

/// Gives a URL without hosts those of another, and how to reach them.
fn place(url: &mut Url, of: &Url) {
    for host in of.config.get_hosts() {
        match host {
            Host::Tcp(name) => url.config.host(name),
            #[cfg(unix)]
            Host::Unix(folder) => url.config.host_path(folder),
        };
    }
    for address in of.config.get_hostaddrs() {
        url.config.hostaddr(*address);
    }
    for port in of.config.get_ports() {
        url.config.port(*port);
    }
    if url.config.get_target_session_attrs() == TargetSessionAttrs::Any {
        url.config
            .target_session_attrs(of.config.get_target_session_attrs());
    }
    url.ssl_mode = url.ssl_mode.or(of.ssl_mode);
    if url.roots == Roots::WellKnown {
        url.roots = of.roots.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// User, password and place of a secret over a URL.
    fn login(secret: &str, base: Option<&str>) -> Result<String, LoginError> {
        let base: Option<Url> = base.map(|base| base.parse().unwrap());
        let url = secret.parse::<Login>()?.over(base.as_ref())?;
        let targets: Vec<String> = url.targets().iter().map(ToString::to_string).collect();
        Ok(format!(
            "{}:{} at {} in {} {:?}",
            url.config.get_user().unwrap(),
            String::from_utf8_lossy(url.config.get_password().unwrap()),
            targets.join(","),
            url.config.get_dbname().unwrap_or("-"),
            url.ssl_mode(),
        ))
    }

    const RDS: &str = r#"{"engine":"postgres","host":"db.example.com","port":6432,"username":"u","password":"p w/@","dbname":"orders","masterarn":"x"}"#;

    #[test]
    fn the_json_that_rds_writes_is_enough() {
        insta::assert_snapshot!(login(RDS, None).unwrap(), @"u:p w/@ at db.example.com:6432 in orders VerifyFull");
        let texts = RDS.replace("6432", "\"6432\"");
        assert_eq!(login(&texts, None).unwrap(), login(RDS, None).unwrap());
    }

    #[test]
    fn a_managed_secret_has_only_user_and_password() {
        let secret = r#"{"username":"u","password":"p"}"#;
        insta::assert_snapshot!(
            login(secret, Some("postgresql://old:old@a:1,b:2/d?target_session_attrs=read-write")).unwrap(),
            @"u:p at a:1,b:2 in d VerifyFull"
        );
        assert!(matches!(login(secret, None), Err(LoginError::NoHost)));
        assert!(matches!(
            login(secret, Some("postgresql:///d")),
            Err(LoginError::NoHost)
        ));
    }

    #[test]
    fn a_secret_may_be_a_url() {
        let secret = "postgresql://u:p@db.example.com:7/d?sslmode=disable\n";
        insta::assert_snapshot!(login(secret, None).unwrap(), @"u:p at db.example.com:7 in d Disable");
    }

    #[test]
    fn a_host_in_the_url_is_meant_and_what_it_leaves_open_the_secret_tells() {
        insta::assert_snapshot!(
            login(RDS, Some("postgresql://proxy.example.com")).unwrap(),
            @"u:p w/@ at proxy.example.com:5432 in orders VerifyFull"
        );
        insta::assert_snapshot!(
            login(RDS, Some("postgresql:///d?sslmode=prefer")).unwrap(),
            @"u:p w/@ at db.example.com:6432 in d Prefer"
        );
        insta::assert_snapshot!(
            login("postgresql://u:p@db.example.com/e?sslmode=disable", Some("postgresql:///d")).unwrap(),
            @"u:p at db.example.com:5432 in d Disable"
        );
    }

    #[test]
    fn anything_else_is_refused_without_being_repeated() {
        let secrets = [
            "geheim",
            "\"geheim\"",
            r#"{"password":"geheim"}"#,
            r#"{"username":"u","password":["geheim"]}"#,
            r#"{"username":"u"}"#,
            r#"{"username":"u","password":"geheim","engine":"mysql"}"#,
            r#"{"username":"u","password":"geheim","host":"h","port":"geheim"}"#,
            r#"{"username":"u","password":"geheim","host":"h","port":99999}"#,
            "postgresql://u:geheim@h:x/d",
            "postgresql://geheim@h/d",
            r#"{"username":"u","password":"geheim""#,
        ];
        let errors: Vec<String> = secrets
            .iter()
            .map(|secret| login(secret, None).unwrap_err().to_string())
            .collect();
        insta::assert_snapshot!(errors.join("\n"));
    }
}
