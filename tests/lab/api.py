"""The few requests that booting takes, over the standard library: the lab needs no Kubernetes client."""

import http.client
import json
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.lab.paths import LabError
from tests.lab.pki import Pair

TIMEOUT_SECONDS = 10


class Api:
    """Requests to one API server, by one client certificate."""

    def __init__(self, url: str, *, authority: Path, client: Pair) -> None:
        self._host = urlsplit(url).netloc
        self._context = ssl.create_default_context(cafile=str(authority))
        self._context.load_cert_chain(client.cert, client.key)

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Return status and answer; status 0 when there was no answer at all."""
        connection = http.client.HTTPSConnection(self._host, timeout=TIMEOUT_SECONDS, context=self._context)
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, path, payload, {"Content-Type": "application/json"})
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            return 0, None
        finally:
            connection.close()
        try:
            return response.status, json.loads(content)
        except ValueError:
            return response.status, content.decode(errors="replace")

    def ready(self) -> bool:
        """Whether the API server says that it is ready, and has made the namespace that everybody takes for granted."""
        return self.request("GET", "/readyz")[0] == 200 and self.exists("/api/v1/namespaces/default")

    def exists(self, path: str) -> bool:
        return self.request("GET", path)[0] == 200

    def create(self, path: str, body: Any) -> None:
        """Create an object; one that exists already is as good."""
        status, answer = self.request("POST", path, body)
        if status not in {200, 201, 409}:
            msg = f"POST {path}: {status} {answer}"
            raise LabError(msg)
