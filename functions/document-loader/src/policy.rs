//! The session policy: what temporary credentials are good for, beside what the role allows.

use serde_json::{Value, json};

/// Characters that STS takes in a session policy.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
const LONGEST: usize = 2048;

/// A policy that allows to read the objects under a prefix, to see which there are, and to have S3 decrypt them.
///
/// STS takes no more than 2048 characters, and none beyond Latin-1: a prefix that does not fit is cut, and the policy
/// allows more, but nothing outside the bucket.
pub(crate) fn session_policy(role_arn: &str, bucket: &str, prefix: &str) -> String {
    // `arn:aws-us-gov:iam::…`: the bucket is in the same partition.
    let partition = role_arn.split(':').nth(1).unwrap_or("aws");
    let mut beginning: String = prefix
        .chars()
        .take_while(|character| !character.is_control() && u32::from(*character) <= 0xff)
        .collect();
    loop {
        let policy = policy(partition, bucket, &beginning).to_string();
        if policy.chars().count() <= LONGEST || beginning.pop().is_none() {
            return policy;
        }
    }
}

fn policy(partition: &str, bucket: &str, beginning: &str) -> Value {
    let place = format!("arn:{partition}:s3:::{bucket}");
    let beginning = format!("{}*", literal(beginning));
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["s3:GetObject", "s3:GetObjectVersion"],
                "Resource": format!("{place}/{beginning}"),
            },
            {
                "Effect": "Allow",
                "Action": "s3:ListBucket",
                "Resource": place,
                "Condition": {"StringLike": {"s3:prefix": beginning}},
            },
            {
                "Effect": "Allow",
                "Action": "kms:Decrypt",
                "Resource": "*",
                "Condition": {"StringLike": {"kms:ViaService": "s3.*"}},
            },
        ],
    })
}

/// In policies `*` and `?` stand for anything and `$` begins a variable, unless written as variables themselves.
fn literal(text: &str) -> String {
    text.replace('$', "${$}")
        .replace('*', "${*}")
        .replace('?', "${?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLE: &str = "arn:aws-us-gov:iam::123456789012:role/reader";

    #[test]
    fn it_narrows_to_bucket_and_prefix() {
        insta::assert_snapshot!(
            session_policy(ROLE, "acme", "in$box*/"),
            @r#"{"Statement":[{"Action":["s3:GetObject","s3:GetObjectVersion"],"Effect":"Allow","Resource":"arn:aws-us-gov:s3:::acme/in${$}box${*}/*"},{"Action":"s3:ListBucket","Condition":{"StringLike":{"s3:prefix":"in${$}box${*}/*"}},"Effect":"Allow","Resource":"arn:aws-us-gov:s3:::acme"},{"Action":"kms:Decrypt","Condition":{"StringLike":{"kms:ViaService":"s3.*"}},"Effect":"Allow","Resource":"*"}],"Version":"2012-10-17"}"#
        );
    }

    #[test]
    fn a_prefix_that_sts_does_not_take_is_cut_and_never_the_bucket() {
        for prefix in ["*".repeat(1024), "x\"".repeat(500), "ключ/".repeat(100)] {
            let policy = session_policy(ROLE, "acme", &prefix);
            assert!(policy.chars().count() <= LONGEST, "{policy}");
            assert!(policy.chars().all(|character| u32::from(character) <= 0xff));
            assert!(policy.contains("arn:aws-us-gov:s3:::acme/"), "{policy}");
            serde_json::from_str::<Value>(&policy).unwrap();
        }
    }
}
