"""boto3's transfers, which split, stream and put together by themselves."""

import hashlib
import io

import pytest
from boto3.s3.transfer import TransferConfig

MEBIBYTE = 1024 * 1024


@pytest.fixture
def large(tmp_path):
    """A file of 96 MiB that does not repeat, and its digest."""
    path = tmp_path / "large file.bin"
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for number in range(96):
            block = hashlib.shake_128(b"%d" % number).digest(MEBIBYTE)
            digest.update(block)
            file.write(block)
    return path, digest.hexdigest()


def digest_of(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else slow_digest(file)


def slow_digest(file):
    digest = hashlib.sha256()
    while block := file.read(MEBIBYTE):
        digest.update(block)
    return digest.hexdigest()


def test_a_large_file_goes_up_in_parts_and_comes_down_in_ranges(s3, bucket, large, tmp_path):
    path, digest = large
    s3.upload_file(str(path), bucket, "large", ExtraArgs={"ContentType": "application/x-large"})
    head = s3.head_object(Bucket=bucket, Key="large")
    assert (head["ContentLength"], head["ContentType"]) == (96 * MEBIBYTE, "application/x-large")
    assert head["ETag"].endswith('-12"')
    s3.download_file(bucket, "large", str(tmp_path / "down"))
    assert digest_of(tmp_path / "down") == digest


def test_a_large_file_goes_up_in_one_piece(s3, bucket, large, tmp_path):
    path, digest = large
    whole = TransferConfig(multipart_threshold=1024 * MEBIBYTE)
    s3.upload_file(str(path), bucket, "large", Config=whole)
    assert "-" not in s3.head_object(Bucket=bucket, Key="large")["ETag"]
    s3.download_file(bucket, "large", str(tmp_path / "down"), Config=TransferConfig(use_threads=False))
    assert digest_of(tmp_path / "down") == digest


def test_streams_go_up_and_down(s3, bucket):
    content = hashlib.shake_128(b"stream").digest(9 * MEBIBYTE + 1)
    s3.upload_fileobj(io.BytesIO(content), bucket, "stream")
    found = io.BytesIO()
    s3.download_fileobj(bucket, "stream", found)
    assert found.getvalue() == content


def test_a_large_object_is_copied_in_parts(s3, bucket):
    content = hashlib.shake_128(b"copy").digest(12 * MEBIBYTE)
    s3.put_object(Bucket=bucket, Key="source", Body=content, ContentType="text/csv")
    parts = TransferConfig(multipart_threshold=8 * MEBIBYTE, multipart_chunksize=5 * MEBIBYTE)
    s3.copy({"Bucket": bucket, "Key": "source"}, bucket, "target", Config=parts)
    head = s3.head_object(Bucket=bucket, Key="target")
    assert (head["ContentLength"], head["ETag"][-3:]) == (12 * MEBIBYTE, '-3"')
    assert s3.get_object(Bucket=bucket, Key="target")["Body"].read() == content
