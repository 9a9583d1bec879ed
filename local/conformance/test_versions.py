"""Versioning: old versions stay, deletes are markers, and both can be undone."""

import pytest

from expectations import body, keys, refused


def versions(s3, bucket, **arguments):
    """(key, version id, latest, "version" or "marker") of every entry, newest first as listed per key."""
    answer = s3.list_object_versions(Bucket=bucket, **arguments)
    entries = [(e["Key"], e["VersionId"], e["IsLatest"], "version") for e in answer.get("Versions", [])]
    entries += [(e["Key"], e["VersionId"], e["IsLatest"], "marker") for e in answer.get("DeleteMarkers", [])]
    return entries


def put(s3, bucket, content, key="k"):
    return s3.put_object(Bucket=bucket, Key=key, Body=content).get("VersionId")


def suspend(s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})


def test_versioning_is_off_until_switched_on(s3, bucket):
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    suspend(s3, bucket)
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Suspended"


def test_without_versioning_there_is_no_version_id(s3, bucket):
    assert put(s3, bucket, b"one") is None
    assert "VersionId" not in s3.get_object(Bucket=bucket, Key="k")
    assert versions(s3, bucket) == [("k", "null", True, "version")]


def test_every_put_is_a_version(s3, versioned):
    first, second = put(s3, versioned, b"one"), put(s3, versioned, b"two")
    assert first != second
    current = s3.get_object(Bucket=versioned, Key="k")
    assert (body(current), current["VersionId"]) == (b"two", second)
    assert body(s3.get_object(Bucket=versioned, Key="k", VersionId=first)) == b"one"
    assert s3.head_object(Bucket=versioned, Key="k", VersionId=first)["ContentLength"] == 3
    assert versions(s3, versioned) == [("k", second, True, "version"), ("k", first, False, "version")]
    assert keys(s3.list_objects_v2(Bucket=versioned)) == ["k"]


def test_a_delete_leaves_a_marker(s3, versioned):
    first = put(s3, versioned, b"one")
    deleted = s3.delete_object(Bucket=versioned, Key="k")
    assert deleted["DeleteMarker"] is True
    with refused("NoSuchKey"):
        s3.get_object(Bucket=versioned, Key="k")
    with refused(404):
        s3.head_object(Bucket=versioned, Key="k")
    assert body(s3.get_object(Bucket=versioned, Key="k", VersionId=first)) == b"one"
    assert versions(s3, versioned) == [
        ("k", first, False, "version"),
        ("k", deleted["VersionId"], True, "marker"),
    ]
    assert keys(s3.list_objects_v2(Bucket=versioned)) == []


def test_a_deleted_object_says_that_a_marker_hides_it(s3, versioned):
    put(s3, versioned, b"one")
    s3.delete_object(Bucket=versioned, Key="k")
    for read, status in ((s3.get_object, "NoSuchKey"), (s3.head_object, 404)):
        with refused(status) as caught:
            read(Bucket=versioned, Key="k")
        assert caught.value.response["ResponseMetadata"]["HTTPHeaders"]["x-amz-delete-marker"] == "true"


def test_a_marker_has_no_content(s3, versioned):
    put(s3, versioned, b"one")
    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    with refused("MethodNotAllowed"):
        s3.get_object(Bucket=versioned, Key="k", VersionId=marker)
    with refused(405):
        s3.head_object(Bucket=versioned, Key="k", VersionId=marker)


def test_deleting_the_marker_brings_the_object_back(s3, versioned):
    put(s3, versioned, b"one")
    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    s3.delete_object(Bucket=versioned, Key="k", VersionId=marker)
    assert body(s3.get_object(Bucket=versioned, Key="k")) == b"one"


def test_deleting_a_marker_says_so(s3, versioned):
    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    deleted = s3.delete_object(Bucket=versioned, Key="k", VersionId=marker)
    assert (deleted["VersionId"], deleted["DeleteMarker"]) == (marker, True)


def test_deleting_the_current_version_reveals_the_one_before(s3, versioned):
    first, second = put(s3, versioned, b"one"), put(s3, versioned, b"two")
    deleted = s3.delete_object(Bucket=versioned, Key="k", VersionId=second)
    assert (deleted["VersionId"], deleted.get("DeleteMarker")) == (second, None)
    current = s3.get_object(Bucket=versioned, Key="k")
    assert (body(current), current["VersionId"]) == (b"one", first)
    with refused("NoSuchVersion"):
        s3.get_object(Bucket=versioned, Key="k", VersionId=second)


def test_deleting_an_old_version_leaves_the_current_one(s3, versioned):
    first, second = put(s3, versioned, b"one"), put(s3, versioned, b"two")
    s3.delete_object(Bucket=versioned, Key="k", VersionId=first)
    assert versions(s3, versioned) == [("k", second, True, "version")]


def test_markers_pile_up(s3, versioned):
    first = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    second = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    assert versions(s3, versioned) == [("k", second, True, "marker"), ("k", first, False, "marker")]


def test_an_object_older_than_versioning_is_the_null_version(s3, bucket):
    put(s3, bucket, b"old")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    new = put(s3, bucket, b"new")
    assert versions(s3, bucket) == [("k", new, True, "version"), ("k", "null", False, "version")]
    assert body(s3.get_object(Bucket=bucket, Key="k", VersionId="null")) == b"old"


def test_suspended_versioning_overwrites_the_null_version_only(s3, versioned):
    kept = put(s3, versioned, b"kept")
    suspend(s3, versioned)
    put(s3, versioned, b"null one")
    put(s3, versioned, b"null two")
    assert versions(s3, versioned) == [("k", "null", True, "version"), ("k", kept, False, "version")]
    assert body(s3.get_object(Bucket=versioned, Key="k")) == b"null two"
    assert body(s3.get_object(Bucket=versioned, Key="k", VersionId=kept)) == b"kept"


def test_a_delete_while_suspended_puts_a_null_marker(s3, versioned):
    kept = put(s3, versioned, b"kept")
    suspend(s3, versioned)
    put(s3, versioned, b"null")
    deleted = s3.delete_object(Bucket=versioned, Key="k")
    assert (deleted["DeleteMarker"], deleted["VersionId"]) == (True, "null")
    assert versions(s3, versioned) == [("k", kept, False, "version"), ("k", "null", True, "marker")]


def test_batch_delete_makes_markers_and_takes_versions(s3, versioned):
    first, second = put(s3, versioned, b"one", "a"), put(s3, versioned, b"two", "b")
    answer = s3.delete_objects(Bucket=versioned, Delete={"Objects": [{"Key": "a"}, {"Key": "b", "VersionId": second}]})
    by_key = {entry["Key"]: entry for entry in answer["Deleted"]}
    assert by_key["a"]["DeleteMarker"] is True
    assert by_key["b"]["VersionId"] == second
    assert versions(s3, versioned) == [
        ("a", first, False, "version"),
        ("a", by_key["a"]["DeleteMarkerVersionId"], True, "marker"),
    ]


def test_a_version_can_be_copied(s3, versioned):
    first = put(s3, versioned, b"one")
    put(s3, versioned, b"two")
    copied = s3.copy_object(
        Bucket=versioned, Key="copy", CopySource={"Bucket": versioned, "Key": "k", "VersionId": first}
    )
    assert copied["CopySourceVersionId"] == first
    assert body(s3.get_object(Bucket=versioned, Key="copy")) == b"one"


def test_an_unknown_version_is_refused(s3, versioned):
    put(s3, versioned, b"one")
    unknown = put(s3, versioned, b"two", "other")
    with refused("NoSuchVersion"):
        s3.get_object(Bucket=versioned, Key="k", VersionId=unknown)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_versions_come_in_pages(s3, versioned, size):
    expected = []
    for key in ("a", "b/1", "b/2", "c"):
        first, second = put(s3, versioned, b"one", key), put(s3, versioned, b"two", key)
        expected += [(key, second), (key, first)]
    found, more = [], {}
    while True:
        page = s3.list_object_versions(Bucket=versioned, MaxKeys=size, **more)
        found += [(entry["Key"], entry["VersionId"]) for entry in page["Versions"]]
        assert len(found) <= len(expected)
        if not page["IsTruncated"]:
            break
        more = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}
    assert found == expected


def test_versions_fold_at_a_delimiter(s3, versioned):
    for key in ("a", "b/1", "b/2"):
        put(s3, versioned, b"x", key)
    answer = s3.list_object_versions(Bucket=versioned, Delimiter="/")
    assert [entry["Key"] for entry in answer["Versions"]] == ["a"]
    assert [entry["Prefix"] for entry in answer["CommonPrefixes"]] == ["b/"]
    assert [key for key, *_ in versions(s3, versioned, Prefix="b/")] == ["b/1", "b/2"]


def test_a_bucket_with_old_versions_is_not_empty(s3, versioned):
    put(s3, versioned, b"one")
    s3.delete_object(Bucket=versioned, Key="k")
    with refused("BucketNotEmpty"):
        s3.delete_bucket(Bucket=versioned)


def test_a_multipart_upload_is_a_version(s3, versioned):
    first = put(s3, versioned, b"one")
    upload = s3.create_multipart_upload(Bucket=versioned, Key="k")["UploadId"]
    part = s3.upload_part(Bucket=versioned, Key="k", UploadId=upload, PartNumber=1, Body=b"two")["ETag"]
    completed = s3.complete_multipart_upload(
        Bucket=versioned, Key="k", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]}
    )
    assert versions(s3, versioned) == [
        ("k", completed["VersionId"], True, "version"),
        ("k", first, False, "version"),
    ]
