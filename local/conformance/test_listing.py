"""Listing: order, prefixes, delimiters and pages."""

import pytest

from expectations import ODD_KEYS, keys, prefixes, refused

# In the order of their bytes, which is the order of a listing.
TREE = ["a.txt", "docs/old/three.md", "docs/one.md", "docs/two.md", "photos/2025/x.jpg", "photos/2026/y.jpg", "z.txt"]


@pytest.fixture
def tree(s3, bucket):
    for key in TREE:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    return bucket


def pages(operation, **arguments):
    """All pages of a listing, following its tokens."""
    found, more = [], {}
    while True:
        page = operation(**arguments, **more)
        found.append(page)
        assert len(found) < 100, "the listing does not end"
        if not page["IsTruncated"]:
            return found
        more = {"ContinuationToken": page["NextContinuationToken"]}


def test_an_entry_says_what_the_object_is(s3, tree):
    entry = s3.list_objects_v2(Bucket=tree, Prefix="docs/one.md")["Contents"][0]
    head = s3.head_object(Bucket=tree, Key="docs/one.md")
    assert (entry["ETag"], entry["Size"], entry["StorageClass"]) == (head["ETag"], 11, "STANDARD")
    assert entry["LastModified"].replace(microsecond=0) == head["LastModified"]


def test_a_delimiter_folds_what_lies_below(s3, tree):
    top = s3.list_objects_v2(Bucket=tree, Delimiter="/")
    assert (keys(top), prefixes(top), top["KeyCount"]) == (["a.txt", "z.txt"], ["docs/", "photos/"], 4)
    below = s3.list_objects_v2(Bucket=tree, Delimiter="/", Prefix="docs/")
    assert (keys(below), prefixes(below)) == (["docs/one.md", "docs/two.md"], ["docs/old/"])
    # A prefix need not end at a delimiter, and a delimiter need not be a slash.
    assert prefixes(s3.list_objects_v2(Bucket=tree, Delimiter="/", Prefix="ph")) == ["photos/"]
    assert prefixes(s3.list_objects_v2(Bucket=tree, Delimiter="202", Prefix="photos/")) == ["photos/202"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_pages_hold_everything_once(s3, tree, size):
    found = pages(s3.list_objects_v2, Bucket=tree, MaxKeys=size)
    assert [key for page in found for key in keys(page)] == TREE
    assert all(page["KeyCount"] <= size == page["MaxKeys"] for page in found)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_common_prefix_comes_once_over_all_pages(s3, tree, size):
    found = pages(s3.list_objects_v2, Bucket=tree, Delimiter="/", MaxKeys=size)
    assert [name for page in found for name in sorted(keys(page) + prefixes(page))] == [
        "a.txt",
        "docs/",
        "photos/",
        "z.txt",
    ]


def test_a_last_page_that_is_full_is_the_last(s3, tree):
    assert s3.list_objects_v2(Bucket=tree, MaxKeys=len(TREE))["IsTruncated"] is False


def test_listing_starts_after(s3, tree):
    assert keys(s3.list_objects_v2(Bucket=tree, StartAfter="photos/2025/x.jpg")) == ["photos/2026/y.jpg", "z.txt"]
    assert keys(s3.list_objects_v2(Bucket=tree, StartAfter="docs/one")) == TREE[2:]


def test_no_keys_can_be_asked_for(s3, tree):
    answer = s3.list_objects_v2(Bucket=tree, MaxKeys=0)
    assert (keys(answer), answer["KeyCount"], answer["IsTruncated"]) == ([], 0, False)


def test_an_invented_token_is_refused(s3, tree):
    with refused("InvalidArgument"):
        s3.list_objects_v2(Bucket=tree, ContinuationToken="invented")


def test_odd_keys_survive_pages(s3, bucket):
    for key in ODD_KEYS:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    found = pages(s3.list_objects_v2, Bucket=bucket, MaxKeys=4)
    assert [key for page in found for key in keys(page)] == sorted(ODD_KEYS, key=str.encode)


@pytest.mark.parametrize("prefix", ["with space", "plus+", "100%", "äöü/", "double//", "/", "emoji 🗂", "e\u0301"])
def test_odd_prefixes(s3, bucket, prefix):
    for key in ODD_KEYS:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    expected = sorted((key for key in ODD_KEYS if key.startswith(prefix)), key=str.encode)
    assert keys(s3.list_objects_v2(Bucket=bucket, Prefix=prefix)) == expected


def test_the_first_version_of_listing_has_markers(s3, tree):
    first = s3.list_objects(Bucket=tree, MaxKeys=3)
    assert (keys(first), first["IsTruncated"]) == (TREE[:3], True)
    rest = s3.list_objects(Bucket=tree, Marker=keys(first)[-1])
    assert (keys(rest), rest["IsTruncated"]) == (TREE[3:], False)
    folded = s3.list_objects(Bucket=tree, Delimiter="/", MaxKeys=2)
    assert (keys(folded), prefixes(folded), folded["NextMarker"]) == (["a.txt"], ["docs/"], "docs/")


def test_an_empty_bucket_lists_nothing(s3, bucket):
    answer = s3.list_objects_v2(Bucket=bucket)
    assert (keys(answer), answer["KeyCount"], answer["IsTruncated"]) == ([], 0, False)
