"""What is probed: an HTTP server in the test's own process, whose answer the test sets for each path."""

import http.server
import threading
from collections.abc import Callable
from typing import ClassVar


class Target:
    """Answers 200 to /NAME until told otherwise, and remembers the headers of the last request."""

    def __init__(self, running: Callable[[], dict[str, set[str]]] | None = None) -> None:
        target = self
        answers: dict[str, int] = {}
        broken: set[tuple[str, str]] = set()
        headers: dict[str, dict[str, str]] = {}
        self._answers, self.headers = answers, headers
        self.broken = broken
        """Name and version of releases that answer 503 as long as a pod of theirs runs."""
        self.running = running or (dict[str, set[str]])

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            seen: ClassVar[dict[str, dict[str, str]]] = headers

            def do_GET(self) -> None:
                name = self.path.strip("/")
                self.seen[name] = dict(self.headers.items())
                body = b'{"status":"ok"}'
                down = any((name, version) in broken for version in target.running().get(name, ()))
                self.send_response(503 if down else answers.get(name, 200))
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Keep the test's output for the test."""

        class Server(http.server.ThreadingHTTPServer):
            # Of five, as is usual here, one that comes sixth in a burst waits a second for its next SYN.
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]

    def __enter__(self) -> "Target":
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}"

    def answers(self, name: str, status: int) -> None:
        self._answers[name] = status
