"""PostgreSQL connection strings, cut down to what a tenant may choose.

libpq takes far more than a server's address from a connection string, and what it does not find there from its
environment: files of the operator's own pod, sockets, a service definition, somebody's password. Here only the
string decides, and only about the connection.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from lastgood.domain.ports import BadProbe

_ALLOWED = frozenset(
    {
        "application_name",
        "channel_binding",
        "client_encoding",
        "connect_timeout",
        "dbname",
        "fallback_application_name",
        "gssencmode",
        "host",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "load_balance_hosts",
        "options",
        "password",
        "port",
        "require_auth",
        "ssl_max_protocol_version",
        "ssl_min_protocol_version",
        "sslmode",
        "sslnegotiation",
        "sslrootcert",
        "sslsni",
        "target_session_attrs",
        "tcp_user_timeout",
        "user",
    }
)

_NOWHERE = "/nonexistent/lastgood"
"""A file that is not there: for libpq an empty name means its default, in the home directory."""

_DEFAULTS = {
    # One for every parameter that libpq would otherwise take from a PG… variable.
    "application_name": "lastgood",
    "channel_binding": "prefer",
    "client_encoding": "UTF8",
    "connect_timeout": "0",
    "gssencmode": "disable",
    "load_balance_hosts": "disable",
    "max_protocol_version": "3.0",
    "min_protocol_version": "3.0",
    "options": "",
    "passfile": _NOWHERE,
    "password": "",
    "require_auth": "!sspi",  # any: an empty list would be none, and SSPI is of another system
    "requirepeer": "",
    "ssl_max_protocol_version": "",
    "ssl_min_protocol_version": "TLSv1.2",
    "sslcert": _NOWHERE,
    "sslcertmode": "disable",
    "sslcrl": _NOWHERE,
    "sslcrldir": "",
    "sslkey": _NOWHERE,
    "sslmode": "prefer",
    "sslnegotiation": "postgres",
    "sslrootcert": _NOWHERE,
    "sslsni": "1",
    "target_session_attrs": "any",
}


@dataclass(frozen=True, slots=True)
class Server:
    """One host of a connection string."""

    host: str
    port: int


class Dsn:
    """A connection string whose hosts are known and whose other parts are fixed."""

    def __init__(self, text: str) -> None:
        """Parse. Raises BadProbe, which names parameters and never values."""
        given = _parse(text)
        hosts = _list(given.pop("host", ""))
        ports = _list(given.pop("port", ""))
        if not hosts or not all(hosts) or any(host.startswith(("/", "@")) for host in hosts):
            msg = "the DSN names no host: write one; sockets are not probed"
            raise BadProbe(msg)
        if len(ports) not in {0, 1, len(hosts)}:
            msg = "the DSN has as many ports as neither one nor its hosts: write one port, or one for each host"
            raise BadProbe(msg)
        ports = ports * len(hosts) if len(ports) == 1 else ports or [""] * len(hosts)
        self.servers = [Server(host, _port(port)) for host, port in zip(hosts, ports, strict=True)]
        if not given.get("user"):
            msg = "the DSN names no user: write one"
            raise BadProbe(msg)
        given.setdefault("dbname", given["user"])
        verifies = given.get("sslmode", "").startswith("verify-")
        self._parameters = {**_DEFAULTS, **({"sslrootcert": _system_authorities()} if verifies else {}), **given}

    def conninfo(self, server: Server, address: str) -> bytes:
        """Write the string for one server at a checked address; its name stays, for TLS."""
        parts = {**self._parameters, "host": server.host, "hostaddr": address, "port": str(server.port)}
        return make_conninfo("", **parts).encode()


def _parse(text: str) -> dict[str, str]:
    try:
        parsed: Mapping[str, object] = conninfo_to_dict(text)
    except (ProgrammingError, UnicodeError):
        msg = 'the Secret holds no DSN: write one such as "postgresql://user:password@postgres:5432/database"'
        raise BadProbe(msg) from None
    given = {key: str(value) for key, value in parsed.items() if value is not None}
    refused = sorted(set(given) - _ALLOWED)
    if given.get("sslrootcert", "system") != "system":
        refused.append("sslrootcert")
    if refused:
        msg = f"the DSN sets {', '.join(refused)}: leave that out"
        raise BadProbe(msg)
    if given.get("sslrootcert") == "system":
        given["sslrootcert"] = _system_authorities()
        given.setdefault("sslmode", "verify-full")
    return given


def _list(text: str) -> list[str]:
    return text.split(",") if text else []


def _port(text: str) -> int:
    if not text:
        return 5432
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        msg = "the DSN has a port that is none: write a number from 1 to 65535"
        raise BadProbe(msg)
    return int(text)


def _system_authorities() -> str:
    """Find the file that Python's own OpenSSL would use: libpq brings another OpenSSL, with another idea of it."""
    return ssl.get_default_verify_paths().cafile or "system"
