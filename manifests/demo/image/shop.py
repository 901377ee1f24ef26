"""The shop: `backend`, `frontend`, `postgres`, `redis`, by the first argument."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VERSION = os.environ.get("VERSION", "dev")
SETTINGS = pathlib.Path("/settings")


def setting(name: str) -> str:
    """A value out of the mounted ConfigMap."""
    place = SETTINGS / name
    return place.read_text().strip() if place.exists() else ""


def check() -> dict[str, str]:
    """Ask PostgreSQL and Redis, and the pricing rules that the configuration names."""
    import psycopg2
    import redis

    found = {}
    try:
        with contextlib.closing(psycopg2.connect(os.environ["DATABASE_URL"], connect_timeout=2)) as connection:
            connection.cursor().execute("SELECT 1")
        found["database"] = "ok"
    except psycopg2.Error as error:
        found["database"] = type(error).__name__
    try:
        redis.Redis(host=os.environ.get("REDIS_HOST", "redis"), socket_timeout=2).ping()
        found["cache"] = "ok"
    except redis.RedisError as error:
        found["cache"] = type(error).__name__
    rules = setting("pricing")
    found["pricing"] = "ok" if rules in {"v1"} else f"unknown rules {rules!r}"
    return found


def order() -> dict[str, int]:
    """Write an order; say how many there are, by the database and by the cache."""
    import psycopg2
    import redis

    with contextlib.closing(psycopg2.connect(os.environ["DATABASE_URL"], connect_timeout=2)) as connection, connection:
        cursor = connection.cursor()
        cursor.execute("CREATE TABLE IF NOT EXISTS orders (id bigserial PRIMARY KEY, at timestamptz DEFAULT now())")
        cursor.execute("INSERT INTO orders DEFAULT VALUES")
        cursor.execute("SELECT count(*) FROM orders")
        written = cursor.fetchone()[0]
    counted = redis.Redis(host=os.environ.get("REDIS_HOST", "redis"), socket_timeout=2).incr("orders")
    return {"orders": written, "counted": counted}


class Backend(BaseHTTPRequestHandler):
    """JSON /health; /order takes an order when all is well; anything else says the version."""

    def do_GET(self) -> None:
        """Answer."""
        checks = check() if self.path in {"/health", "/order"} else {}
        good = all(value == "ok" for value in checks.values())
        if good and self.path == "/order":
            self.answer(200, json.dumps({"version": VERSION, **order()}).encode())
            return
        body = {"status": "ok" if good else "broken", "version": VERSION, "banner": setting("banner"), **checks}
        self.answer(200 if good else 503, json.dumps(body).encode())

    def answer(self, status: int, body: bytes) -> None:
        """Send."""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Frontend(Backend):
    """/health for itself; everything else from the backend."""

    def do_GET(self) -> None:
        """Answer."""
        if self.path == "/health":
            self.answer(200, b'{"status": "ok"}')
            return
        try:
            with urllib.request.urlopen("http://backend:8000" + self.path, timeout=3) as answer:
                self.answer(answer.status, answer.read())
        except OSError as error:
            self.answer(502, json.dumps({"error": type(error).__name__}).encode())


def postgres() -> None:
    """A real PostgreSQL on an empty volume."""
    home = "/usr/lib/postgresql/15/bin"
    data = "/data/pg"
    if not pathlib.Path(data, "PG_VERSION").exists():
        password = pathlib.Path("/tmp/pw")
        password.write_text(os.environ["POSTGRES_PASSWORD"])
        command = [f"{home}/initdb", "-D", data, "-U", "shop", "--auth=scram-sha-256", f"--pwfile={password}"]
        subprocess.run(command, check=True)
        password.unlink()
        with pathlib.Path(data, "pg_hba.conf").open("a") as rules:
            rules.write("host all all all scram-sha-256\n")
        pathlib.Path(data, "postgresql.auto.conf").write_text(
            "listen_addresses = '*'\nunix_socket_directories = '/tmp'\n"
        )
    os.execv(f"{home}/postgres", [f"{home}/postgres", "-D", data])


def main() -> None:
    """Be what the first argument says."""
    role = sys.argv[1]
    if role == "postgres":
        postgres()
    elif role == "redis":
        os.execvp("redis-server", ["redis-server", "--protected-mode", "no", "--dir", "/tmp", "--save", ""])
    else:
        ThreadingHTTPServer(("", 8000), Backend if role == "backend" else Frontend).serve_forever()


main()
