//! The command line of the binary.

use embedded_s3::{Credentials, Durability, Options};

/// How the binary is to run.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) options: Options,
    pub(crate) address: String,
    /// Buckets to make, and the queues their events go to.
    pub(crate) notify: Vec<(String, String)>,
}

const USAGE: &str = "usage: embedded-s3 --folder FOLDER [--address 127.0.0.1:9001] [--region us-east-1] [--relaxed] \
[--notify BUCKET=QUEUE]..., with HOLDFAST_ACCESS_KEY_ID and HOLDFAST_SECRET_ACCESS_KEY in the environment";

impl Arguments {
    /// Reads the command line and the environment, or says how they should be.
    pub(crate) fn read(
        mut arguments: impl Iterator<Item = String>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let required = |name: &str| {
            environment(name)
                .filter(|value| !value.is_empty())
                .ok_or_else(|| format!("{name} is not set; {USAGE}"))
        };
        let (mut folder, mut region, mut notify) = (None, None, Vec::new());
        let mut address = "127.0.0.1:9001".to_owned();
        let mut durability = Durability::Full;
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| format!("{argument} needs a value; {USAGE}"))
            };
            match argument.as_str() {
                "--folder" => folder = Some(value()?),
                "--address" => address = value()?,
                "--region" => region = Some(value()?),
                "--relaxed" => durability = Durability::Relaxed,
                "--notify" => {
                    let pair = value()?;
                    let (bucket, queue) = pair
                        .split_once('=')
                        .ok_or_else(|| format!("--notify {pair} is not BUCKET=QUEUE; {USAGE}"))?;
                    notify.push((bucket.to_owned(), queue.to_owned()));
                }
                other => return Err(format!("{other} is unknown; {USAGE}")),
            }
        }
        let folder = folder.ok_or_else(|| format!("--folder is missing; {USAGE}"))?;
        let credentials = Credentials {
            access_key_id: required("HOLDFAST_ACCESS_KEY_ID")?,
            secret_access_key: required("HOLDFAST_SECRET_ACCESS_KEY")?,
        };
        let mut options = Options::new(folder, credentials);
        options.durability = durability;
        if let Some(region) = region {
            options.region = region;
        }
        Ok(Self {
            options,
            address,
            notify,
        })
    }
}
