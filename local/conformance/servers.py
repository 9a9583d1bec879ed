"""The S3 servers under comparison, Holdfast's own and moto as a second opinion; and the local stack."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from configparser import ConfigParser
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import boto3
from botocore.config import Config

ROOT = Path(__file__).resolve().parents[2]
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
    s3, functions, registry, database = free_port(), free_port(), free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        os.chmod(folder, 0o755)  # PostgreSQL's user passes through it when we are root
        environment = {
            "HOLDFAST_DATA": f"{folder}/data",
            "HOLDFAST_S3_PORT": str(s3),
            "HOLDFAST_LAMBDA_PORT": str(functions),
            "HOLDFAST_REGISTRY_PORT": str(registry),
            "HOLDFAST_POSTGRES_PORT": str(database),
            "HOLDFAST_ACCESS_KEY_ID": owner.access_key,
            "HOLDFAST_SECRET_ACCESS_KEY": owner.secret_key,
            "DATABASE_URL": "",
        }
        with running([binary("stack")], f"127.0.0.1:{functions}", environment):
            data = Path(folder) / "data"
            profiles = ConfigParser(interpolation=None)
            profiles.read(data / "credentials")
            kept = profiles["customer"]
            customer = Credentials(kept["aws_access_key_id"], kept["aws_secret_access_key"])
            yield tuple(
                Server("stack", f"http://127.0.0.1:{port}", owner, "000000000000", data, customer)
                for port in (s3, functions)
            )


SERVERS = {"embedded": embedded, "moto": moto}


def binary(name: str) -> str:
    """The path of a binary, built first if need be; a variable such as `EMBEDDED_S3` names another one."""
    named = os.environ.get(name.upper().replace("-", "_"))
    if named:
        return named
    cargo = shutil.which("cargo")
    if cargo is None:
        raise RuntimeError(f"cargo is missing, which builds {name}")
    build = subprocess.run(
        # As tools/test.sh builds it, so that it is there already.
        [cargo, "build", "--workspace", "--all-targets", "--message-format", "json-render-diagnostics"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
    )
    for line in build.stdout.splitlines():
        message = json.loads(line)
        # Only what was linked has a path; the tests of a binary are linked under its name too.
        if message.get("executable") and not message["profile"]["test"] and message["target"]["name"] == name:
            return message["executable"]
    raise RuntimeError(f"no package of the workspace has the binary {name}")


@contextmanager
def running(command: list[str], address: str, environment: dict[str, str]) -> Iterator[None]:
    """Runs a server until the end of the block. What it wrote is shown if it does not come up."""
    host, port = address.split(":")
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **environment})
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    socket.create_connection((host, int(port)), timeout=1).close()
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() > deadline:
                        log.seek(0)
                        written = log.read().decode(errors="replace")
                        raise RuntimeError(f"{command[0]} did not start: {written}") from None
                    time.sleep(0.05)
            yield
        finally:
            process.terminate()
            process.wait(timeout=30)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
