"""One HTTP request to a server on this machine, with exactly the headers that a test gives."""

import http.client
import json
from typing import Any


def request(port: int, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any, Any]:
    """Return the status, the content and the headers of the response; a header given as "" is not sent."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    given = {"Host": f"127.0.0.1:{port}", "Content-Length": str(len(body or b""))} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in given.items():
        if value:
            connection.putheader(name, value)
    connection.endheaders(body)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    is_json = response.headers["Content-Type"] == "application/json" and content
    return response.status, json.loads(content) if is_json else content, response.headers
