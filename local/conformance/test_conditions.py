"""Conditional reads, writes and deletes: who loses is told so, and exactly one wins."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from botocore.exceptions import ClientError

from expectations import body, code_of, refused

RACERS = 16
LOST = {"PreconditionFailed", "ConditionalRequestConflict"}


def race(attempt) -> list[int]:
    """Runs `attempt(number)` by 16 clients at once; the numbers of those that were not refused."""

    def run(number):
        try:
            attempt(number)
        except ClientError as error:
            if code_of(error) not in LOST:
                raise
            return None
        return number

    with ThreadPoolExecutor(RACERS) as pool:
        return [number for number in pool.map(run, range(RACERS)) if number is not None]


def test_create_only_refuses_an_existing_object(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"first", IfNoneMatch="*")
    with refused("PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"second", IfNoneMatch="*")
    assert body(s3.get_object(Bucket=bucket, Key="k")) == b"first"


def test_create_only_works_again_after_a_delete(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"first", IfNoneMatch="*")
    s3.delete_object(Bucket=bucket, Key="k")
    s3.put_object(Bucket=bucket, Key="k", Body=b"second", IfNoneMatch="*")
    assert body(s3.get_object(Bucket=bucket, Key="k")) == b"second"


def test_create_only_works_over_a_delete_marker(s3, versioned):
    s3.put_object(Bucket=versioned, Key="k", Body=b"first")
    s3.delete_object(Bucket=versioned, Key="k")
    s3.put_object(Bucket=versioned, Key="k", Body=b"second", IfNoneMatch="*")
    assert body(s3.get_object(Bucket=versioned, Key="k")) == b"second"


def test_one_of_sixteen_creators_wins(s3, bucket):
    for round_number in range(4):
        key = f"k{round_number}"
        winners = race(lambda n, key=key: s3.put_object(Bucket=bucket, Key=key, Body=b"%d" % n, IfNoneMatch="*"))
        assert len(winners) == 1
        assert body(s3.get_object(Bucket=bucket, Key=key)) == b"%d" % winners[0]


def test_one_of_sixteen_replacers_wins(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"old")["ETag"]
    winners = race(lambda n: s3.put_object(Bucket=bucket, Key="k", Body=b"%d" % n, IfMatch=etag))
    assert len(winners) == 1
    assert body(s3.get_object(Bucket=bucket, Key="k")) == b"%d" % winners[0]


def test_replace_needs_the_current_etag(s3, bucket):
    stale = s3.put_object(Bucket=bucket, Key="k", Body=b"one")["ETag"]
    current = s3.put_object(Bucket=bucket, Key="k", Body=b"two", IfMatch=stale)["ETag"]
    with refused("PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"three", IfMatch=stale)
    s3.put_object(Bucket=bucket, Key="k", Body=b"four", IfMatch=current.strip('"'))
    assert body(s3.get_object(Bucket=bucket, Key="k")) == b"four"


def test_replace_of_nothing_finds_nothing(s3, bucket):
    with refused("NoSuchKey"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"one", IfMatch='"d41d8cd98f00b204e9800998ecf8427e"')


def test_delete_needs_the_current_etag(s3, bucket):
    stale = s3.put_object(Bucket=bucket, Key="k", Body=b"one")["ETag"]
    current = s3.put_object(Bucket=bucket, Key="k", Body=b"two")["ETag"]
    with refused("PreconditionFailed"):
        s3.delete_object(Bucket=bucket, Key="k", IfMatch=stale)
    assert body(s3.get_object(Bucket=bucket, Key="k")) == b"two"
    s3.delete_object(Bucket=bucket, Key="k", IfMatch=current)
    with refused("NoSuchKey"):
        s3.get_object(Bucket=bucket, Key="k")


def test_conditional_delete_of_nothing_is_refused(s3, bucket):
    with refused(404, 412):
        s3.delete_object(Bucket=bucket, Key="k", IfMatch="*")


def test_batch_delete_checks_etags_one_by_one(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="goes", Body=b"one")["ETag"]
    s3.put_object(Bucket=bucket, Key="stays", Body=b"two")
    answer = s3.delete_objects(
        Bucket=bucket, Delete={"Objects": [{"Key": "goes", "ETag": etag}, {"Key": "stays", "ETag": etag}]}
    )
    assert [entry["Key"] for entry in answer["Deleted"]] == ["goes"]
    assert [(entry["Key"], entry["Code"]) for entry in answer["Errors"]] == [("stays", "PreconditionFailed")]


def test_completing_an_upload_can_be_create_only(s3, bucket):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"part")["ETag"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"first")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part}]}
    with refused("PreconditionFailed"):
        s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload, MultipartUpload=parts, IfNoneMatch="*")
    assert body(s3.get_object(Bucket=bucket, Key="k")) == b"first"


def test_a_copy_can_be_create_only(s3, bucket):
    s3.put_object(Bucket=bucket, Key="source", Body=b"source")
    s3.put_object(Bucket=bucket, Key="target", Body=b"target")
    with refused("PreconditionFailed"):
        s3.copy_object(Bucket=bucket, Key="target", CopySource={"Bucket": bucket, "Key": "source"}, IfNoneMatch="*")
    assert body(s3.get_object(Bucket=bucket, Key="target")) == b"target"


@pytest.mark.parametrize("operation", ["get_object", "head_object"])
def test_reads_by_etag(s3, bucket, operation):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"one")["ETag"]
    read = getattr(s3, operation)
    with refused(304) as caught:
        read(Bucket=bucket, Key="k", IfNoneMatch=etag)
    assert caught.value.response["ResponseMetadata"]["HTTPHeaders"]["etag"] == etag
    with refused(412):
        read(Bucket=bucket, Key="k", IfMatch='"d41d8cd98f00b204e9800998ecf8427e"')
    assert read(Bucket=bucket, Key="k", IfMatch=etag)["ETag"] == etag
    assert read(Bucket=bucket, Key="k", IfNoneMatch='"d41d8cd98f00b204e9800998ecf8427e"')["ETag"] == etag


@pytest.mark.parametrize("operation", ["get_object", "head_object"])
def test_reads_by_time(s3, bucket, operation):
    s3.put_object(Bucket=bucket, Key="k", Body=b"one")
    read = getattr(s3, operation)
    modified = read(Bucket=bucket, Key="k")["LastModified"]
    with refused(304):
        read(Bucket=bucket, Key="k", IfModifiedSince=modified)
    with refused(412):
        read(Bucket=bucket, Key="k", IfUnmodifiedSince=modified - timedelta(hours=1))
    assert read(Bucket=bucket, Key="k", IfModifiedSince=modified - timedelta(hours=1))["LastModified"] == modified
    assert read(Bucket=bucket, Key="k", IfUnmodifiedSince=modified)["LastModified"] == modified
