"""Lambda's Invoke API of the local stack, as boto3 and the AWS CLI call it."""

import json
import os
import subprocess
import sys

import pytest
from botocore.exceptions import ClientError

from servers import REGION, Credentials, stack

FUNCTION = "document-sync"


@pytest.fixture(scope="module")
def servers():
    with stack() as started:
        yield started


@pytest.fixture(scope="module")
def functions(servers):
    return servers[1].client("lambda")


def created(key):
    """S3's event without a sequencer: the function asks S3 what is there."""
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventTime": "2026-01-01T00:00:00.000Z",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "documents"}, "object": {"key": key}},
    }
    return json.dumps({"Records": [record]}).encode()


def applied(report):
    """How many changes the function looked at, whether S3's own event came first or not."""
    return sum(report.get(name, 0) for name in ("changed", "confirmed", "stale", "duplicate"))


@pytest.mark.parametrize(
    "name",
    [
        FUNCTION,
        f"{FUNCTION}:live",
        f"000000000000:function:{FUNCTION}",
        f"arn:aws:lambda:{REGION}:000000000000:function:{FUNCTION}:$LATEST",
    ],
)
def test_boto3_invokes_by_every_form_of_the_name(servers, functions, name):
    servers[0].s3.put_object(Bucket="documents", Key="a b+c.md", Body=b"text")
    answer = functions.invoke(FunctionName=name, Payload=created("a+b%2Bc.md"))
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    assert "FunctionError" not in answer
    assert applied(json.load(answer["Payload"])) == 1


def test_boto3_hears_of_a_failure_of_the_function(functions):
    answer = functions.invoke(FunctionName=FUNCTION, Payload=b'{"reconcile": {}}')
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    assert json.load(answer["Payload"]).keys() == {"errorMessage", "errorType"}


def test_boto3_need_not_wait(functions):
    for kind, status in [("Event", 202), ("DryRun", 204)]:
        answer = functions.invoke(
            FunctionName=FUNCTION, Qualifier="live", InvocationType=kind, Payload=created("absent")
        )
        assert (answer["StatusCode"], answer["Payload"].read()) == (status, b""), kind


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        ({"FunctionName": "document-synk"}, 404, "ResourceNotFoundException"),
        ({"Payload": b"{"}, 400, "InvalidRequestContentException"),
        ({"InvocationType": "Later"}, 400, "InvalidParameterValueException"),
        ({"Payload": b'"' + b"x" * 6 * 1024 * 1024 + b'"'}, 413, "RequestTooLargeException"),
    ],
)
def test_boto3_is_refused_by_the_names_of_lambda(functions, arguments, status, code):
    with pytest.raises(ClientError) as raised:
        functions.invoke(**{"FunctionName": FUNCTION, **arguments})
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert raised.value.response["Error"]["Code"] == code
    assert raised.value.response["Error"]["Message"]


def test_boto3_with_another_key_is_refused(servers):
    owner = servers[1].owner
    for credentials, code in [
        (Credentials("AKIASOMEBODYELSE0000", owner.secret_key), "UnrecognizedClientException"),
        (Credentials(owner.access_key, "another secret"), "InvalidSignatureException"),
    ]:
        with pytest.raises(ClientError) as raised:
            servers[1].client("lambda", credentials).invoke(FunctionName=FUNCTION)
        assert raised.value.response["Error"]["Code"] == code


def test_the_command_line_finds_the_endpoint_by_its_variable(servers, tmp_path):
    s3, functions = servers
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": functions.owner.access_key,
        "AWS_SECRET_ACCESS_KEY": functions.owner.secret_key,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": s3.endpoint,
        "AWS_ENDPOINT_URL_LAMBDA": functions.endpoint,
        "AWS_PAGER": "",
    }
    s3.s3.put_object(Bucket="documents", Key="by hand", Body=b"text")
    out = tmp_path / "out.json"
    call = ["lambda", "invoke", "--function-name", FUNCTION, "--payload", "fileb:///dev/stdin", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "awscli", *call],
        env=environment,
        input=created("by+hand"),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)["StatusCode"] == 200
    assert applied(json.loads(out.read_text())) == 1
