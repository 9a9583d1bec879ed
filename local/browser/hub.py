"""The Hugging Face Hub and GitHub in small: what the registry asks about the artifacts of these tests."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

README = """# {name}

A model of these tests, **not** of anybody's trust. <script>alert("README")</script>

## Usage

```python
from transformers import pipeline
pipeline("fill-mask", model="{name}")("Paris is the [MASK] of France.")
```

## Evaluation

| benchmark | accuracy |
|---|---|
| GLUE | 84.6 |

The code is at https://github.com/acme/{repository}.
"""


def model(name: str, parents: list[str] | None = None, license: str = "apache-2.0", megabytes: int = 440) -> dict:
    """A model by the answers of the Hub: its entry, its README and its configuration."""
    return {
        f"/api/models/{name}": {
            "id": name,
            "sha": "a" * 40,
            "downloads": 1_234_567,
            "likes": 321,
            "lastModified": "2026-11-02T09:15:00.000Z",
            "pipeline_tag": "fill-mask",
            "library_name": "transformers",
            "tags": ["transformers", f"license:{license}"],
            "cardData": {"license": license, "datasets": ["acme/corpus"], "base_model": parents or []},
            "siblings": [
                {"rfilename": "model.safetensors", "size": megabytes * 1_000_000},
                {"rfilename": "config.json", "size": 570},
            ],
        },
        f"/{name}/raw/main/README.md": README.format(name=name, repository="bert"),
        f"/{name}/raw/main/config.json": {"model_type": "bert"},
    }


def dataset(name: str) -> dict:
    return {
        f"/api/datasets/{name}": {
            "id": name,
            "downloads": 40_000,
            "likes": 90,
            "tags": ["license:cc-by-4.0", "language:en", "task_categories:fill-mask"],
            "cardData": {"license": "cc-by-4.0"},
            "siblings": [{"rfilename": "data.parquet", "size": 1_200_000_000}],
        },
        f"/datasets/{name}/raw/main/README.md": "# Corpus\n\nTexts. " + "More of them. " * 60,
    }


def repository(name: str) -> dict:
    person = {"login": "ada", "type": "User"}
    return {
        f"/repos/{name}": {
            "full_name": name,
            "description": "Code to train & run <b>it</b>",
            "license": {"spdx_id": "MIT", "name": "MIT License"},
            "stargazers_count": 39_812,
            "size": 15_000,
        },
        f"/repos/{name}/contributors": [
            {**person, "contributions": 120},
            {"login": "grace", "type": "User", "contributions": 80},
        ],
        f"/repos/{name}/languages": {"Python": 200_000},
        f"/repos/{name}/readme": "# Code\n\n" + "How to use it. " * 80,
        f"/repos/{name}/git/trees/HEAD": {
            "tree": [{"path": path, "type": "blob"} for path in ("setup.py", "tests/test_model.py", "README.md")]
        },
        f"/repos/{name}/commits": [
            {"sha": "1" * 40, "parents": [], "commit": {"message": "Train longer (#7)"}},
        ],
        f"/repos/{name}/pulls": [
            {"number": 7, "merged_at": "2026-10-01T00:00:00Z", "merge_commit_sha": "1" * 40, "user": person},
        ],
        f"/repos/{name}/pulls/7/reviews": [{"user": {"login": "grace", "type": "User"}}],
    }


@contextmanager
def hub(*answers: dict) -> Iterator[str]:
    """Serves these answers by path until the end of the block, and 404 for all others."""
    shelf = {path: body for answer in answers for path, body in answer.items()}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            found = shelf.get(urlsplit(self.path).path)
            text = found if isinstance(found, str) else json.dumps(found if found is not None else {"error": "none"})
            body = text.encode()
            self.send_response(200 if found is not None else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
