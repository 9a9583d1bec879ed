"""Documents in another account's bucket, as boto3 and the AWS CLI get at them on the local stack."""

import os
import re
import subprocess
import sys
import uuid

import pytest
from urllib3 import PoolManager

from expectations import body, keys, policy, refused
from processes import ROOT
from servers import Credentials, stack

CUSTOMER = "111122223333"
EXTERNAL_ID = "tenant/4:b7"
HTTP = PoolManager(retries=False)


@pytest.fixture(scope="module")
def machine():
    with stack() as started:
        yield started[0]


@pytest.fixture
def customer(machine):
    """The customer's S3."""
    return machine.client(credentials=machine.customer)


@pytest.fixture
def bucket(customer):
    name = f"papers-{uuid.uuid4().hex[:12]}"
    customer.create_bucket(Bucket=name)
    for key in ("a/1", "a/2", "b/1"):
        customer.put_object(Bucket=name, Key=key, Body=key.encode())
    return name


@pytest.fixture
def role(machine, bucket):
    """The customer's role for us: everything in the bucket, with the external id."""
    iam, name = machine.client("iam", machine.customer), f"reader-{uuid.uuid4().hex[:8]}"
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::000000000000:root"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": EXTERNAL_ID}},
    }
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))["Role"]["Arn"]
    arns = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    iam.put_role_policy(
        RoleName=name,
        PolicyName="all",
        PolicyDocument=policy({"Effect": "Allow", "Action": "s3:*", "Resource": arns}),
    )
    return arn


@pytest.fixture
def assume(machine, role):
    """Assumes the role; the credentials of the session."""

    def assumed(credentials=None, **changed):
        asked = {"RoleArn": role, "RoleSessionName": "loader", "ExternalId": EXTERNAL_ID, **changed}
        asked = {name: value for name, value in asked.items() if value is not None}
        given = machine.client("sts", credentials).assume_role(**asked)["Credentials"]
        return Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])

    return assumed


def reading(bucket, prefix):
    """A session policy for one prefix."""
    return policy(
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/{prefix}*"},
        {
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": f"arn:aws:s3:::{bucket}",
            "Condition": {"StringLike": {"s3:prefix": f"{prefix}*"}},
        },
    )


def test_the_external_id_opens_the_bucket(machine, bucket, assume):
    with refused("AccessDenied"):
        machine.s3.get_object(Bucket=bucket, Key="a/1")
    for wrong in (None, "tenant/4:b8"):
        with refused("AccessDenied"):
            assume(ExternalId=wrong)
    session = machine.client(credentials=assume())
    assert body(session.get_object(Bucket=bucket, Key="a/1")) == b"a/1"


def test_a_session_is_narrower_than_its_role(machine, bucket, assume):
    session = machine.client(credentials=assume(Policy=reading(bucket, "a/")))
    assert body(session.get_object(Bucket=bucket, Key="a/1")) == b"a/1"
    assert keys(session.list_objects_v2(Bucket=bucket, Prefix="a/")) == ["a/1", "a/2"]
    for forbidden in (
        lambda: session.get_object(Bucket=bucket, Key="b/1"),
        lambda: session.list_objects_v2(Bucket=bucket),
        lambda: session.list_objects_v2(Bucket=bucket, Prefix="b/"),
        lambda: session.put_object(Bucket=bucket, Key="a/1", Body=b""),
        # Missing, but who may not list the whole bucket is not told.
        lambda: session.get_object(Bucket=bucket, Key="a/3"),
    ):
        with refused("AccessDenied"):
            forbidden()
    with refused("NoSuchKey"):
        machine.client(credentials=assume()).get_object(Bucket=bucket, Key="a/3")


def test_a_session_policy_has_limits(assume, bucket):
    with refused("MalformedPolicyDocument"):
        assume(Policy='{"Version": "2012-10-17"}')
    with refused("ValidationError"):
        assume(Policy=reading(bucket, "x" * 2048))


def test_a_chained_session_lasts_an_hour_at_most(machine, assume):
    iam, name = machine.client("iam"), f"function-{uuid.uuid4().hex[:8]}"
    trust = {"Effect": "Allow", "Principal": {"AWS": "000000000000"}, "Action": "sts:AssumeRole"}
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))["Role"]["Arn"]
    anything = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}
    iam.put_role_policy(RoleName=name, PolicyName="assume", PolicyDocument=policy(anything))
    function = assume(RoleArn=arn, ExternalId=None)
    caller = machine.client("sts", function).get_caller_identity()
    assert caller["Arn"] == f"arn:aws:sts::000000000000:assumed-role/{name}/loader"
    assume(function, DurationSeconds=3600)
    with refused("ValidationError"):
        assume(function, DurationSeconds=3601)


def test_a_bucket_elsewhere_is_found(machine, customer):
    name = f"west-{uuid.uuid4().hex[:12]}"
    west = machine.client(credentials=machine.customer, region="eu-west-1")
    west.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    west.put_object(Bucket=name, Key="k", Body=b"west")
    signer = machine.client(credentials=machine.customer, signature_version="s3v4")
    url = signer.generate_presigned_url("get_object", Params={"Bucket": name, "Key": "k"})
    answer = HTTP.request("GET", url, redirect=False)
    assert (answer.status, answer.headers["x-amz-bucket-region"]) == (301, "eu-west-1")
    # boto3 signs again for the region that it is sent to.
    assert body(customer.get_object(Bucket=name, Key="k")) == b"west"


def test_the_expected_owner_is_checked(machine, bucket, assume):
    session = machine.client(credentials=assume())
    named = {"Bucket": bucket, "Key": "a/1"}
    assert body(session.get_object(**named, ExpectedBucketOwner=CUSTOMER)) == b"a/1"
    with refused("AccessDenied"):
        session.get_object(**named, ExpectedBucketOwner="000000000000")


def test_a_presigned_url_holds_the_session(machine, bucket, assume):
    session = machine.client(credentials=assume(Policy=reading(bucket, "a/")), signature_version="s3v4")
    for key, status in (("a/1", 200), ("b/1", 403)):
        url = session.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})
        assert "X-Amz-Security-Token" in url
        assert HTTP.request("GET", url).status == status


def test_another_account_reads_by_the_policy_of_the_bucket(machine, customer, bucket):
    customer.put_bucket_policy(
        Bucket=bucket,
        Policy=policy(
            {
                "Effect": "Allow",
                "Principal": {"AWS": "000000000000"},
                "Action": "s3:GetObject",
                "Resource": f"arn:aws:s3:::{bucket}/a/*",
            }
        ),
    )
    assert body(machine.s3.get_object(Bucket=bucket, Key="a/1")) == b"a/1"
    with refused("AccessDenied"):
        machine.s3.get_object(Bucket=bucket, Key="b/1")
    assert bucket not in [entry["Name"] for entry in machine.s3.list_buckets()["Buckets"]]


def test_the_lines_of_the_readme_do_what_they_say(machine, tmp_path):
    text = (ROOT / "README.md").read_text()
    section = text.partition("### A document in another account's bucket")[2]
    lines = section.partition("```sh\n")[2].partition("```")[0]
    assert "assume-role" in lines
    (tmp_path / ".holdfast").symlink_to(machine.folder)
    (tmp_path / "README.md").write_text("the text of many documents\n")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "aws").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m awscli "$@"\n')
    (programs / "aws").chmod(0o755)
    done = subprocess.run(
        ["sh"],
        input=lines.encode(),
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "AWS_PAGER": ""},
        capture_output=True,
        timeout=120,
        check=False,
    )
    said = done.stdout.decode() + done.stderr.decode()
    # As many refusals as the comments announce, and what was to be read.
    announced = len(re.findall("# .*(?:AccessDenied|Forbidden)", lines))
    assert announced > 0
    assert len(re.findall(r"\((?:AccessDenied|403)\)", said)) == announced, said
    assert '"ok":true,"source":"s3://customer-papers/reports/"' in said, said
    assert "s3://customer-papers/reports/readme.md|text of many <b>documents</b>" in said, said
