use std::{
    env,
    fmt::{self, Display, Formatter},
    path::Path,
};

use embedded_s3::Credentials;

use crate::{folder::quote, store::REGION};

/// What is printed when everything runs.
#[derive(Debug)]
pub(crate) struct Welcome<'a> {
    pub(crate) endpoint: &'a str,
    pub(crate) credentials: &'a Credentials,
    pub(crate) database_url: &'a str,
    pub(crate) folder: &'a Path,
    /// The private PostgreSQL's folder; `None` where the database is the user's.
    pub(crate) postgres_folder: Option<&'a Path>,
    pub(crate) env: &'a Path,
    /// How `psql` is called here.
    pub(crate) psql: &'a str,
    pub(crate) client: Client,
}

/// What to put a document with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    Aws,
    Curl,
}

impl Display for Welcome<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Credentials {
            access_key_id,
            secret_access_key,
        } = self.credentials;
        let (put, list) = self.client.lines(self.endpoint, self.credentials);
        let query = "select uri, title, size, updated_at from document order by id";
        writeln!(formatter, "Holdfast is running; Ctrl-C stops it.\n")?;
        writeln!(
            formatter,
            "  S3 and STS         {}  (buckets documents, documents-versioned)",
            self.endpoint
        )?;
        writeln!(formatter, "  access key id      {access_key_id}")?;
        writeln!(formatter, "  secret access key  {secret_access_key}")?;
        writeln!(formatter, "  region             {REGION}")?;
        writeln!(formatter, "  PostgreSQL         {}", self.database_url)?;
        writeln!(formatter, "  data               {}", self.folder.display())?;
        if let Some(elsewhere) = self
            .postgres_folder
            .filter(|postgres| !postgres.starts_with(self.folder))
        {
            writeln!(
                formatter,
                "                     {}  (PostgreSQL's: its user cannot enter the folder above)",
                elsewhere.display()
            )?;
        }
        writeln!(
            formatter,
            "  for your shell     . {}",
            quote(&self.env.display().to_string())
        )?;
        writeln!(
            formatter,
            "\nPut a document, list the bucket, and see the row:\n"
        )?;
        writeln!(formatter, "{put}")?;
        writeln!(formatter, "{list}")?;
        writeln!(
            formatter,
            "sleep 1; {} {} -c {}\n",
            quote(self.psql),
            quote(self.database_url),
            quote(query)
        )
    }
}

impl Client {
    /// The lines that put a document and list its bucket.
    fn lines(self, endpoint: &str, credentials: &Credentials) -> (String, String) {
        let key = quote(&credentials.access_key_id);
        let secret = quote(&credentials.secret_access_key);
        match self {
            Self::Aws => {
                let aws = format!(
                    "AWS_ACCESS_KEY_ID={key} AWS_SECRET_ACCESS_KEY={secret} AWS_DEFAULT_REGION={REGION} \
                     aws --endpoint-url {endpoint} s3"
                );
                (
                    format!("echo hello | {aws} cp - s3://documents/hello.txt"),
                    format!("{aws} ls s3://documents/"),
                )
            }
            Self::Curl => {
                let user = quote(&format!(
                    "{}:{}",
                    credentials.access_key_id, credentials.secret_access_key
                ));
                let curl = format!(
                    "curl -sS --aws-sigv4 aws:amz:{REGION}:s3 --user {user} \
                     -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD'" // which only newer ones send by themselves
                );
                (
                    format!("{curl} -T /etc/hosts {endpoint}/documents/hello.txt"),
                    format!("{curl} '{endpoint}/documents?list-type=2'; echo"),
                )
            }
        }
    }
}

/// Whether a shell would find `program`.
pub(crate) fn is_on_path(program: &str) -> bool {
    env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_the_aws_command_line_and_a_private_database() {
        insta::assert_snapshot!(text(Client::Aws, "psql", Some("/home/me/.holdfast/postgres")), @r#"
        Holdfast is running; Ctrl-C stops it.

          S3 and STS         http://127.0.0.1:9001  (buckets documents, documents-versioned)
          access key id      HOLDFASTKEY
          secret access key  secret/key
          region             us-east-1
          PostgreSQL         postgresql://holdfast:password@127.0.0.1:9005/holdfast
          data               /home/me/.holdfast
          for your shell     . /home/me/.holdfast/env

        Put a document, list the bucket, and see the row:

        echo hello | AWS_ACCESS_KEY_ID=HOLDFASTKEY AWS_SECRET_ACCESS_KEY=secret/key AWS_DEFAULT_REGION=us-east-1 aws --endpoint-url http://127.0.0.1:9001 s3 cp - s3://documents/hello.txt
        AWS_ACCESS_KEY_ID=HOLDFASTKEY AWS_SECRET_ACCESS_KEY=secret/key AWS_DEFAULT_REGION=us-east-1 aws --endpoint-url http://127.0.0.1:9001 s3 ls s3://documents/
        sleep 1; psql postgresql://holdfast:password@127.0.0.1:9005/holdfast -c 'select uri, title, size, updated_at from document order by id'
        "#);
    }

    #[test]
    fn with_curl_and_a_database_elsewhere() {
        insta::assert_snapshot!(text(Client::Curl, "/opt/my pg/bin/psql", Some("/var/lib/holdfast/1/postgres")), @r#"
        Holdfast is running; Ctrl-C stops it.

          S3 and STS         http://127.0.0.1:9001  (buckets documents, documents-versioned)
          access key id      HOLDFASTKEY
          secret access key  secret/key
          region             us-east-1
          PostgreSQL         postgresql://holdfast:password@127.0.0.1:9005/holdfast
          data               /home/me/.holdfast
                             /var/lib/holdfast/1/postgres  (PostgreSQL's: its user cannot enter the folder above)
          for your shell     . /home/me/.holdfast/env

        Put a document, list the bucket, and see the row:

        curl -sS --aws-sigv4 aws:amz:us-east-1:s3 --user HOLDFASTKEY:secret/key -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' -T /etc/hosts http://127.0.0.1:9001/documents/hello.txt
        curl -sS --aws-sigv4 aws:amz:us-east-1:s3 --user HOLDFASTKEY:secret/key -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' 'http://127.0.0.1:9001/documents?list-type=2'; echo
        sleep 1; '/opt/my pg/bin/psql' postgresql://holdfast:password@127.0.0.1:9005/holdfast -c 'select uri, title, size, updated_at from document order by id'
        "#);
    }

    fn text(client: Client, psql: &str, postgres_folder: Option<&str>) -> String {
        let credentials = Credentials {
            access_key_id: "HOLDFASTKEY".to_owned(),
            secret_access_key: "secret/key".to_owned(),
        };
        Welcome {
            endpoint: "http://127.0.0.1:9001",
            credentials: &credentials,
            database_url: "postgresql://holdfast:password@127.0.0.1:9005/holdfast",
            folder: Path::new("/home/me/.holdfast"),
            postgres_folder: postgres_folder.map(Path::new),
            env: Path::new("/home/me/.holdfast/env"),
            psql,
            client,
        }
        .to_string()
    }
}
