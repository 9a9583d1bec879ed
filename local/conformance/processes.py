"""The servers of this checkout as processes of their own."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Stack:
    """Where its S3, its Invoke API and its registry are, and its folder."""

    endpoints: dict[str, str]
    data: Path


@contextmanager
def stack(settings: dict[str, str]) -> Iterator[Stack]:
    """The binary `stack` of this checkout, on an empty folder."""
    ports = {name: free_port() for name in ("S3", "LAMBDA", "REGISTRY", "POSTGRES")}
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        os.chmod(folder, 0o755)  # PostgreSQL's user passes through it when we are root
        environment = {
            "HOLDFAST_DATA": f"{folder}/data",
            **{f"HOLDFAST_{name}_PORT": str(port) for name, port in ports.items()},
            "DATABASE_URL": "",
            **settings,
        }
        with running([binary("stack")], f"127.0.0.1:{ports['LAMBDA']}", environment):
            endpoints = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
            yield Stack(endpoints, Path(folder) / "data")


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
