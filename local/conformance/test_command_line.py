"""The AWS CLI as people use it, against the embedded S3."""

import json
import os
import subprocess
import sys
import time

import pytest
from urllib3 import PoolManager

from expectations import body, keys, policy
from servers import REGION


@pytest.fixture
def command_line(server):
    """Runs `aws` with arguments; its output, or with `fails` its complaint."""
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": server.owner.access_key,
        "AWS_SECRET_ACCESS_KEY": server.owner.secret_key,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": server.endpoint,
        "AWS_PAGER": "",
    }

    def run(*arguments, fails=False, stdin=None):
        command = [sys.executable, "-m", "awscli", *map(str, arguments)]
        done = subprocess.run(command, env=environment, input=stdin, capture_output=True, timeout=60, check=False)
        assert (done.returncode != 0) == fails, f"aws {arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stderr.decode() if fails else done.stdout.decode()

    return run


@pytest.fixture
def folder(tmp_path):
    """Files as a user has them."""
    root = tmp_path / "my files"
    for name, content in {"a b.md": "# A", "sub/ü+1.txt": "u", "sub/deep/100%.json": "{}"}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        # S3 lists whole seconds; a file of this very second would look newer than its copy.
        os.utime(path, (time.time() - 60, time.time() - 60))
    return root


def test_cp_up_and_down(command_line, s3, bucket, folder, tmp_path):
    command_line("s3", "cp", folder / "a b.md", f"s3://{bucket}/notes/a b.md")
    head = s3.head_object(Bucket=bucket, Key="notes/a b.md")
    assert (head["ContentLength"], head["ContentType"]) == (3, "text/markdown")
    command_line("s3", "cp", f"s3://{bucket}/notes/a b.md", tmp_path / "down.md")
    assert (tmp_path / "down.md").read_text() == "# A"
    command_line("s3", "cp", f"s3://{bucket}/notes/a b.md", f"s3://{bucket}/copy +.md")
    assert body(s3.get_object(Bucket=bucket, Key="copy +.md")) == b"# A"


def test_cp_of_streams(command_line, s3, bucket):
    command_line("s3", "cp", "-", f"s3://{bucket}/stdin.txt", stdin=b"from a pipe")
    assert body(s3.get_object(Bucket=bucket, Key="stdin.txt")) == b"from a pipe"
    assert command_line("s3", "cp", f"s3://{bucket}/stdin.txt", "-") == "from a pipe"


def test_cp_of_a_large_file_is_multipart(command_line, s3, bucket, tmp_path):
    large = tmp_path / "large.bin"
    large.write_bytes(os.urandom(20 * 1024 * 1024))
    command_line("s3", "cp", large, f"s3://{bucket}/large.bin")
    assert s3.head_object(Bucket=bucket, Key="large.bin")["ETag"].endswith('-3"')
    command_line("s3", "cp", f"s3://{bucket}/large.bin", tmp_path / "down.bin")
    assert (tmp_path / "down.bin").read_bytes() == large.read_bytes()


def test_cp_recursive_and_ls(command_line, s3, bucket, folder):
    command_line("s3", "cp", "--recursive", folder, f"s3://{bucket}/docs/")
    assert keys(s3.list_objects_v2(Bucket=bucket)) == ["docs/a b.md", "docs/sub/deep/100%.json", "docs/sub/ü+1.txt"]
    listed = command_line("s3", "ls", f"s3://{bucket}/docs/").splitlines()
    assert [line.split(maxsplit=1 if "PRE" in line else 3)[-1] for line in listed] == ["sub/", "a b.md"]
    everything = command_line("s3", "ls", "--recursive", "--summarize", f"s3://{bucket}")
    assert "Total Objects: 3" in everything
    assert "docs/sub/ü+1.txt" in everything
    assert bucket in command_line("s3", "ls")


def test_sync_moves_only_what_changed(command_line, bucket, folder, tmp_path):
    target = f"s3://{bucket}/site"
    assert command_line("s3", "sync", folder, target).count("upload:") == 3
    assert command_line("s3", "sync", folder, target) == ""
    (folder / "a b.md").write_text("# A, longer")
    (folder / "sub/ü+1.txt").unlink()
    changed = command_line("s3", "sync", "--delete", folder, target)
    assert (changed.count("upload:"), changed.count("delete:")) == (1, 1)
    command_line("s3", "sync", target, tmp_path / "mirror")
    assert (tmp_path / "mirror/a b.md").read_text() == "# A, longer"
    assert (tmp_path / "mirror/sub/deep/100%.json").read_text() == "{}"
    assert command_line("s3", "sync", target, f"s3://{bucket}/second").count("copy:") == 2


def test_mv_and_rm(command_line, s3, bucket, folder):
    command_line("s3", "mv", folder / "a b.md", f"s3://{bucket}/moved.md")
    assert not (folder / "a b.md").exists()
    command_line("s3", "mv", f"s3://{bucket}/moved.md", f"s3://{bucket}/again +.md")
    assert keys(s3.list_objects_v2(Bucket=bucket)) == ["again +.md"]
    command_line("s3", "cp", "--recursive", folder, f"s3://{bucket}/tree/")
    command_line("s3", "rm", "--recursive", f"s3://{bucket}/tree/")
    assert keys(s3.list_objects_v2(Bucket=bucket)) == ["again +.md"]
    command_line("s3", "rm", f"s3://{bucket}/again +.md")
    assert keys(s3.list_objects_v2(Bucket=bucket)) == []


def test_mb_and_rb(command_line, s3, bucket):
    command_line("s3", "mb", f"s3://{bucket}-two")
    command_line("s3", "cp", "-", f"s3://{bucket}-two/k", stdin=b"x")
    assert "BucketNotEmpty" in command_line("s3", "rb", f"s3://{bucket}-two", fails=True)
    command_line("s3", "rb", "--force", f"s3://{bucket}-two")
    assert f"{bucket}-two" not in [entry["Name"] for entry in s3.list_buckets()["Buckets"]]


def test_presign(command_line, s3, bucket):
    s3.put_object(Bucket=bucket, Key="a b.txt", Body=b"text")
    url = command_line("s3", "presign", f"s3://{bucket}/a b.txt", "--expires-in", 60).strip()
    assert PoolManager(retries=False).request("GET", url).data == b"text"


def test_put_get_and_head_of_s3api(command_line, bucket, folder, tmp_path):
    named = ("--bucket", bucket, "--key", "k +.md")
    put = json.loads(
        command_line(
            "s3api", "put-object", *named, "--body", folder / "a b.md", "--content-type", "text/markdown",
            "--metadata", "author=ada", "--checksum-algorithm", "SHA256", "--if-none-match", "*",
        )
    )  # fmt: skip
    assert "ChecksumSHA256" in put
    twice = command_line("s3api", "put-object", *named, "--body", folder / "a b.md", "--if-none-match", "*", fails=True)
    assert "PreconditionFailed" in twice
    head = json.loads(command_line("s3api", "head-object", *named))
    assert (head["ContentType"], head["Metadata"]) == ("text/markdown", {"author": "ada"})
    out = tmp_path / "out.md"
    command_line("s3api", "get-object", *named, "--range", "bytes=2-", out)
    assert out.read_text() == "A"
    assert "404" in command_line("s3api", "head-object", "--bucket", bucket, "--key", "missing", fails=True)


def test_listing_and_deleting_of_s3api(command_line, s3, bucket):
    for number in range(5):
        s3.put_object(Bucket=bucket, Key=f"d/{number}", Body=b"x")
    listed = json.loads(command_line("s3api", "list-objects-v2", "--bucket", bucket, "--page-size", 2))
    assert [entry["Key"] for entry in listed["Contents"]] == [f"d/{number}" for number in range(5)]
    objects = json.dumps({"Objects": [{"Key": "d/0"}, {"Key": "d/1"}]})
    deleted = json.loads(command_line("s3api", "delete-objects", "--bucket", bucket, "--delete", objects))
    assert len(deleted["Deleted"]) == 2
    assert keys(s3.list_objects_v2(Bucket=bucket)) == ["d/2", "d/3", "d/4"]


def test_versions_of_s3api(command_line, bucket):
    command_line("s3api", "put-bucket-versioning", "--bucket", bucket, "--versioning-configuration", "Status=Enabled")
    command_line("s3", "cp", "-", f"s3://{bucket}/k", stdin=b"one")
    command_line("s3", "rm", f"s3://{bucket}/k")
    listed = json.loads(command_line("s3api", "list-object-versions", "--bucket", bucket))
    assert (len(listed["Versions"]), len(listed["DeleteMarkers"])) == (1, 1)


def test_a_role_and_a_session_of_it(command_line, server):
    trust = {"Effect": "Allow", "Principal": {"AWS": server.account}, "Action": "sts:AssumeRole"}
    made = json.loads(
        command_line(
            "iam", "create-role", "--role-name", "cli", "--path", "/team/", "--description", "ä & b",
            "--max-session-duration", 7200, "--assume-role-policy-document", policy(trust),
        )
    )["Role"]  # fmt: skip
    assert (made["Arn"], made["Description"]) == (f"arn:aws:iam::{server.account}:role/team/cli", "ä & b")
    assert made["AssumeRolePolicyDocument"]["Statement"] == [trust]
    assert "EntityAlreadyExists" in command_line(
        "iam", "create-role", "--role-name", "CLI", "--assume-role-policy-document", policy(trust), fails=True
    )
    reading = {"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}
    named = ("--role-name", "cli", "--policy-name", "read")
    command_line("iam", "put-role-policy", *named, "--policy-document", policy(reading))
    assert json.loads(command_line("iam", "get-role-policy", *named))["PolicyDocument"]["Statement"] == [reading]
    assert json.loads(command_line("iam", "list-role-policies", "--role-name", "cli"))["PolicyNames"] == ["read"]
    listed = json.loads(command_line("iam", "list-roles", "--path-prefix", "/team/"))["Roles"]
    assert [role["RoleName"] for role in listed] == ["cli"]
    answer = json.loads(command_line("sts", "assume-role", "--role-arn", made["Arn"], "--role-session-name", "cli"))
    assert answer["Credentials"]["SessionToken"]
    nobody = {**trust, "Principal": {"AWS": "999999999999"}}
    command_line("iam", "update-assume-role-policy", "--role-name", "cli", "--policy-document", policy(nobody))
    assert "AccessDenied" in command_line(
        "sts", "assume-role", "--role-arn", made["Arn"], "--role-session-name", "cli", fails=True
    )
    command_line("iam", "update-role", "--role-name", "cli", "--max-session-duration", 3600)
    got = json.loads(command_line("iam", "get-role", "--role-name", "cli"))["Role"]
    assert (got["MaxSessionDuration"], got["RoleId"]) == (3600, made["RoleId"])
    assert "DeleteConflict" in command_line("iam", "delete-role", "--role-name", "cli", fails=True)
    command_line("iam", "delete-role-policy", *named)
    command_line("iam", "delete-role", "--role-name", "cli")
    assert "NoSuchEntity" in command_line("iam", "get-role", "--role-name", "cli", fails=True)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--role-name", "a b"), "ValidationError"),
        (("--role-name", "r", "--assume-role-policy-document", "{"), "MalformedPolicyDocument"),
        (("--role-name", "r", "--max-session-duration", "43201"), "ValidationError"),
        (("--role-name", "r", "--path", "team"), "ValidationError"),
    ],
)
def test_a_role_that_iam_would_refuse(command_line, server, arguments, code):
    trust = {"Effect": "Allow", "Principal": {"AWS": server.account}, "Action": "sts:AssumeRole"}
    document = ("--assume-role-policy-document", policy(trust))
    complaint = command_line("iam", "create-role", *document, *arguments, fails=True)
    assert code in complaint


def test_policies_and_payers_of_buckets(command_line, bucket):
    reading = {
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    command_line("s3api", "put-bucket-policy", "--bucket", bucket, "--policy", policy(reading))
    kept = json.loads(command_line("s3api", "get-bucket-policy", "--bucket", bucket))["Policy"]
    assert json.loads(kept)["Statement"] == [reading]
    command_line("s3api", "delete-bucket-policy", "--bucket", bucket)
    assert "NoSuchBucketPolicy" in command_line("s3api", "get-bucket-policy", "--bucket", bucket, fails=True)
    payer = ("--request-payment-configuration", "Payer=Requester")
    command_line("s3api", "put-bucket-request-payment", "--bucket", bucket, *payer)
    paying = json.loads(command_line("s3api", "get-bucket-request-payment", "--bucket", bucket))
    assert paying == {"Payer": "Requester"}
