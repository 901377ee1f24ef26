"""Probes of a MonitoredService: what is asked of the service, how often, and what counts as an answer."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from lastgood.api.base import MAP_BY_NAME, KeyRef, Label, Model, Name, Port, Rule, cel, duration_field, one_of

_STATUS = r"^([1-5][0-9][0-9](-[1-5][0-9][0-9])?|[1-5]xx)$"
_HOST = Rule(
    r"self.matches('^[A-Za-z0-9]([-A-Za-z0-9._:]*[A-Za-z0-9])?$')",
    'write a host name or an IP address without scheme or port, such as "postgres" or "10.0.0.7"',
)
Host = Annotated[str, Field(min_length=1, max_length=253), cel(_HOST)]


class ValueFrom(Model):
    """Where a value is read from."""

    secret_key_ref: KeyRef = Field(description="Key of a Secret in this namespace.")


class Header(Model):
    """One request header, its value in place or from a Secret."""

    rules: ClassVar[Sequence[Rule]] = (one_of("value", "valueFrom", what="a header has one value"),)

    name: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]
    value: Annotated[str, Field(max_length=4096)] | None = None
    value_from: ValueFrom | None = Field(default=None, description="Keeps a credential out of this manifest.")


class CertificateSource(Model):
    """PEM bundle of the certificate authorities to trust."""

    rules: ClassVar[Sequence[Rule]] = (one_of("secretKeyRef", "configMapKeyRef", what="a CA bundle has one source"),)

    secret_key_ref: KeyRef | None = None
    config_map_key_ref: KeyRef | None = None


class Tls(Model):
    """How the server's certificate is checked."""

    rules: ClassVar[Sequence[Rule]] = (
        Rule(
            "!(has(self.ca) && has(self.insecureSkipVerify) && self.insecureSkipVerify)",
            "write either ca or insecureSkipVerify: with verification off, the CA is never looked at",
        ),
    )

    ca: CertificateSource | None = Field(default=None, description="Trust these authorities, not the system's.")
    server_name: Host | None = Field(default=None, description="Name to ask for and to expect in the certificate.")
    insecure_skip_verify: bool = Field(default=False, description="Accept any certificate.")
    min_days_to_expiry: Annotated[int, Field(ge=1, le=3650)] | None = Field(
        default=None, description="Fail while the certificate has fewer days left than this."
    )


class JsonAssertion(Model):
    """What one place of a JSON response must hold."""

    rules: ClassVar[Sequence[Rule]] = (one_of("equals", "matches", "exists", what="an assertion has one test"),)

    path: Annotated[str, Field(min_length=1, max_length=512)] = Field(
        description='JSONPath (RFC 9535) that selects the value, such as "$.status".'
    )
    equals: Annotated[str, Field(max_length=1024)] | None = Field(
        default=None, description='The value written as text: "ok", "3", "true", "null".'
    )
    matches: Annotated[str, Field(min_length=1, max_length=1024)] | None = Field(
        default=None, description="RE2 pattern that must be found in the value written as text."
    )
    exists: bool | None = Field(default=None, description="Whether the path must select something at all.")


class HttpProbe(Model):
    """One HTTP request."""

    rules: ClassVar[Sequence[Rule]] = (
        Rule(
            "!has(self.tls) || self.url.startsWith('https://')",
            'tls is only looked at for https: write a url that begins with "https://" or leave tls out',
        ),
        Rule(
            "!has(self.body) || !(self.method in ['GET', 'HEAD'])",
            "a body is not sent with GET or HEAD: write method POST, PUT, PATCH, DELETE or OPTIONS, or leave body out",
        ),
        Rule(
            "!has(self.method) || self.method != 'HEAD' || (!has(self.json) && !has(self.bodyPattern))",
            "a HEAD response has no body: write method GET, or leave json and bodyPattern out",
        ),
    )

    url: Annotated[str, Field(min_length=1, max_length=2048)] = Field(
        description='Absolute URL, such as "http://backend:8000/health".',
        json_schema_extra={
            "x-kubernetes-validations": [
                Rule(
                    "self.matches('^https?://[^/?#@\\\\s]+([/?#]\\\\S*)?$')",
                    'write an absolute URL without user name or password, such as "http://backend:8000/health"; '
                    "credentials go into headers with valueFrom",
                ).as_schema()
            ]
        },
    )
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    headers: Annotated[list[Header], Field(max_length=32)] = Field(default=[], json_schema_extra=MAP_BY_NAME)
    body: Annotated[str, Field(max_length=16384)] | None = None
    status_codes: Annotated[
        list[
            Annotated[
                str,
                Field(max_length=7),
                cel(Rule(f"self.matches('{_STATUS}')", 'write a status as "200", "2xx" or "200-299"')),
            ]
        ],
        Field(min_length=1, max_length=16),
    ] = Field(default=["2xx"], description='Accepted status codes: "200", "2xx" or "200-299".')
    json_: Annotated[list[JsonAssertion], Field(max_length=16)] = Field(
        default=[], alias="json", description="All of these must hold for the response parsed as JSON."
    )
    body_pattern: Annotated[str, Field(min_length=1, max_length=1024)] | None = Field(
        default=None, description="RE2 pattern that must be found in the response body (its first MiB)."
    )
    follow_redirects: bool = Field(
        default=False, description="Follow up to five redirects; each address is checked anew."
    )
    tls: Tls | None = None


class TcpProbe(Model):
    """A TCP connection that must be accepted."""

    host: Host
    port: Port


class GrpcProbe(Model):
    """The standard health check, grpc.health.v1.Health/Check, which must answer SERVING."""

    host: Host
    port: Port
    service: Annotated[str, Field(max_length=253)] = Field(
        default="", description="Service name to ask for; empty asks for the server as a whole."
    )
    tls: Tls | None = Field(default=None, description="Use TLS; without it the connection is plain text.")


class PostgresProbe(Model):
    """A connection to PostgreSQL and one query."""

    dsn: ValueFrom = Field(description='Connection string, such as "postgresql://app:…@postgres:5432/shop".')
    query: Annotated[str, Field(min_length=1, max_length=4096)] = Field(
        default="SELECT 1", description="Run in a read-only transaction; it must succeed, its rows are not looked at."
    )


class RedisServer(Model):
    """How a Redis server is reached."""

    rules: ClassVar[Sequence[Rule]] = (
        one_of("address", "url", what="a plain address, or a Secret with a redis:// or rediss:// URL"),
    )

    address: (
        Annotated[
            str,
            Field(min_length=3, max_length=259),
            cel(Rule("self.matches('^[^@/\\\\s]+:[0-9]+$')", 'write host and port, such as "redis:6379"')),
        ]
        | None
    ) = Field(default=None, description='Host and port of a server without authentication, such as "redis:6379".')
    url: ValueFrom | None = Field(default=None, description='URL, such as "redis://:…@redis:6379/0".')


class RedisProbe(RedisServer):
    """A connection to Redis and PING, which must be answered by PONG."""


class Probe(Model):
    """One probe. The defaults are those of the health checks in the monitoring procedures: every 30 seconds."""

    rules: ClassVar[Sequence[Rule]] = (
        one_of("http", "tcp", "grpc", "postgres", "redis", what="a probe asks one thing"),
        Rule(
            f"!self.timeout.matches('{r'^([0-9]+(ms|s|m|h))+$'}') || !self.interval.matches("
            f"'{r'^([0-9]+(ms|s|m|h))+$'}') || duration(self.timeout) < duration(self.interval)",
            "write a timeout shorter than the interval, so that one probe has ended before the next is due",
        ),
    )

    name: Label = Field(description="Unique in this service; appears in conditions and metrics.")
    interval: Annotated[str, duration_field("1s", "24h")] = Field(
        default="30s", description="From the start of one probe to the start of the next."
    )
    timeout: Annotated[str, duration_field("10ms", "5m")] = Field(
        default="5s", description="For the whole probe: name look-up, connection, TLS, request and answer."
    )
    failure_threshold: Annotated[int, Field(ge=1, le=100)] = Field(
        default=3, description="Consecutive failures after which the probe counts as failing."
    )
    success_threshold: Annotated[int, Field(ge=1, le=100)] = Field(
        default=1, description="Consecutive successes after which a failing probe counts as passing again."
    )
    connection: Literal["Fresh", "Keep"] = Field(
        default="Fresh", description="Fresh connects anew each time; Keep reuses an open connection (http only)."
    )
    http: HttpProbe | None = None
    tcp: TcpProbe | None = None
    grpc: GrpcProbe | None = None
    postgres: PostgresProbe | None = None
    redis: RedisProbe | None = None


class Dependency(Model):
    """Another MonitoredService that this one cannot work without."""

    name: Name = Field(description="Name of a MonitoredService in this namespace.")
