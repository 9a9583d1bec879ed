use std::{
    env,
    fmt::{self, Display, Formatter},
    path::Path,
};

use embedded_s3::{AccountId, Credentials};
use registry::access::settings::{PUBLIC_NAME, PUBLIC_PASSWORDS};
use serde_json::json;

use crate::{folder::quote, function::Function, keys::CUSTOMER_PROFILE, store::REGION};

/// What is printed when everything runs.
#[derive(Debug)]
pub(crate) struct Welcome<'a> {
    pub(crate) endpoint: &'a str,
    pub(crate) lambda_endpoint: &'a str,
    /// Where the registry's API is.
    pub(crate) registry: &'a str,
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

/// What to put a document and to invoke the function with.
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
        let search = "select uri, snippet from search_documents($$hello or localhost$$)";
        writeln!(formatter, "Holdfast is running; Ctrl-C stops it.\n")?;
        writeln!(
            formatter,
            "  S3, IAM and STS    {}  (buckets documents, documents-versioned)",
            self.endpoint
        )?;
        writeln!(
            formatter,
            "  Lambda             {}  (functions {}, {})",
            self.lambda_endpoint,
            Function::SYNC,
            Function::LOADER
        )?;
        writeln!(
            formatter,
            "  registry           {}/  (its API, and in a browser its pages)",
            self.registry
        )?;
        writeln!(formatter, "  its admin          {PUBLIC_NAME}")?;
        writeln!(formatter, "  with the password  {}", PUBLIC_PASSWORDS[0])?;
        writeln!(formatter, "  access key id      {access_key_id}")?;
        writeln!(formatter, "  secret access key  {secret_access_key}")?;
        writeln!(formatter, "  region             {REGION}")?;
        writeln!(
            formatter,
            "  a customer         account {}, profile {CUSTOMER_PROFILE}",
            AccountId::CUSTOMER
        )?;
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
            "\nCompare a bucket with its rows, and repair what differs:\n"
        )?;
        writeln!(
            formatter,
            "{}",
            self.client.invoke(self.lambda_endpoint, self.credentials)
        )?;
        writeln!(
            formatter,
            "\nLog in to the registry, register a model, and list what there is:\n"
        )?;
        writeln!(formatter, "{}", log_in(self.registry))?;
        writeln!(
            formatter,
            "\nPut a document, list the bucket, see the row, and search its text:\n"
        )?;
        writeln!(formatter, "{put}")?;
        writeln!(formatter, "{list}")?;
        writeln!(
            formatter,
            "sleep 3; {} {} -c {} -c {}\n",
            quote(self.psql),
            quote(self.database_url),
            quote(query),
            quote(search)
        )
    }
}

impl Client {
    /// The lines that put a document and list its bucket.
    fn lines(self, endpoint: &str, credentials: &Credentials) -> (String, String) {
        match self {
            Self::Aws => {
                let aws = format!("{} --endpoint-url {endpoint} s3", aws(credentials));
                (
                    format!("echo hello | {aws} cp - s3://documents/hello.txt"),
                    format!("{aws} ls s3://documents/"),
                )
            }
            Self::Curl => {
                let curl = format!(
                    "{} -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD'", // which only newer ones send by themselves
                    curl("s3", credentials)
                );
                (
                    format!("{curl} -T /etc/hosts {endpoint}/documents/hello.txt"),
                    format!("{curl} '{endpoint}/documents?list-type=2'; echo"),
                )
            }
        }
    }

    /// The line that invokes the function.
    fn invoke(self, endpoint: &str, credentials: &Credentials) -> String {
        let payload = quote(r#"{"reconcile": {"bucket": "documents"}}"#);
        let function = Function::SYNC;
        match self {
            // By a pipe, because versions 1 and 2 read a payload on the command line differently.
            Self::Aws => format!(
                "echo {payload} | {} --endpoint-url {endpoint} lambda invoke --function-name {function} \
                 --payload fileb:///dev/stdin /dev/stdout",
                aws(credentials)
            ),
            Self::Curl => format!(
                "{} -d {payload} {endpoint}/2015-03-31/functions/{function}/invocations; echo",
                curl("lambda", credentials)
            ),
        }
    }
}

/// The lines that log in as the default admin, whose password everybody knows, register a model and list all.
fn log_in(registry: &str) -> String {
    let login = json!({
        "user": { "name": PUBLIC_NAME },
        "secret": { "password": PUBLIC_PASSWORDS[0] },
    });
    let model = json!({ "url": "https://huggingface.co/google-bert/bert-base-uncased" });
    let all = json!([{ "name": "*" }]);
    let curl = r#"curl -sS -H "X-Authorization: $token""#;
    format!(
        "token=$(curl -sS -X PUT -d {} {registry}/authenticate)\n\
         {curl} -d {} {registry}/artifact/model; echo\n\
         {curl} -d {} {registry}/artifacts; echo",
        quote(&login.to_string()),
        quote(&model.to_string()),
        quote(&all.to_string()),
    )
}

/// The AWS command line, with these credentials.
fn aws(credentials: &Credentials) -> String {
    format!(
        "AWS_ACCESS_KEY_ID={} AWS_SECRET_ACCESS_KEY={} AWS_DEFAULT_REGION={REGION} aws",
        quote(&credentials.access_key_id),
        quote(&credentials.secret_access_key)
    )
}

/// curl, with these credentials for a service.
fn curl(service: &str, credentials: &Credentials) -> String {
    let user = format!(
        "{}:{}",
        credentials.access_key_id, credentials.secret_access_key
    );
    format!(
        "curl -sS --aws-sigv4 aws:amz:{REGION}:{service} --user {}",
        quote(&user)
    )
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

          S3, IAM and STS    http://127.0.0.1:9001  (buckets documents, documents-versioned)
          Lambda             http://127.0.0.1:9002  (functions document-sync, document-loader)
          registry           http://127.0.0.1:9010/  (its API, and in a browser its pages)
          its admin          ece30861defaultadminuser
          with the password  correcthorsebatterystaple123(!__+@**(A'"`;DROP TABLE artifacts;
          access key id      HOLDFASTKEY
          secret access key  secret/key
          region             us-east-1
          a customer         account 111122223333, profile customer
          PostgreSQL         postgresql://holdfast:password@127.0.0.1:9005/holdfast
          data               /home/me/.holdfast
          for your shell     . /home/me/.holdfast/env

        Compare a bucket with its rows, and repair what differs:

        echo '{"reconcile": {"bucket": "documents"}}' | AWS_ACCESS_KEY_ID=HOLDFASTKEY AWS_SECRET_ACCESS_KEY=secret/key AWS_DEFAULT_REGION=us-east-1 aws --endpoint-url http://127.0.0.1:9002 lambda invoke --function-name document-sync --payload fileb:///dev/stdin /dev/stdout

        Log in to the registry, register a model, and list what there is:

        token=$(curl -sS -X PUT -d '{"secret":{"password":"correcthorsebatterystaple123(!__+@**(A'\''\"`;DROP TABLE artifacts;"},"user":{"name":"ece30861defaultadminuser"}}' http://127.0.0.1:9010/authenticate)
        curl -sS -H "X-Authorization: $token" -d '{"url":"https://huggingface.co/google-bert/bert-base-uncased"}' http://127.0.0.1:9010/artifact/model; echo
        curl -sS -H "X-Authorization: $token" -d '[{"name":"*"}]' http://127.0.0.1:9010/artifacts; echo

        Put a document, list the bucket, see the row, and search its text:

        echo hello | AWS_ACCESS_KEY_ID=HOLDFASTKEY AWS_SECRET_ACCESS_KEY=secret/key AWS_DEFAULT_REGION=us-east-1 aws --endpoint-url http://127.0.0.1:9001 s3 cp - s3://documents/hello.txt
        AWS_ACCESS_KEY_ID=HOLDFASTKEY AWS_SECRET_ACCESS_KEY=secret/key AWS_DEFAULT_REGION=us-east-1 aws --endpoint-url http://127.0.0.1:9001 s3 ls s3://documents/
        sleep 3; psql postgresql://holdfast:password@127.0.0.1:9005/holdfast -c 'select uri, title, size, updated_at from document order by id' -c 'select uri, snippet from search_documents($$hello or localhost$$)'
        "#);
    }

    #[test]
    fn with_curl_and_a_database_elsewhere() {
        insta::assert_snapshot!(text(Client::Curl, "/opt/my pg/bin/psql", Some("/var/lib/holdfast/1/postgres")), @r#"
        Holdfast is running; Ctrl-C stops it.

          S3, IAM and STS    http://127.0.0.1:9001  (buckets documents, documents-versioned)
          Lambda             http://127.0.0.1:9002  (functions document-sync, document-loader)
          registry           http://127.0.0.1:9010/  (its API, and in a browser its pages)
          its admin          ece30861defaultadminuser
          with the password  correcthorsebatterystaple123(!__+@**(A'"`;DROP TABLE artifacts;
          access key id      HOLDFASTKEY
          secret access key  secret/key
          region             us-east-1
          a customer         account 111122223333, profile customer
          PostgreSQL         postgresql://holdfast:password@127.0.0.1:9005/holdfast
          data               /home/me/.holdfast
                             /var/lib/holdfast/1/postgres  (PostgreSQL's: its user cannot enter the folder above)
          for your shell     . /home/me/.holdfast/env

        Compare a bucket with its rows, and repair what differs:

        curl -sS --aws-sigv4 aws:amz:us-east-1:lambda --user HOLDFASTKEY:secret/key -d '{"reconcile": {"bucket": "documents"}}' http://127.0.0.1:9002/2015-03-31/functions/document-sync/invocations; echo

        Log in to the registry, register a model, and list what there is:

        token=$(curl -sS -X PUT -d '{"secret":{"password":"correcthorsebatterystaple123(!__+@**(A'\''\"`;DROP TABLE artifacts;"},"user":{"name":"ece30861defaultadminuser"}}' http://127.0.0.1:9010/authenticate)
        curl -sS -H "X-Authorization: $token" -d '{"url":"https://huggingface.co/google-bert/bert-base-uncased"}' http://127.0.0.1:9010/artifact/model; echo
        curl -sS -H "X-Authorization: $token" -d '[{"name":"*"}]' http://127.0.0.1:9010/artifacts; echo

        Put a document, list the bucket, see the row, and search its text:

        curl -sS --aws-sigv4 aws:amz:us-east-1:s3 --user HOLDFASTKEY:secret/key -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' -T /etc/hosts http://127.0.0.1:9001/documents/hello.txt
        curl -sS --aws-sigv4 aws:amz:us-east-1:s3 --user HOLDFASTKEY:secret/key -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' 'http://127.0.0.1:9001/documents?list-type=2'; echo
        sleep 3; '/opt/my pg/bin/psql' postgresql://holdfast:password@127.0.0.1:9005/holdfast -c 'select uri, title, size, updated_at from document order by id' -c 'select uri, snippet from search_documents($$hello or localhost$$)'
        "#);
    }

    fn text(client: Client, psql: &str, postgres_folder: Option<&str>) -> String {
        let credentials = Credentials {
            access_key_id: "HOLDFASTKEY".to_owned(),
            secret_access_key: "secret/key".to_owned(),
        };
        Welcome {
            endpoint: "http://127.0.0.1:9001",
            lambda_endpoint: "http://127.0.0.1:9002",
            registry: "http://127.0.0.1:9010",
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
