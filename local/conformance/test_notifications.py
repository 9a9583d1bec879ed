"""The notification configuration of a bucket. What it delivers is tested with the queue, in Rust."""

import pytest

from expectations import refused
from servers import REGION


@pytest.fixture
def queue(server):
    """The ARN of a queue. moto wants it to exist; the embedded S3 makes it."""
    if server.name == "moto":
        server.client("sqs").create_queue(QueueName="conformance")
    return f"arn:aws:sqs:{REGION}:{server.account}:conformance"


def filtered(prefix, suffix=""):
    rules = [{"Name": "prefix", "Value": prefix}, {"Name": "suffix", "Value": suffix}]
    return {"Key": {"FilterRules": [rule for rule in rules if rule["Value"]]}}


def put(s3, bucket, *configurations):
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"QueueConfigurations": list(configurations)}
    )


def get(s3, bucket):
    answer = s3.get_bucket_notification_configuration(Bucket=bucket)
    answer.pop("ResponseMetadata")
    return answer


def test_there_is_none_at_first(s3, bucket):
    assert get(s3, bucket) == {}


def test_what_is_set_comes_back(s3, bucket, queue):
    given = {
        "Id": "documents",
        "QueueArn": queue,
        "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:LifecycleExpiration:*"],
        "Filter": filtered("docs/", ".md"),
    }
    put(s3, bucket, given)
    [found] = get(s3, bucket)["QueueConfigurations"]
    rules = {rule["Name"].lower(): rule["Value"] for rule in found["Filter"]["Key"]["FilterRules"]}
    assert rules == {"prefix": "docs/", "suffix": ".md"}
    assert {name: found[name] for name in ("Id", "QueueArn")} == {name: given[name] for name in ("Id", "QueueArn")}
    assert sorted(found["Events"]) == sorted(given["Events"])


def test_an_id_is_made_up_where_none_is_given(s3, bucket, queue):
    put(s3, bucket, {"QueueArn": queue, "Events": ["s3:ObjectCreated:*"]})
    [found] = get(s3, bucket)["QueueConfigurations"]
    assert found["Id"]


def test_setting_replaces_and_nothing_removes(s3, bucket, queue):
    put(s3, bucket, {"Id": "one", "QueueArn": queue, "Events": ["s3:ObjectCreated:*"]})
    put(s3, bucket, {"Id": "two", "QueueArn": queue, "Events": ["s3:ObjectRemoved:*"]})
    assert [found["Id"] for found in get(s3, bucket)["QueueConfigurations"]] == ["two"]
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    assert get(s3, bucket) == {}


def test_an_unknown_event_is_refused(s3, bucket, queue):
    with refused("InvalidArgument"):
        put(s3, bucket, {"QueueArn": queue, "Events": ["s3:ObjectInvented:*"]})
    assert get(s3, bucket) == {}


def test_overlapping_prefixes_are_refused(s3, bucket, queue):
    created = {"QueueArn": queue, "Events": ["s3:ObjectCreated:*"]}
    with refused("InvalidArgument"):
        put(s3, bucket, {**created, "Filter": filtered("docs/")}, {**created, "Filter": filtered("docs/old/")})
    put(s3, bucket, {**created, "Filter": filtered("docs/")}, {**created, "Filter": filtered("photos/")})
    assert len(get(s3, bucket)["QueueConfigurations"]) == 2
