"""Asks the registry what its own document makes possible and impossible, and holds the answers against the document."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# For each operation and each kind of data. More find nothing more, and take longer.
EXAMPLES = 25
LEFT_OUT = {
    "positive_data_acceptance": "no schema can say which regular expressions, URLs and passwords are good",
}


def test_every_answer_is_documented():
    with registry() as address:
        command = [
            *[sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"],
            *["run", f"{address}/openapi.json"],
            *["--exclude-checks", ",".join(LEFT_OUT)],
            *["--seed", "1", "--max-examples", str(EXAMPLES), "--workers", "1"],
            *["--continue-on-failure", "--warnings", "missing_auth"],
        ]
        with tempfile.TemporaryDirectory(prefix="api-") as folder:
            environment = {
                **os.environ,
                "REGISTRY": address,
                "SCHEMATHESIS_HOOKS": "token_of_admin",
                "PYTHONPATH": str(HERE),
                "PYTHONDONTWRITEBYTECODE": "1",
            }
            run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    # Without a good token every answer would be documented, too.
    assert "Authentication failed" not in run.stdout, run.stdout


@contextmanager
def registry() -> Iterator[str]:
    """A registry in memory, which asks nobody about artifacts, until the end of the block."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        host, port = listener.getsockname()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([program(), f"{host}:{port}"], stdout=log, stderr=subprocess.STDOUT)
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    socket.create_connection((host, port), timeout=1).close()
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() > deadline:
                        log.seek(0)
                        raise RuntimeError(f"it did not start: {log.read().decode(errors='replace')}") from None
                    time.sleep(0.05)
            yield f"http://{host}:{port}"
            assert process.poll() is None, "the registry ended by itself"
        finally:
            process.terminate()
            process.wait(timeout=30)


def program() -> str:
    """The example that serves the registry, built first if need be; `REGISTRY_EXAMPLE` names another one."""
    named = os.environ.get("REGISTRY_EXAMPLE")
    if named:
        return named
    cargo = shutil.which("cargo")
    if cargo is None:
        raise RuntimeError("cargo is missing, which builds the registry")
    build = subprocess.run(
        # As tools/test.sh builds it, so that it is there already.
        [cargo, "build", "--workspace", "--all-targets", "--message-format", "json-render-diagnostics"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
    )
    for line in build.stdout.splitlines():
        message = json.loads(line)
        target = message.get("target", {})
        if message.get("executable") and target.get("kind") == ["example"] and target["name"] == "serve":
            return message["executable"]
    raise RuntimeError("the registry has no example that serves it")
