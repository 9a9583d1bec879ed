"""Who may: signatures, presigned URLs and temporary credentials."""

import base64
import hashlib
import time
import uuid
from datetime import datetime, timedelta, timezone
from unittest.mock import patch
from urllib.parse import urlsplit

import pytest
from botocore import UNSIGNED
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as SigningCredentials
from urllib3 import PoolManager

from expectations import body, keys, policy, refused
from servers import REGION, Credentials

HTTP = PoolManager(retries=False)


@pytest.fixture
def stored(s3, bucket):
    s3.put_object(Bucket=bucket, Key="a b.txt", Body=b"text", ContentType="text/plain")
    return {"Bucket": bucket, "Key": "a b.txt"}


def code_in(answer) -> tuple[int, str]:
    text = answer.data.decode(errors="replace")
    return answer.status, text.partition("<Code>")[2].partition("</Code>")[0]


# ---- signatures -------------------------------------------------------------------------------------


def test_nobody_is_refused(server, stored):
    anonymous = server.client(signature_version=UNSIGNED)
    with refused("AccessDenied"):
        anonymous.get_object(**stored)
    with refused("AccessDenied"):
        anonymous.put_object(**stored, Body=b"other")
    with refused("AccessDenied"):
        anonymous.list_objects_v2(Bucket=stored["Bucket"])
    with refused(403):
        anonymous.list_buckets()


def test_a_wrong_secret_is_refused(server, stored):
    impostor = server.client(credentials=Credentials(server.owner.access_key, "wrong"))
    with refused("SignatureDoesNotMatch"):
        impostor.get_object(**stored)
    with refused("SignatureDoesNotMatch"):
        impostor.put_object(**stored, Body=b"other")


def test_an_unknown_key_is_refused(server, stored):
    stranger = server.client(credentials=Credentials("AKIAUNKNOWN000000000", "secret"))
    with refused("InvalidAccessKeyId"):
        stranger.get_object(**stored)


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_signature_of_another_time_is_refused(server, stored, hours):
    url = f"{server.endpoint}/{stored['Bucket']}/a%20b.txt"
    request = AWSRequest("GET", url)
    signer = S3SigV4Auth(SigningCredentials(server.owner.access_key, server.owner.secret_key), "s3", REGION)
    then = datetime.now(timezone.utc) + timedelta(hours=hours)
    with patch("botocore.auth.get_current_datetime", return_value=then):
        signer.add_auth(request)
    answer = HTTP.request("GET", url, headers=dict(request.headers))
    assert code_in(answer) == (403, "RequestTimeTooSkewed")


# ---- presigned URLs ---------------------------------------------------------------------------------


def presign(client, operation, parameters, seconds=60):
    return client.generate_presigned_url(operation, Params=parameters, ExpiresIn=seconds)


@pytest.fixture
def signer(server):
    return server.client(signature_version="s3v4")


def test_a_presigned_get(signer, stored):
    answer = HTTP.request("GET", presign(signer, "get_object", stored))
    assert (answer.status, answer.data, answer.headers["content-type"]) == (200, b"text", "text/plain")


def test_a_presigned_get_sets_headers(signer, stored):
    url = presign(signer, "get_object", {**stored, "ResponseContentDisposition": 'attachment; filename="x y.txt"'})
    assert HTTP.request("GET", url).headers["content-disposition"] == 'attachment; filename="x y.txt"'


def test_a_presigned_range(signer, stored):
    answer = HTTP.request("GET", presign(signer, "get_object", stored), headers={"Range": "bytes=1-2"})
    assert (answer.status, answer.data) == (206, b"ex")


def test_a_presigned_put(signer, s3, bucket):
    named = {"Bucket": bucket, "Key": "new+file.bin"}
    url = presign(signer, "put_object", {**named, "ContentType": "application/pdf", "IfNoneMatch": "*"})
    headers = {"Content-Type": "application/pdf", "If-None-Match": "*"}
    assert HTTP.request("PUT", url, body=b"x" * 100_000, headers=headers).status == 200
    head = s3.head_object(**named)
    assert (head["ContentLength"], head["ContentType"]) == (100_000, "application/pdf")
    again = HTTP.request("PUT", url, body=b"other", headers=headers)
    assert code_in(again) == (412, "PreconditionFailed")


def test_a_presigned_put_signs_its_headers(signer, bucket):
    url = presign(signer, "put_object", {"Bucket": bucket, "Key": "k", "ContentType": "application/pdf"})
    answer = HTTP.request("PUT", url, body=b"x", headers={"Content-Type": "text/html"})
    assert code_in(answer) == (403, "SignatureDoesNotMatch")


def test_a_presigned_put_signs_its_checksum(signer, s3, bucket):
    named = {"Bucket": bucket, "Key": "k"}
    checksum = base64.b64encode(hashlib.sha256(b"text").digest()).decode()
    url = presign(signer, "put_object", {**named, "ChecksumSHA256": checksum})
    headers = {"x-amz-checksum-sha256": checksum}
    assert code_in(HTTP.request("PUT", url, body=b"text")) == (403, "SignatureDoesNotMatch")
    assert code_in(HTTP.request("PUT", url, body=b"other", headers=headers)) == (400, "BadDigest")
    assert keys(s3.list_objects_v2(Bucket=bucket)) == []
    assert HTTP.request("PUT", url, body=b"text", headers=headers).status == 200
    assert s3.head_object(**named, ChecksumMode="ENABLED")["ChecksumSHA256"] == checksum


def test_a_checksum_in_the_query_is_signed_and_not_looked_at(server, s3, bucket):
    """As S3 does it: https://github.com/aws/aws-sdk/issues/480."""
    checksum = base64.b64encode(hashlib.sha256(b"text").digest()).decode()
    request = AWSRequest("PUT", f"{server.endpoint}/{bucket}/k", params={"x-amz-checksum-sha256": checksum})
    owner = SigningCredentials(server.owner.access_key, server.owner.secret_key)
    S3SigV4QueryAuth(owner, "s3", REGION, expires=60).add_auth(request)
    assert checksum.rstrip("=") in request.prepare().url.replace("%2B", "+").replace("%2F", "/")
    assert HTTP.request("PUT", request.prepare().url, body=b"other").status == 200
    assert "ChecksumSHA256" not in s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")


def test_a_presigned_url_takes_no_amz_headers_but_its_own(signer, s3, bucket):
    url = presign(signer, "put_object", {"Bucket": bucket, "Key": "k"})
    answer = HTTP.request("PUT", url, body=b"x", headers={"x-amz-storage-class": "GLACIER"})
    assert code_in(answer) == (403, "AccessDenied")
    assert keys(s3.list_objects_v2(Bucket=bucket)) == []


def test_a_presigned_head(signer, stored):
    url = presign(signer, "head_object", stored)
    answer = HTTP.request("HEAD", url)
    assert (answer.status, answer.headers["content-length"]) == (200, "4")
    assert HTTP.request("GET", url).status == 403


def test_a_presigned_url_expires(signer, stored):
    url = presign(signer, "get_object", stored, seconds=1)
    time.sleep(2.1)
    status, code = code_in(HTTP.request("GET", url))
    assert (status, code) == (403, "AccessDenied")


def test_a_presigned_url_lasts_a_week_at_most(signer, stored):
    answer = HTTP.request("GET", presign(signer, "get_object", stored, seconds=7 * 24 * 3600 + 1))
    assert code_in(answer) == (400, "AuthorizationQueryParametersError")


@pytest.mark.parametrize(
    "tamper",
    [
        lambda url: url[:-1] + ("0" if url[-1] != "0" else "1"),
        lambda url: url.replace("X-Amz-Expires=60", "X-Amz-Expires=600"),
        lambda url: url.replace("/a%20b.txt?", "/other.txt?"),
        lambda url: url + "&response-content-type=text%2Fhtml",
    ],
    ids=["signature", "expiry", "key", "added"],
)
def test_a_changed_presigned_url_is_refused(signer, s3, stored, tamper):
    s3.put_object(Bucket=stored["Bucket"], Key="other.txt", Body=b"secret")
    url = presign(signer, "get_object", stored)
    assert tamper(url) != url
    assert code_in(HTTP.request("GET", tamper(url))) == (403, "SignatureDoesNotMatch")


def test_a_presigned_url_is_for_one_method(signer, s3, stored):
    url = presign(signer, "get_object", stored)
    assert HTTP.request("PUT", url, body=b"other").status == 403
    assert HTTP.request("DELETE", url).status == 403
    assert body(s3.get_object(**stored)) == b"text"


def test_a_presigned_url_of_a_stranger_is_refused(server, stored):
    stranger = server.client(credentials=Credentials("AKIAUNKNOWN000000000", "secret"), signature_version="s3v4")
    answer = HTTP.request("GET", presign(stranger, "get_object", stored))
    assert code_in(answer) == (403, "InvalidAccessKeyId")


# ---- temporary credentials --------------------------------------------------------------------------


@pytest.fixture
def role(server):
    """A role of the server's account that may do everything with S3, for everyone in it."""
    iam, name = server.client("iam"), f"reader-{uuid.uuid4().hex[:8]}"
    trust = {"Effect": "Allow", "Principal": {"AWS": server.account}, "Action": "sts:AssumeRole"}
    created = iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))
    everything = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=policy(everything))
    return created["Role"]["Arn"]


@pytest.fixture
def assumed(server, role):
    answer = server.client("sts").assume_role(RoleArn=role, RoleSessionName="conformance", DurationSeconds=900)
    given, name = answer["Credentials"], role.rpartition("/")[2]
    assert answer["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{server.account}:assumed-role/{name}/conformance"
    assert given["AccessKeyId"].startswith("ASIA")
    remaining = given["Expiration"] - datetime.now(timezone.utc)
    assert timedelta(minutes=14) < remaining <= timedelta(minutes=15, seconds=5)
    return Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])


def test_assumed_credentials_work(server, stored, assumed):
    assert body(server.client(credentials=assumed).get_object(**stored)) == b"text"


def test_assumed_credentials_presign(server, stored, assumed):
    url = presign(server.client(credentials=assumed, signature_version="s3v4"), "get_object", stored)
    assert "X-Amz-Security-Token" in urlsplit(url).query
    assert HTTP.request("GET", url).data == b"text"


def test_assumed_credentials_need_their_token(server, stored, assumed):
    without = Credentials(assumed.access_key, assumed.secret_key)
    with refused("InvalidAccessKeyId", "InvalidToken", "AccessDenied"):
        server.client(credentials=without).get_object(**stored)
    wrong = Credentials(assumed.access_key, assumed.secret_key, assumed.session_token[::-1])
    with refused("InvalidToken", "AccessDenied"):
        server.client(credentials=wrong).get_object(**stored)


def test_assumed_credentials_need_their_secret(server, stored, assumed):
    wrong = Credentials(assumed.access_key, "wrong", assumed.session_token)
    with refused("SignatureDoesNotMatch"):
        server.client(credentials=wrong).get_object(**stored)


def test_a_token_is_of_one_key(server, stored, assumed):
    other = Credentials(server.owner.access_key, server.owner.secret_key, assumed.session_token)
    with refused("InvalidToken", "AccessDenied"):
        server.client(credentials=other).get_object(**stored)


@pytest.mark.parametrize(
    "wrong",
    [{"DurationSeconds": 899}, {"DurationSeconds": 43201}, {"RoleSessionName": "has space"}, {"RoleArn": "a" * 20}],
    ids=str,
)
def test_a_role_is_asked_for_within_bounds(server, role, wrong):
    asked = {"RoleArn": role, "RoleSessionName": "conformance", **wrong}
    with refused("ValidationError"):
        server.client("sts", parameter_validation=False).assume_role(**asked)


def test_only_who_is_known_assumes_a_role(server, role):
    stranger = server.client("sts", Credentials("AKIAUNKNOWN000000000", "secret"))
    with refused("InvalidClientTokenId"):
        stranger.assume_role(RoleArn=role, RoleSessionName="conformance")
    impostor = server.client("sts", Credentials(server.owner.access_key, "wrong"))
    with refused("SignatureDoesNotMatch"):
        impostor.assume_role(RoleArn=role, RoleSessionName="conformance")
