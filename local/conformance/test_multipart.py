"""Multipart uploads: invisible until complete, and complete only when the parts fit."""

import hashlib

import pytest

from expectations import body, keys, refused

MEBIBYTE = 1024 * 1024
LARGE = 5 * MEBIBYTE


@pytest.fixture
def upload(s3, bucket):
    """A started upload of `k`; calling it with a number and bytes uploads a part."""
    started = s3.create_multipart_upload(
        Bucket=bucket, Key="k", ContentType="video/mp4", Metadata={"title": "welcome"}
    )["UploadId"]

    def part(number, content):
        etag = s3.upload_part(Bucket=bucket, Key="k", UploadId=started, PartNumber=number, Body=content)["ETag"]
        return {"PartNumber": number, "ETag": etag}

    part.id = started
    part.named = {"Bucket": bucket, "Key": "k", "UploadId": started}
    part.complete = lambda *parts: s3.complete_multipart_upload(**part.named, MultipartUpload={"Parts": list(parts)})
    return part


def test_parts_become_one_object(s3, bucket, upload):
    contents = [b"a" * LARGE, b"b" * LARGE, b"the end"]
    # Any order of upload; the number is what counts.
    third = upload(30, contents[2])
    first = upload(1, contents[0])
    second = upload(2, contents[1])
    assert keys(s3.list_objects_v2(Bucket=bucket)) == []
    completed = upload.complete(first, second, third)
    digest = hashlib.md5(b"".join(hashlib.md5(content).digest() for content in contents)).hexdigest()
    assert completed["ETag"] == f'"{digest}-3"'
    answer = s3.get_object(Bucket=bucket, Key="k")
    assert body(answer) == b"".join(contents)
    assert (answer["ETag"], answer["ContentType"], answer["Metadata"]) == (
        completed["ETag"],
        "video/mp4",
        {"title": "welcome"},
    )


def test_a_range_can_cross_parts(s3, bucket, upload):
    upload.complete(upload(1, b"a" * LARGE), upload(2, b"b" * 10))
    answer = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={LARGE - 2}-{LARGE + 1}")
    assert body(answer) == b"aabb"


def test_only_the_last_part_may_be_small(upload):
    small = upload(1, b"a" * (LARGE - 1))
    last = upload(2, b"b")
    with refused("EntityTooSmall"):
        upload.complete(small, last)


def test_parts_come_in_order(upload):
    first, second = upload(1, b"a" * LARGE), upload(2, b"b" * LARGE)
    with refused("InvalidPartOrder"):
        upload.complete(second, first)


def test_parts_must_be_those_that_were_uploaded(upload):
    first = upload(1, b"a")
    with refused("InvalidPart"):
        upload.complete({"PartNumber": 1, "ETag": '"d41d8cd98f00b204e9800998ecf8427e"'})
    with refused("InvalidPart"):
        upload.complete(first, {"PartNumber": 2, "ETag": first["ETag"]})


def test_no_parts_are_no_upload(upload):
    with refused("MalformedXML"):
        upload.complete()


@pytest.mark.parametrize("number", [0, 10001])
def test_part_numbers_have_bounds(upload, number):
    with refused("InvalidArgument"):
        upload(number, b"x")


def test_a_part_uploaded_again_replaces_the_first(s3, bucket, upload):
    upload(1, b"first")
    upload.complete(upload(1, b"second"))
    assert body(s3.get_object(Bucket=bucket, Key="k")) == b"second"


def test_parts_left_out_are_dropped(s3, bucket, upload):
    kept = upload(1, b"kept")
    upload(2, b"left out")
    upload.complete(kept)
    assert body(s3.get_object(Bucket=bucket, Key="k")) == b"kept"


def test_parts_can_be_listed(s3, upload):
    given = [upload(number, b"x" * number) for number in (3, 1, 2)]
    listed = s3.list_parts(**upload.named)
    assert [(part["PartNumber"], part["Size"]) for part in listed["Parts"]] == [(1, 1), (2, 2), (3, 3)]
    assert {part["ETag"] for part in listed["Parts"]} == {part["ETag"] for part in given}
    page = s3.list_parts(**upload.named, MaxParts=2)
    assert (page["IsTruncated"], page["NextPartNumberMarker"], len(page["Parts"])) == (True, 2, 2)
    rest = s3.list_parts(**upload.named, MaxParts=2, PartNumberMarker=2)
    assert (rest["IsTruncated"], [part["PartNumber"] for part in rest["Parts"]]) == (False, [3])


def test_uploads_can_be_listed(s3, bucket, upload):
    listed = s3.list_multipart_uploads(Bucket=bucket)
    assert [(entry["Key"], entry["UploadId"]) for entry in listed["Uploads"]] == [("k", upload.id)]
    upload.complete(upload(1, b"x"))
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_an_aborted_upload_is_gone(s3, bucket, upload):
    part = upload(1, b"x")
    s3.abort_multipart_upload(**upload.named)
    with refused("NoSuchUpload"):
        upload(2, b"y")
    with refused("NoSuchUpload"):
        upload.complete(part)
    with refused("NoSuchUpload"):
        s3.list_parts(**upload.named)
    assert keys(s3.list_objects_v2(Bucket=bucket)) == []


def test_an_upload_leaves_the_old_object_until_it_completes(s3, bucket, upload):
    s3.put_object(Bucket=bucket, Key="k", Body=b"old")
    part = upload(1, b"new")
    assert body(s3.get_object(Bucket=bucket, Key="k")) == b"old"
    upload.complete(part)
    assert body(s3.get_object(Bucket=bucket, Key="k")) == b"new"


def test_parts_can_be_copied(s3, bucket, upload):
    source = {"Bucket": bucket, "Key": "source"}
    s3.put_object(**source, Body=b"0123456789" * (LARGE // 10 + 1))
    copied = s3.upload_part_copy(
        **upload.named, PartNumber=1, CopySource=source, CopySourceRange=f"bytes=0-{LARGE - 1}"
    )
    first = {"PartNumber": 1, "ETag": copied["CopyPartResult"]["ETag"]}
    upload.complete(first, upload(2, b"tail"))
    assert body(s3.get_object(Bucket=bucket, Key="k")) == (b"0123456789" * (LARGE // 10 + 1))[:LARGE] + b"tail"


def test_one_part_can_be_read(s3, bucket, upload):
    upload.complete(upload(1, b"a" * LARGE), upload(2, b"the end"))
    answer = s3.get_object(Bucket=bucket, Key="k", PartNumber=2)
    assert (body(answer), answer["PartsCount"]) == (b"the end", 2)
    assert s3.head_object(Bucket=bucket, Key="k", PartNumber=1)["ContentLength"] == LARGE
