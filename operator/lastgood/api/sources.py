"""Where a ServiceLevelObjective's observations come from."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from lastgood.api.base import MAP_BY_NAME, Label, Model, Port, Rule, cel, one_of, percent_field
from lastgood.api.probes import Header, RedisServer, Tls, ValueFrom

_URL = Rule(
    "self.matches('^https?://[^/?#@\\\\s]+([/?#]\\\\S*)?$')",
    'write an absolute URL without user name or password, such as "http://prometheus.monitoring:9090"; '
    "credentials go where a Secret is named",
)
Url = Annotated[str, Field(min_length=1, max_length=2048), cel(_URL)]
Percent = Annotated[str, percent_field()]
_TLS_OF_URL = Rule(
    "!has(self.tls) || self.url.startsWith('https://')",
    'tls is only looked at for https: write a url that begins with "https://" or leave tls out',
)


class Series(Model):
    """One time series or a sum of several: by name and labels when scraped, by a query when Prometheus is asked."""

    rules: ClassVar[Sequence[Rule]] = (
        one_of("metric", "query", what="a metric is scraped, a query is asked of Prometheus"),
        Rule("!has(self.labels) || has(self.metric)", "labels go with metric: write them into the query instead"),
    )

    metric: Annotated[str, Field(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:.]*$", max_length=256)] | None = Field(
        default=None, description='Name of the metric family, such as "http_requests_total".'
    )
    labels: (
        Annotated[
            dict[str, Annotated[str, Field(max_length=256)]],
            Field(max_length=16),
            cel(
                Rule(
                    "self.all(name, name.matches('^[a-zA-Z_][a-zA-Z0-9_.]*$'))",
                    'write the names of labels as they are in the metrics, such as "code"',
                )
            ),
        ]
        | None
    ) = Field(
        default=None, description='RE2 patterns that the whole value of each label must match, such as code: "5..".'
    )
    query: Annotated[str, Field(min_length=1, max_length=4096)] | None = Field(
        default=None, description="PromQL that gives one number; several series are added up."
    )


class ProbeSource(Model):
    """The service's own probes: their outcomes and how long they took."""

    name: Label | None = Field(default=None, description="One probe; left out, all of them.")


class ScrapeSource(Model):
    """The metrics endpoint of every ready pod of the target."""

    rules: ClassVar[Sequence[Rule]] = (
        Rule(
            "!has(self.tls) || self.scheme == 'https'",
            "tls is only looked at for https: write scheme: https or leave tls out",
        ),
    )

    port: Port = Field(description="Port of the pod.")
    path: Annotated[str, Field(max_length=1024, pattern=r"^/\S*$")] = Field(
        default="/metrics", description="Path of the metrics, in the format of Prometheus or OpenMetrics."
    )
    scheme: Literal["http", "https"] = "http"
    bearer_token: ValueFrom | None = Field(default=None, description="Sent as Authorization: Bearer.")
    tls: Tls | None = None


class BasicAuth(Model):
    """User name and password."""

    username: Annotated[str, Field(min_length=1, max_length=256)]
    password: ValueFrom


class PrometheusSource(Model):
    """Any server with the HTTP API of Prometheus: Prometheus, Thanos, Mimir, VictoriaMetrics."""

    rules: ClassVar[Sequence[Rule]] = (
        _TLS_OF_URL,
        Rule("!(has(self.bearerToken) && has(self.basicAuth))", "write either bearerToken or basicAuth"),
    )

    url: Url = Field(description='Base URL, such as "http://prometheus.monitoring:9090".')
    bearer_token: ValueFrom | None = Field(default=None, description="Sent as Authorization: Bearer.")
    basic_auth: BasicAuth | None = Field(default=None, description="Sent as Authorization: Basic.")
    headers: Annotated[list[Header], Field(max_length=16)] = Field(
        default=[], description='Such as "X-Scope-OrgID".', json_schema_extra=MAP_BY_NAME
    )
    tls: Tls | None = None


class ResourcesSource(Model):
    """CPU, memory or disk of the target's pods, as the kubelet tells it."""

    rules: ClassVar[Sequence[Rule]] = (
        Rule("!has(self.volume) || self.resource == 'disk'", "volume goes with resource: disk: leave it out otherwise"),
    )

    resource: Literal["cpu", "memory", "disk", "nodeDisk"] = Field(
        description="cpu and memory: used share of what `of` names, the worst pod. disk: FREE share of the pods' "
        "volumes, the fullest one. nodeDisk: the same of the nodes' file systems."
    )
    of: Literal["Limit", "Request", "Node"] = Field(
        default="Limit", description="What cpu and memory are compared with."
    )
    volume: Label | None = Field(default=None, description="One volume of the pods; left out, all claims.")


class Connections(Model):
    """Connections in use as a share of those that there can be."""

    pool: Annotated[str, Field(max_length=63)] | None = Field(
        default=None, description="The DSN leads to pgbouncer's admin console: the pool of this database."
    )


class Sql(Model):
    """One SQL statement, run in a read-only transaction."""

    sql: Annotated[str, Field(min_length=1, max_length=8192)]


class PostgresSource(Model):
    """A PostgreSQL server, or pgbouncer before one."""

    rules: ClassVar[Sequence[Rule]] = (
        one_of("connections", "latency", "integrity", what="a source measures one thing"),
    )

    dsn: ValueFrom = Field(description="Connection string.")
    connections: Connections | None = None
    latency: Sql | None = Field(default=None, description="How long this query takes.")
    integrity: Sql | None = Field(
        default=None, description="Gives one true, or no row at all, while data is sound; anything else is a violation."
    )


class RedisSource(RedisServer):
    """A Redis server."""

    measure: Literal["memory", "clients", "latency"] = Field(
        description="memory: used share of maxmemory; clients: of maxclients; latency: of PING."
    )


class JsonSource(Model):
    """A number in a JSON answer: what an application reports of itself."""

    rules: ClassVar[Sequence[Rule]] = (_TLS_OF_URL,)

    url: Url = Field(description='Absolute URL, such as "http://agent:8000/report".')
    path: Annotated[str, Field(min_length=1, max_length=512)] = Field(
        description='JSONPath (RFC 9535) of a number, or of a text such as "97.5%".'
    )
    of: Annotated[str, Field(min_length=1, max_length=512)] | None = Field(
        default=None,
        description="JSONPath of what that is a part of: the value is then the share, such as of tasks that were begun "
        "those that were completed. While that is 0 there is none.",
    )
    headers: Annotated[list[Header], Field(max_length=16)] = Field(default=[], json_schema_extra=MAP_BY_NAME)
    tls: Tls | None = None


class Source(Model):
    """Where observations come from."""

    rules: ClassVar[Sequence[Rule]] = (
        one_of(
            "probe",
            "scrape",
            "prometheus",
            "resources",
            "postgres",
            "redis",
            "http",
            what="an objective has one source",
        ),
    )

    probe: ProbeSource | None = None
    scrape: ScrapeSource | None = None
    prometheus: PrometheusSource | None = None
    resources: ResourcesSource | None = None
    postgres: PostgresSource | None = None
    redis: RedisSource | None = None
    http: JsonSource | None = None
