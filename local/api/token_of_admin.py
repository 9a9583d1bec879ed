"""The token that every request is sent with. It is good for a thousand calls, so there is a new one before that."""

import json
import os
import urllib.request

import schemathesis

# The admin whom clients of the contract know.
LOGIN = {
    "user": {"name": "ece30861defaultadminuser", "is_admin": True},
    "secret": {"password": "correcthorsebatterystaple123(!__+@**(A'\"`;DROP TABLE artifacts;"},
}
CALLS = 500


def log_in() -> str:
    request = urllib.request.Request(
        f"{os.environ['REGISTRY']}/authenticate", method="PUT", data=json.dumps(LOGIN).encode()
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


# Asked for each request: seconds would tell nothing of how many calls a fast machine makes in them.
@schemathesis.auth(refresh_interval=None)
class Token:
    def __init__(self):
        self.token = None
        self.calls = 0

    def get(self, _case, _context):
        if self.token is None or self.calls >= CALLS:
            self.token, self.calls = log_in(), 0
        self.calls += 1
        return self.token

    def set(self, case, token, _context):
        case.headers["X-Authorization"] = token
