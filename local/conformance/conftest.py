"""Fixtures: every test runs against each server of `servers.py`, in a bucket of its own."""

import os
import uuid

import pytest

from deviations import MOTO
from servers import SERVERS


def pytest_addoption(parser):
    parser.addoption(
        "--deviations",
        action="store_true",
        help="run the tests of deviations.py against moto too, to see which of them it passes by now",
    )


def pytest_generate_tests(metafunc):
    if "server" in metafunc.fixturenames:
        names = ["embedded"] if "command_line" in metafunc.fixturenames else sorted(SERVERS)
        metafunc.parametrize("server", names, indirect=True, scope="session")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Leaves out what moto does not do, by the table alone."""
    config.known_names = {name for item in items for name in known_names(item)}
    if config.getoption("deviations"):
        return
    deviating = [item for item in items if server_of(item) == "moto" and known_names(item) & MOTO.keys()]
    config.hook.pytest_deselected(items=deviating)
    items[:] = [item for item in items if item not in deviating]


def server_of(item) -> str | None:
    return item.callspec.params.get("server") if hasattr(item, "callspec") else None


def known_names(item) -> set[str]:
    """The names under which the table may speak of a test: with all its parameters, or with the one given."""
    return {item.originalname, item.name.replace(f"[{server_of(item)}-", "[")}


def pytest_terminal_summary(terminalreporter, config):
    if config.getoption("deviations"):
        return
    terminalreporter.section(f"{len(MOTO)} points not asked of moto, by design")
    for test, reason in MOTO.items():
        terminalreporter.line(f"{test}: {reason}")


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_the_user():
    """The AWS files and variables of whoever runs this must not reach the clients."""
    for variable in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[variable]
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"


@pytest.fixture(scope="session")
def server(request):
    with SERVERS[request.param]() as started:
        yield started


@pytest.fixture
def s3(server):
    return server.s3


@pytest.fixture
def bucket(s3):
    name = f"conformance-{uuid.uuid4().hex[:16]}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def versioned(s3, bucket):
    """A bucket with versioning on."""
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return bucket
