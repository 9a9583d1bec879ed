"""The registry that all tests look at: five models that come from each other, their data and code, and odd names."""

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import hub
import processes

ADMIN = "ece30861defaultadminuser"
PASSWORD = "correcthorsebatterystaple123(!__+@**(A'\"`;DROP TABLE artifacts;"
# Names are what anybody registers, up to 1024 bytes.
HOSTILE = '"><img src=x onerror=alert(1)><script>alert("name")</script>\u202egnp.exe'
LONG = "a-model-whose-name-somebody-made-of-everything-that-came-to-mind-" * 4
# What is in every file of the dataset.
FILE = b"a file of a dataset"
# Enough for a second page.
MORE = 60


@dataclass(frozen=True)
class Scene:
    """A running registry, and the ids of what is in it by its name."""

    url: str
    s3: str
    ids: dict[str, str]

    def view(self, name: str) -> str:
        return f"{self.url}/view/{self.ids[name]}"


@contextmanager
def scene() -> Iterator[Scene]:
    told = (
        hub.model("acme/bert-base", ["elsewhere/bert-original"]),
        hub.model("acme/bert-distilled", ["acme/bert-base"], megabytes=268),
        hub.model("acme/bert-medical", ["acme/bert-base"], license="cc-by-nc-4.0"),
        hub.model("acme/bert-merged", ["acme/bert-distilled", "acme/bert-medical"]),
        hub.model("acme/bert-merged-4bit", ["acme/bert-merged", "acme/bert-base"], license="gpl-3.0", megabytes=120),
        hub.dataset("acme/corpus"),
        hub.repository("acme/bert"),
    )
    with hub.hub(*told) as sources:
        settings = {"HF_ENDPOINT": sources, "GITHUB_API_URL": sources, "GITHUB_RAW_URL": sources}
        with processes.stack(settings) as started:
            endpoints = started.endpoints
            yield Scene(endpoints["REGISTRY"], endpoints["S3"], register(endpoints["REGISTRY"]))


def register(url: str) -> dict[str, str]:
    """Registers everything by the API, and tells the ids by name."""
    login = {"user": {"name": ADMIN, "is_admin": True}, "secret": {"password": PASSWORD}}
    token = call("PUT", f"{url}/authenticate", login)
    hubs = "https://huggingface.co"
    wanted = [
        ("model", "bert-base", f"{hubs}/acme/bert-base"),
        ("model", "bert-distilled", f"{hubs}/acme/bert-distilled"),
        ("model", "bert-medical", f"{hubs}/acme/bert-medical"),
        ("model", "bert-merged", f"{hubs}/acme/bert-merged"),
        ("model", "bert-merged-4bit", f"{hubs}/acme/bert-merged-4bit"),
        ("dataset", "corpus", f"{hubs}/datasets/acme/corpus"),
        ("code", "bert", "https://github.com/acme/bert"),
        ("model", HOSTILE, "https://example.com/?q=<script>alert('url')</script>"),
        ("model", LONG, "https://example.com/" + "long/" * 60),
        *(("dataset", f"sample-{number:02}", f"https://example.com/sample/{number}") for number in range(MORE)),
    ]
    ids = {}
    for kind, name, source in wanted:
        created = call("POST", f"{url}/artifact/{kind}", {"url": source, "name": name}, token)
        ids[name] = created["metadata"]["id"]
    for path in ("notes.txt", "parts/a%20%3Cb%3E.txt"):
        way = call("POST", f"{url}/artifacts/dataset/{ids['corpus']}/files/{path}", {}, token)
        sent = urllib.request.Request(way["url"], FILE, headers=way["headers"], method=way["method"])
        urllib.request.urlopen(sent, timeout=30).close()
    return ids


def call(method: str, url: str, body: dict, token: str = "") -> dict | str:
    request = urllib.request.Request(url, json.dumps(body).encode(), method=method)
    request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("X-Authorization", token)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)
