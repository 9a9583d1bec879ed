"""Objects and buckets: what was put is what comes back."""

import pytest

from expectations import ODD_KEYS, body, keys, refused


def test_a_bucket_is_made_found_and_removed(s3, bucket):
    assert s3.head_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert bucket in [entry["Name"] for entry in s3.list_buckets()["Buckets"]]
    s3.delete_bucket(Bucket=bucket)
    with refused(404):
        s3.head_bucket(Bucket=bucket)
    with refused("NoSuchBucket"):
        s3.list_objects_v2(Bucket=bucket)


def test_the_first_region_has_no_name(s3, bucket):
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None


def test_a_full_bucket_stays(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    with refused("BucketNotEmpty"):
        s3.delete_bucket(Bucket=bucket)


@pytest.mark.parametrize("name", ["ab", "With-Capitals", "under_score", "dot..dot", "-dash", "192.168.5.4", "a" * 64])
def test_bad_bucket_names_are_refused(s3, name):
    with refused("InvalidBucketName"):
        s3.create_bucket(Bucket=name)


def test_writing_needs_a_bucket(s3):
    with refused("NoSuchBucket"):
        s3.put_object(Bucket="conformance-nowhere", Key="k", Body=b"x")


def test_reading_needs_an_object(s3, bucket):
    with refused("NoSuchKey"):
        s3.get_object(Bucket=bucket, Key="k")
    with refused(404):
        s3.head_object(Bucket=bucket, Key="k")


def test_headers_and_metadata_come_back(s3, bucket):
    given = {
        "ContentType": "text/markdown; charset=utf-8",
        "CacheControl": "max-age=60",
        "ContentDisposition": 'attachment; filename="a b.md"',
        "ContentEncoding": "identity",
        "ContentLanguage": "de-AT",
        "Metadata": {"author": "Ada Lovelace", "empty": "", "with-dash": "1, 2"},
    }
    s3.put_object(Bucket=bucket, Key="k", Body=b"# Title", **given)
    for answer in (s3.get_object(Bucket=bucket, Key="k"), s3.head_object(Bucket=bucket, Key="k")):
        assert {name: answer[name] for name in given} == given
        assert answer["ContentLength"] == 7


def test_content_type_has_a_default(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert s3.head_object(Bucket=bucket, Key="k")["ContentType"] == "binary/octet-stream"


def test_an_overwrite_replaces_headers_too(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"one", ContentType="text/plain", Metadata={"old": "yes"})
    s3.put_object(Bucket=bucket, Key="k", Body=b"two")
    answer = s3.get_object(Bucket=bucket, Key="k")
    assert (body(answer), answer["Metadata"], answer["ContentType"]) == (b"two", {}, "binary/octet-stream")


def test_the_etag_of_a_plain_put_is_its_md5(s3, bucket):
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"hello")["ETag"]
    assert put == '"5d41402abc4b2a76b9719d911017c592"'
    assert s3.head_object(Bucket=bucket, Key="k")["ETag"] == put


def test_an_empty_object_is_an_object(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    answer = s3.get_object(Bucket=bucket, Key="k")
    assert (body(answer), answer["ContentLength"]) == (b"", 0)


@pytest.mark.parametrize("key", ODD_KEYS)
def test_odd_keys_are_kept(s3, bucket, key):
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert body(s3.get_object(Bucket=bucket, Key=key)) == key.encode()
    assert keys(s3.list_objects_v2(Bucket=bucket)) == [key]
    s3.delete_object(Bucket=bucket, Key=key)
    assert keys(s3.list_objects_v2(Bucket=bucket)) == []


def test_keys_that_look_alike_differ(s3, bucket):
    for key in ODD_KEYS:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert keys(s3.list_objects_v2(Bucket=bucket)) == sorted(ODD_KEYS, key=str.encode)


def test_a_key_of_1025_bytes_is_too_long(s3, bucket):
    with refused("KeyTooLongError"):
        s3.put_object(Bucket=bucket, Key="a" * 1025, Body=b"x")


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [("0-3", 0, 3), ("4-", 4, 9), ("-3", 7, 9), ("9-9", 9, 9), ("5-500", 5, 9), ("-500", 0, 9)],
)
def test_ranges(s3, bucket, asked, start, end):
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    answer = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={asked}")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert answer["ContentRange"] == f"bytes {start}-{end}/10"
    assert body(answer) == b"0123456789"[start : end + 1]


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=50-60", "bytes=-0"])
def test_ranges_outside_are_refused(s3, bucket, asked):
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    with refused("InvalidRange", 416):
        s3.get_object(Bucket=bucket, Key="k", Range=asked)


def test_a_range_of_nonsense_is_ignored(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    answer = s3.get_object(Bucket=bucket, Key="k", Range="lines=1-2")
    assert (answer["ResponseMetadata"]["HTTPStatusCode"], body(answer)) == (200, b"0123456789")


def test_response_headers_can_be_asked_for(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ContentType="text/plain")
    answer = s3.get_object(
        Bucket=bucket, Key="k", ResponseContentType="application/pdf", ResponseContentDisposition="inline"
    )
    assert (answer["ContentType"], answer["ContentDisposition"]) == ("application/pdf", "inline")


def test_deleting_nothing_succeeds(s3, bucket):
    assert s3.delete_object(Bucket=bucket, Key="k")["ResponseMetadata"]["HTTPStatusCode"] == 204


def test_batch_delete_takes_odd_keys_and_missing_ones(s3, bucket):
    for key in ODD_KEYS:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    asked = [*ODD_KEYS, "never there"]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in asked]})
    assert sorted(entry["Key"] for entry in answer["Deleted"]) == sorted(asked)
    assert "Errors" not in answer
    assert keys(s3.list_objects_v2(Bucket=bucket)) == []


def test_quiet_batch_delete_says_nothing(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k"}], "Quiet": True})
    assert "Deleted" not in answer
    assert "Errors" not in answer


def test_batch_delete_takes_a_thousand_keys_and_no_more(s3, bucket):
    def delete(count):
        return s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": f"k{n}"} for n in range(count)]})

    assert len(delete(1000)["Deleted"]) == 1000
    with refused("MalformedXML"):
        delete(1001)


def test_copy_keeps_headers_unless_told(s3, bucket):
    source = {"Bucket": bucket, "Key": "source +%.txt"}
    s3.put_object(**source, Body=b"text", ContentType="text/plain", Metadata={"a": "1"})
    s3.copy_object(Bucket=bucket, Key="same", CopySource=source)
    same = s3.get_object(Bucket=bucket, Key="same")
    assert (body(same), same["ContentType"], same["Metadata"]) == (b"text", "text/plain", {"a": "1"})
    s3.copy_object(
        Bucket=bucket,
        Key="other",
        CopySource=source,
        MetadataDirective="REPLACE",
        ContentType="text/html",
        Metadata={"b": "2"},
    )
    other = s3.get_object(Bucket=bucket, Key="other")
    assert (body(other), other["ContentType"], other["Metadata"]) == (b"text", "text/html", {"b": "2"})


def test_copy_between_buckets(s3, bucket):
    target = f"{bucket}-target"
    s3.create_bucket(Bucket=target)
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"text")
    copied = s3.copy_object(Bucket=target, Key="k", CopySource={"Bucket": bucket, "Key": "k"})
    assert copied["CopyObjectResult"]["ETag"] == put["ETag"]
    assert body(s3.get_object(Bucket=target, Key="k")) == b"text"


def test_copy_onto_itself_must_change_something(s3, bucket):
    source = {"Bucket": bucket, "Key": "k"}
    s3.put_object(**source, Body=b"text")
    with refused("InvalidRequest"):
        s3.copy_object(**source, CopySource=source)
    s3.copy_object(**source, CopySource=source, MetadataDirective="REPLACE", Metadata={"a": "1"})
    assert s3.head_object(**source)["Metadata"] == {"a": "1"}


def test_copy_needs_a_source(s3, bucket):
    with refused("NoSuchKey"):
        s3.copy_object(Bucket=bucket, Key="k", CopySource={"Bucket": bucket, "Key": "missing"})


def test_copy_checks_the_source(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="source", Body=b"text")["ETag"]
    source = {"Bucket": bucket, "Key": "source"}
    with refused("PreconditionFailed"):
        s3.copy_object(Bucket=bucket, Key="k", CopySource=source, CopySourceIfNoneMatch=etag)
    with refused("PreconditionFailed"):
        s3.copy_object(Bucket=bucket, Key="k", CopySource=source, CopySourceIfMatch='"0"')
    s3.copy_object(Bucket=bucket, Key="k", CopySource=source, CopySourceIfMatch=etag)
    assert body(s3.get_object(Bucket=bucket, Key="k")) == b"text"
