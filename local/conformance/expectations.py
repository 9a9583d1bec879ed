"""What the tests expect of answers, in one place."""

import json
from contextlib import contextmanager

import pytest
from botocore.exceptions import ClientError

# Names that clients, shells and URLs treat badly.
ODD_KEYS = [
    "plain.txt",
    "with space.txt",
    " leading and trailing ",
    "plus+sign.txt",
    "100%.txt",
    "percent %41 once.txt",
    "äöü/日本語.txt",
    "emoji 🗂.md",
    "e\u0301 decomposed.txt",
    "é composed.txt",
    "double//slash.txt",
    "/leading slash.txt",
    "folder/",
    "question?mark&and=equals.txt",
    "hash#tag.txt",
    "quote'\".txt",
    "back\\slash.txt",
    "semi;colon,comma:colon.txt",
    "<angle>[square]{curly}|.txt",
    "tilde~(1)!*@$^`.txt",
    "a" * 1024,
]


@contextmanager
def refused(*expected):
    """The block must be refused with one of these: a code such as "NoSuchKey", or a status such as 404."""
    with pytest.raises(ClientError) as caught:
        yield caught
    code = code_of(caught.value)
    status = caught.value.response["ResponseMetadata"]["HTTPStatusCode"]
    assert code in expected or status in expected, f"refused with {status} {code}, not with {expected}: {caught.value}"


def code_of(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Code", "none that the client can read")


def policy(*statements) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def body(answer) -> bytes:
    return answer["Body"].read()


def keys(answer) -> list[str]:
    return [entry["Key"] for entry in answer.get("Contents", [])]


def prefixes(answer) -> list[str]:
    return [entry["Prefix"] for entry in answer.get("CommonPrefixes", [])]
