"""Checksums: a right one is kept and returned, a wrong one refuses the object."""

import base64
import hashlib
import zlib

import pytest
from awscrt import checksums
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from urllib3 import PoolManager

from expectations import body, keys, refused
from servers import REGION

CONTENT = b"the quick brown fox"


def encode(number: int, size: int) -> str:
    return base64.b64encode(number.to_bytes(size, "big")).decode()


# The name in the API, the name as a parameter, and the checksum of bytes.
ALGORITHMS = {
    "CRC32": ("ChecksumCRC32", lambda content: encode(zlib.crc32(content), 4)),
    "CRC32C": ("ChecksumCRC32C", lambda content: encode(checksums.crc32c(content), 4)),
    "CRC64NVME": ("ChecksumCRC64NVME", lambda content: encode(checksums.crc64nvme(content), 8)),
    "SHA1": ("ChecksumSHA1", lambda content: base64.b64encode(hashlib.sha1(content).digest()).decode()),
    "SHA256": ("ChecksumSHA256", lambda content: base64.b64encode(hashlib.sha256(content).digest()).decode()),
    "SHA512": ("ChecksumSHA512", lambda content: base64.b64encode(hashlib.sha512(content).digest()).decode()),
}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_right_checksum_is_confirmed(s3, bucket, algorithm):
    parameter, checksum = ALGORITHMS[algorithm]
    put = s3.put_object(Bucket=bucket, Key="k", Body=CONTENT, **{parameter: checksum(CONTENT)})
    assert put[parameter] == checksum(CONTENT)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_right_checksum_is_kept(s3, bucket, algorithm):
    parameter, checksum = ALGORITHMS[algorithm]
    expected = checksum(CONTENT)
    s3.put_object(Bucket=bucket, Key="k", Body=CONTENT, ChecksumAlgorithm=algorithm, **{parameter: expected})
    for read in (s3.get_object, s3.head_object):
        assert read(Bucket=bucket, Key="k", ChecksumMode="ENABLED")[parameter] == expected


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_wrong_checksum_is_refused(s3, bucket, algorithm):
    parameter, checksum = ALGORITHMS[algorithm]
    with refused("BadDigest", "InvalidRequest"):
        s3.put_object(Bucket=bucket, Key="k", Body=CONTENT, **{parameter: checksum(b"something else")})
    assert keys(s3.list_objects_v2(Bucket=bucket)) == []


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_wrong_checksum_of_a_part_is_refused(s3, bucket, algorithm):
    parameter, checksum = ALGORITHMS[algorithm]
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm=algorithm)["UploadId"]
    with refused("BadDigest", "InvalidRequest"):
        s3.upload_part(
            Bucket=bucket,
            Key="k",
            UploadId=upload,
            PartNumber=1,
            Body=CONTENT,
            **{parameter: checksum(b"something else")},
        )
    assert "Parts" not in s3.list_parts(Bucket=bucket, Key="k", UploadId=upload)


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME"])
def test_a_multipart_object_has_a_checksum_of_the_whole(s3, bucket, algorithm):
    parameter, checksum = ALGORITHMS[algorithm]
    upload = s3.create_multipart_upload(
        Bucket=bucket, Key="k", ChecksumAlgorithm=algorithm, ChecksumType="FULL_OBJECT"
    )["UploadId"]
    named = {"Bucket": bucket, "Key": "k", "UploadId": upload}
    contents = [b"a" * 5 * 1024 * 1024, b"the end"]
    parts = []
    for number, content in enumerate(contents, 1):
        answer = s3.upload_part(**named, PartNumber=number, Body=content, ChecksumAlgorithm=algorithm)
        parts.append({"PartNumber": number, "ETag": answer["ETag"], parameter: answer[parameter]})
    completed = s3.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})
    assert (completed[parameter], completed["ChecksumType"]) == (checksum(b"".join(contents)), "FULL_OBJECT")
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head[parameter] == completed[parameter]


def test_a_part_that_is_copied_has_the_checksum_of_its_bytes(s3, bucket):
    parameter, checksum = ALGORITHMS["CRC32"]
    content = bytes(range(256)) * 4 * 5 * 1024
    s3.put_object(Bucket=bucket, Key="source", Body=content, ChecksumSHA256=ALGORITHMS["SHA256"][1](content))
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm="CRC32")["UploadId"]
    copied = s3.upload_part_copy(
        Bucket=bucket,
        Key="k",
        UploadId=upload,
        PartNumber=1,
        CopySource={"Bucket": bucket, "Key": "source"},
        CopySourceRange="bytes=7-99999",
    )
    assert copied["CopyPartResult"][parameter] == checksum(content[7:100_000])
    listed = s3.list_parts(Bucket=bucket, Key="k", UploadId=upload)["Parts"]
    assert listed[0][parameter] == checksum(content[7:100_000])


def test_a_multipart_object_can_have_a_checksum_of_checksums(s3, bucket):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm="SHA256")["UploadId"]
    named = {"Bucket": bucket, "Key": "k", "UploadId": upload}
    contents = [b"a" * 5 * 1024 * 1024, b"the end"]
    parts = []
    for number, content in enumerate(contents, 1):
        answer = s3.upload_part(**named, PartNumber=number, Body=content, ChecksumAlgorithm="SHA256")
        parts.append({"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": answer["ChecksumSHA256"]})
    completed = s3.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})
    digests = b"".join(hashlib.sha256(content).digest() for content in contents)
    expected = base64.b64encode(hashlib.sha256(digests).digest()).decode() + "-2"
    assert completed["ChecksumSHA256"] == expected


def test_a_checksum_of_content_md5(s3, bucket):
    right = base64.b64encode(hashlib.md5(CONTENT).digest()).decode()
    wrong = base64.b64encode(hashlib.md5(b"something else").digest()).decode()
    s3.put_object(Bucket=bucket, Key="k", Body=CONTENT, ContentMD5=right)
    with refused("BadDigest"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"other", ContentMD5=wrong)
    with refused("InvalidDigest"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"other", ContentMD5="not base64 of sixteen bytes")
    assert body(s3.get_object(Bucket=bucket, Key="k")) == CONTENT


def test_the_signed_digest_of_the_body_is_verified(server, s3, bucket):
    url = f"{server.endpoint}/{bucket}/k"
    request = AWSRequest("PUT", url, data=CONTENT, headers={"host": server.endpoint.removeprefix("http://")})
    owner = Credentials(server.owner.access_key, server.owner.secret_key)
    S3SigV4Auth(owner, "s3", REGION).add_auth(request)
    pool = PoolManager(retries=False)
    answer = pool.request("PUT", url, body=b"the quick brown cat", headers=dict(request.headers))
    assert (answer.status, b"XAmzContentSHA256Mismatch" in answer.data) == (400, True), answer.data
    assert keys(s3.list_objects_v2(Bucket=bucket)) == []
    assert pool.request("PUT", url, body=CONTENT, headers=dict(request.headers)).status == 200
    assert body(s3.get_object(Bucket=bucket, Key="k")) == CONTENT
