"""The token that every request is sent with. It is good for a thousand calls, so there is a new one now and then."""

import json
import os
import urllib.request

import schemathesis

# The admin whom clients of the contract know.
LOGIN = {
    "user": {"name": "ece30861defaultadminuser", "is_admin": True},
    "secret": {"password": "correcthorsebatterystaple123(!__+@**(A'\"`;DROP TABLE artifacts;"},
}
SECONDS = 3


def log_in() -> str:
    request = urllib.request.Request(
        f"{os.environ['REGISTRY']}/authenticate", method="PUT", data=json.dumps(LOGIN).encode()
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


@schemathesis.auth(refresh_interval=SECONDS)
class Token:
    def get(self, _case, _context):
        return log_in()

    def set(self, case, token, _context):
        case.headers["X-Authorization"] = token
