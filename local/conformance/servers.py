"""The S3 servers under comparison, Holdfast's own and moto as a second opinion; and the local stack."""

import sys
import tempfile
from collections.abc import Iterator
from configparser import ConfigParser
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import boto3
from botocore.config import Config

import processes
from processes import binary, free_port, running

REGION = "us-east-1"


@dataclass(frozen=True)
class Credentials:
    access_key: str
    secret_key: str
    session_token: str | None = None


@dataclass(frozen=True)
class Server:
    """A running server, the credentials of its owner and the account it plays."""

    name: str
    endpoint: str
    owner: Credentials
    account: str
    # What only the stack has: its data folder, and the key of a second account.
    folder: Path | None = None
    customer: Credentials | None = None

    def client(self, service: str = "s3", credentials: Credentials | None = None, region: str = REGION, **settings):
        """A client that does not retry, so that every answer of the server is seen."""
        chosen = credentials or self.owner
        addressing = {"s3": {"addressing_style": "path"}} if service == "s3" else {}
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=region,
            aws_access_key_id=chosen.access_key,
            aws_secret_access_key=chosen.secret_key,
            aws_session_token=chosen.session_token,
            config=Config(
                retries={"total_max_attempts": 1, "mode": "standard"},
                max_pool_connections=32,
                **addressing,
                **settings,
            ),
        )

    @cached_property
    def s3(self):
        return self.client()


@contextmanager
def embedded() -> Iterator[Server]:
    """The `embedded-s3` binary of this checkout, on an empty folder."""
    owner = Credentials("AKIACONFORMANCE00001", "conformance+secret/with=signs")
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        address = f"127.0.0.1:{free_port()}"
        command = [binary("embedded-s3"), "--folder", folder, "--address", address]
        environment = {
            "HOLDFAST_ACCESS_KEY_ID": owner.access_key,
            "HOLDFAST_SECRET_ACCESS_KEY": owner.secret_key,
        }
        with running(command, address, environment):
            yield Server("embedded", f"http://{address}", owner, "000000000000")


@contextmanager
def moto() -> Iterator[Server]:
    """moto's server. It takes any credentials, and these are what its STS expects."""
    address = f"127.0.0.1:{free_port()}"
    host, port = address.split(":")
    with running([sys.executable, "-m", "moto.server", "-H", host, "-p", port], address, {}):
        yield Server("moto", f"http://{address}", Credentials("AKIAIOSFODNN7EXAMPLE", "moto"), "123456789012")


@contextmanager
def stack() -> Iterator[tuple[Server, Server]]:
    """The binary `stack` of this checkout: its S3, and its Invoke API of Lambda."""
    owner = Credentials("AKIACONFORMANCE00002", "conformance+secret/with=signs")
    settings = {"HOLDFAST_ACCESS_KEY_ID": owner.access_key, "HOLDFAST_SECRET_ACCESS_KEY": owner.secret_key}
    with processes.stack(settings) as started:
        profiles = ConfigParser(interpolation=None)
        profiles.read(started.data / "credentials")
        kept = profiles["customer"]
        customer = Credentials(kept["aws_access_key_id"], kept["aws_secret_access_key"])
        yield tuple(
            Server("stack", started.endpoints[name], owner, "000000000000", started.data, customer)
            for name in ("S3", "LAMBDA")
        )


SERVERS = {"embedded": embedded, "moto": moto}
