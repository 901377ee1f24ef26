"""ServiceLevelObjectives that between them have every field that a rule stands on, and cases for their rules."""

import copy
from typing import Any

from lastgood.api import API_VERSION

Object = dict[str, Any]
Cases = tuple[list[Any], list[Any]]

_FROM = {"secretKeyRef": {"name": "a", "key": "k"}}
_CA = {"secretKeyRef": {"name": "ca", "key": "ca.crt"}}
_CA_MAP = {"configMapKeyRef": {"name": "ca", "key": "ca.crt"}}
_HEADER = {"name": "X-Scope-OrgID", "valueFrom": _FROM}
_METRIC = {"metric": "http_requests_total", "labels": {"code": "5.."}}
_ALL = {"metric": "http_requests_total"}
_QUERY = {"query": 'sum(rate(http_requests_total{code="500"}[1m]))'}
_SQL = {"sql": "SELECT true"}
_PROMETHEUS = {"url": "https://prometheus:9090"}
_EVERY = {"query": "sum(rate(http_requests_total[1m]))"}
_RATIO = {"ratio": {"bad": _METRIC, "total": _ALL}}
_ASKED = {"ratio": {"good": _QUERY, "total": _EVERY}}


def alert(severity: str, threshold: str, for_: str = "0s", **more: Any) -> Object:
    return {"severity": severity, "threshold": threshold, "for": for_, **more}


def spec(source: Object, indicator: Object, target: Object | None = None, **more: Any) -> Object:
    return {"source": source, "indicator": indicator, "target": target or {"below": "80%"}, **more}


def objective(body: Object) -> Object:
    return copy.deepcopy(
        {"apiVersion": API_VERSION, "kind": "ServiceLevelObjective", "metadata": {"name": "slo"}, "spec": body}
    )


_TIMES = {"interval": "1s", "timeout": "500ms", "window": "24h", "unknownAfter": "72h"}


def _scrape(tls: Object) -> Object:
    return {"scrape": {"port": 9090, "scheme": "https", "bearerToken": _FROM, "tls": tls}}


SPECS: dict[str, Object] = {
    "probe latency": spec(
        {"probe": {"name": "health"}},
        {"quantile": {"of": "95%"}},
        {"below": "2s"},
        alerts=[alert("critical", "5s", "1m", minSamples=3, minRate="0.5")],
        budget={"objective": "99.9%"},
        **_TIMES,
    ),
    "probe failures": spec({"probe": {}}, {"ratio": {}}, {"below": "1%"}),
    "scraped ratio": spec(_scrape({"ca": _CA, "serverName": "a"}), _RATIO, {"below": "1%"}),
    "scraped good ratio": spec(
        _scrape({"ca": _CA_MAP}),
        {"ratio": {"good": _METRIC, "total": {**_ALL, "labels": {"job": "a"}}}},
        {"below": "1%"},
    ),
    "scraped quantile": spec(_scrape({}), {"quantile": {"of": "95%", "series": _METRIC}}, {"below": "2s"}),
    "scraped average": spec(_scrape({}), {"average": {"series": _METRIC}}, {"below": "2s"}),
    "scraped value": spec(_scrape({}), {"value": {"series": _METRIC}}, {"above": "2Gi"}),
    "query": spec(
        {"prometheus": {**_PROMETHEUS, "bearerToken": _FROM, "headers": [_HEADER], "tls": {"ca": _CA}}},
        {"value": {"series": _QUERY}},
        {"above": "10"},
    ),
    "queries": spec(
        {
            "prometheus": {
                **_PROMETHEUS,
                "basicAuth": {"username": "u", "password": _FROM},
                "tls": {"ca": _CA_MAP, "serverName": "a"},
            }
        },
        {"ratio": {"bad": _QUERY, "total": _EVERY}},
        {"below": "1%"},
    ),
    "good queries": spec({"prometheus": _PROMETHEUS}, _ASKED, {"below": "1%"}),
    "cpu": spec({"resources": {"resource": "cpu"}}, {"average": {}}),
    "disk": spec({"resources": {"resource": "disk", "volume": "data"}}, {"value": {}}, {"above": "20%"}),
    "connections": spec({"postgres": {"dsn": _FROM, "connections": {"pool": "shop"}}}, {"value": {}}),
    "query time": spec({"postgres": {"dsn": _FROM, "latency": _SQL}}, {"quantile": {"of": "95%"}}, {"below": "1s"}),
    "integrity": spec({"postgres": {"dsn": _FROM, "integrity": _SQL}}, {"value": {}}, {"below": "0"}),
    "redis memory": spec({"redis": {"address": "redis:6379", "measure": "memory"}}, {"value": {}}),
    "redis latency": spec({"redis": {"url": _FROM, "measure": "latency"}}, {"average": {}}, {"below": "10ms"}),
    "report": spec(
        {"http": {"url": "https://agent:8000", "path": "$.score", "headers": [_HEADER], "tls": {"ca": _CA}}},
        {"value": {}},
        {"above": "95%"},
    ),
    "report by ConfigMap": spec(
        {"http": {"url": "https://agent:8000", "path": "$.score", "tls": {"ca": _CA_MAP, "serverName": "a"}}},
        {"average": {}},
        {"above": "95%"},
    ),
}


def but(name: str, **changes: Any) -> Object:
    """One of the specs with some of its fields others."""
    return {**copy.deepcopy(SPECS[name]), **changes}


def _alerts(*alerts: Object, below: str | None = None, above: str | None = None) -> Object:
    target = {k: v for k, v in (("below", below), ("above", above)) if v}
    return but("query", target=target, alerts=list(alerts))


_VALUE, _AVERAGE, _P95 = {"value": {}}, {"average": {}}, {"quantile": {"of": "95%"}}

WHOLE: dict[str, Cases] = {
    "a scraped indicator names its series: write series (or bad and total) with metric": (
        [SPECS["scraped ratio"], SPECS["scraped value"]],
        [but("scraped value", indicator=i) for i in (_VALUE, _AVERAGE, _P95)]
        + [but("scraped ratio", indicator={"ratio": {}})],
    ),
    "a scraped series is named, not queried: write metric and labels, or source.prometheus": (
        [SPECS["scraped quantile"], SPECS["scraped average"]],
        [
            but("scraped value", indicator={"value": {"series": _QUERY}}),
            but("scraped value", indicator={"quantile": {"of": "95%", "series": _QUERY}}),
            but("scraped ratio", indicator={"ratio": {"good": _METRIC, "total": _QUERY}}),
            but("scraped ratio", indicator={"ratio": {"bad": _QUERY, "total": _METRIC}}),
        ],
    ),
    "a query gives a number: write indicator.value, or indicator.ratio with two queries; histogram_quantile belongs into "
    "the query": (
        [SPECS["query"], SPECS["queries"]],
        [but("query", indicator={"quantile": {"of": "95%", "series": _QUERY}}), but("query", indicator=_AVERAGE)],
    ),
    "an indicator from Prometheus names its queries: write series.query, or bad.query and total.query": (
        [SPECS["query"], SPECS["queries"]],
        [but("query", indicator=_VALUE), but("queries", indicator={"ratio": {}})],
    ),
    "Prometheus is asked by query: write query in place of metric and labels, or source.scrape": (
        [SPECS["query"], SPECS["queries"]],
        [
            but("query", indicator={"value": {"series": _METRIC}}),
            but("queries", indicator={"ratio": {"bad": _QUERY, "total": _METRIC}}),
        ],
    ),
    "this source knows itself what it measures: leave series, bad, good and total out": (
        [SPECS["cpu"], SPECS["probe failures"]],
        [
            but("cpu", indicator={"average": {"series": _METRIC}}),
            but("probe failures", indicator=_RATIO),
            but("report", indicator={"value": {"series": _QUERY}}),
        ],
    ),
    "probes tell how long they took and whether they failed: write indicator.quantile or indicator.average for the one, "
    "indicator.ratio for the other": (
        [SPECS["probe latency"], SPECS["probe failures"], but("probe latency", indicator=_AVERAGE)],
        [but("probe latency", indicator=_VALUE, budget=None)],
    ),
    "a latency is put together over the window: write indicator.quantile or indicator.average": (
        [SPECS["query time"], SPECS["redis latency"]],
        [but("query time", indicator=_VALUE), but("redis latency", indicator=_VALUE)],
    ),
    "this source tells one number at a time: write indicator.value or indicator.average": (
        [SPECS["cpu"], SPECS["report"], SPECS["connections"], SPECS["redis memory"]],
        [but(name, indicator=_P95) for name in ("cpu", "report", "connections", "redis memory", "disk")]
        + [but("cpu", indicator={"ratio": {}})],
    ),
    'an integrity query tells 0 while data is sound and 1 when not: write indicator.value and target.below: "0"': (
        [SPECS["integrity"]],
        [
            but("integrity", indicator=_AVERAGE),
            but("integrity", target={"above": "0"}),
            but("integrity", target={"below": "1%"}),
            but("integrity", alerts=[alert("critical", "1s")]),
        ],
    ),
    'a latency stays below a time: write target.below and thresholds such as "500ms" or "2s"': (
        [SPECS["probe latency"], SPECS["query time"], but("redis latency", target={"below": "0.5s"})],
        [
            but("probe latency", target={"below": "95%"}),
            but("redis latency", target={"above": "2s"}),
            but("query time", target={"below": "1"}),
            but("query time", alerts=[alert("critical", "3")]),
            but("redis latency", target={"below": "1Mi"}),
        ],
    ),
    'a ratio is the share of bad events: write target.below and thresholds such as "1%" (for 99% good ones)': (
        [SPECS["probe failures"], SPECS["queries"], but("queries", target={"below": "100%"})],
        [
            but("probe failures", target={"above": "99%"}),
            but("queries", target={"below": "0.01"}),
            but("queries", target={"below": "101%"}),
            but("scraped ratio", alerts=[alert("critical", "5")]),
        ],
    ),
    'this source tells a share: write target and thresholds such as "80%"': (
        [
            SPECS["cpu"],
            SPECS["disk"],
            SPECS["connections"],
            SPECS["redis memory"],
            but("cpu", target={"below": "150%"}),
        ],
        [
            but("cpu", target={"below": "0.8"}),
            but("cpu", alerts=[alert("critical", "90")]),
            but("disk", target={"above": "20Gi"}),
            but("connections", target={"below": "80"}),
            but("redis memory", target={"below": "1Gi"}),
        ],
    ),
    'this source tells how much is in use: write target.below, such as "80%"': (
        [SPECS["cpu"], SPECS["disk"]],
        [but(name, target={"above": "20%"}) for name in ("cpu", "connections", "redis memory")],
    ),
    'disk and nodeDisk tell how much is FREE: write target.above, such as "20%"': (
        [SPECS["disk"], SPECS["cpu"]],
        [
            but("disk", target={"below": "80%"}),
            but("disk", source={"resources": {"resource": "nodeDisk"}}, target={"below": "80%"}),
        ],
    ),
    "target and thresholds are of one kind: write all of them as percentages, times, sizes or plain numbers": (
        [
            SPECS["query"],
            _alerts(alert("critical", "5s"), below="500ms"),
            _alerts(alert("critical", "5Gi"), below="500Mi"),
            _alerts(alert("critical", "5%"), below="1.5%"),
        ],
        [
            _alerts(alert("critical", "5"), below="500ms"),
            _alerts(alert("critical", "5%"), below="1"),
            _alerts(alert("critical", "5Mi"), below="1m"),
        ],
    ),
    "an alert lies beyond the target: with target.below, write thresholds that are not below it": (
        [_alerts(alert("critical", t), below="1.5s") for t in ("1.5s", "1500ms", "2s", "1m", "1h")],
        [
            _alerts(alert("critical", "1400ms"), below="1.5s"),
            _alerts(alert("critical", "3s"), below="1m"),
            but("cpu", alerts=[alert("warning", "70%")]),
            _alerts(alert("critical", "1000Ki"), below="1Mi"),
        ],
    ),
    "an alert lies beyond the target: with target.above, write thresholds that are not above it": (
        [SPECS["disk"], but("disk", alerts=[alert("warning", "20%"), alert("critical", "10%")])],
        [but("disk", alerts=[alert("critical", "21%")]), _alerts(alert("critical", "2Mi"), above="2047Ki")],
    ),
    "a severer alert comes later than a milder one: write a threshold farther from the target, or a longer for": (
        [
            _alerts(alert("critical", "9"), alert("warning", "8"), below="7"),
            _alerts(alert("emergency", "8", "1h"), alert("warning", "8", "5m"), below="7"),
            _alerts(alert("emergency", "7", "1h"), alert("info", "8"), below="7"),
            _alerts(alert("critical", "1"), alert("warning", "2"), above="7"),
        ],
        [
            _alerts(alert("critical", "8"), alert("warning", "9"), below="7"),
            _alerts(alert("critical", "8", "5m"), alert("warning", "8", "5m"), below="7"),
            _alerts(alert("emergency", "3"), alert("info", "2", "5m"), above="7"),
            _alerts(alert("critical", "2s"), alert("warning", "3000ms"), below="1s"),
        ],
    ),
    "percentages of several pods do not add up: write indicator.value.across as Average, Max or Min": (
        [
            SPECS["scraped value"],
            SPECS["report"],
            but("scraped value", indicator={"value": {"series": _METRIC, "across": "Max"}}, target={"below": "80%"}),
        ],
        [but("scraped value", target={side: "80%"}) for side in ("below", "above")],
    ),
    "a budget counts good events or minutes: write indicator.ratio, quantile or average, or leave budget out": (
        [SPECS["probe latency"], but("cpu", budget={"objective": "99%"})],
        [but("report", budget={"objective": "99%"})],
    ),
    "write a timeout shorter than the interval, so that one sample has ended before the next is due": (
        [but("cpu", interval="6s"), but("cpu", interval="1s", timeout="999ms")],
        [but("cpu", interval="5s"), but("cpu", timeout="1m")],
    ),
    "write a window at least as long as the interval, so that every window has a sample": (
        [but("disk", interval="1h", window="60m"), but("cpu", interval="1m")],
        [but("disk", interval="1h"), but("cpu", interval="61s")],
    ),
    "write unknownAfter longer than the interval, so that one sample is due before the last is forgotten": (
        [but("cpu", unknownAfter="11s"), SPECS["probe latency"]],
        [but("cpu", unknownAfter="10s"), but("cpu", unknownAfter="1s")],
    ),
}
"""Sentence of a rule over the whole spec to specs that it takes and refuses."""

_ONE_SERIES = "write exactly one of metric or query: a metric is scraped, a query is asked of Prometheus"
_LABELS = "labels go with metric: write them into the query instead"
_TLS = "write either ca or insecureSkipVerify: with verification off, the CA is never looked at"
_CAS = "write exactly one of secretKeyRef or configMapKeyRef: a CA bundle has one source"
_URL_TLS = 'tls is only looked at for https: write a url that begins with "https://" or leave tls out'
_HTTPS = {"scrape": {"port": 1, "scheme": "https", "tls": {}}}
_SERIES = ("quantile.series", "average.series", "value.series", "ratio.bad", "ratio.good", "ratio.total")
_BASIC = {"username": "u", "password": _FROM}

# A value that the place takes while the rest of its manifest may have a word of its own: see test_rules.
PARTS: dict[tuple[str, str], Cases] = {
    (
        "spec.source",
        "write exactly one of probe, scrape, prometheus, resources, postgres, redis or http: an objective has one source",
    ): ([{"probe": {}}], [{}, {"probe": {}, "resources": {"resource": "cpu"}}]),
    ("spec.source.scrape", "tls is only looked at for https: write scheme: https or leave tls out"): (
        [{"port": 1}, _HTTPS["scrape"]],
        [{"port": 1, "tls": {}}, {"port": 1, "scheme": "http", "tls": {}}],
    ),
    ("spec.source.prometheus", _URL_TLS): (
        [_PROMETHEUS, {"url": "http://a"}, {**_PROMETHEUS, "tls": {}}],
        [{"url": "http://a", "tls": {}}],
    ),
    ("spec.source.prometheus", "write either bearerToken or basicAuth"): (
        [{**_PROMETHEUS, "bearerToken": _FROM}, {**_PROMETHEUS, "basicAuth": _BASIC}],
        [{**_PROMETHEUS, "bearerToken": _FROM, "basicAuth": _BASIC}],
    ),
    ("spec.source.http", _URL_TLS): (
        [{"url": "https://a", "path": "$", "tls": {}}, {"url": "http://a", "path": "$"}],
        [{"url": "http://a", "path": "$", "tls": {}}],
    ),
    **{
        (f"spec.source.{source}.headers[]", "write exactly one of value or valueFrom: a header has one value"): (
            [{"name": "A", "value": "x"}, {"name": "A", "valueFrom": _FROM}],
            [{"name": "A"}, {"name": "A", "value": "x", "valueFrom": _FROM}],
        )
        for source in ("prometheus", "http")
    },
    **{
        (f"spec.source.{source}.tls", _TLS): (
            [{"ca": _CA}, {"insecureSkipVerify": True}],
            [{"ca": _CA, "insecureSkipVerify": True}],
        )
        for source in ("scrape", "prometheus", "http")
    },
    **{
        (f"spec.source.{source}.tls.ca", _CAS): ([_CA, _CA_MAP], [{}, {**_CA, **_CA_MAP}])
        for source in ("scrape", "prometheus", "http")
    },
    ("spec.source.resources", "volume goes with resource: disk: leave it out otherwise"): (
        [{"resource": "cpu"}, {"resource": "memory"}],
        [{"resource": "cpu", "volume": "data"}, {"resource": "memory", "volume": "data"}],
    ),
    ("spec.source.postgres", "write exactly one of connections, latency or integrity: a source measures one thing"): (
        [{"dsn": _FROM, "connections": {}}],
        [{"dsn": _FROM}, {"dsn": _FROM, "connections": {}, "integrity": _SQL}],
    ),
    (
        "spec.source.redis",
        "write exactly one of address or url: a plain address, or a Secret with a redis:// or rediss:// URL",
    ): (
        [{"address": "a:1", "measure": "memory"}, {"url": _FROM, "measure": "clients"}],
        [{"measure": "memory"}, {"address": "a:1", "url": _FROM, "measure": "memory"}],
    ),
    ("spec.indicator", "write exactly one of quantile, average, ratio or value: an objective has one"): (
        [{"quantile": {"of": "99%"}}, {"average": {}}],
        [{}, {"quantile": {"of": "95%"}, "average": {}}],
    ),
    ("spec.indicator.ratio", "write either bad or good: the other follows from total"): (
        [_RATIO["ratio"]],
        [{"bad": _METRIC, "good": _METRIC, "total": _ALL}],
    ),
    ("spec.indicator.ratio", "a ratio of series has a total, and bad or good: write both"): (
        [_RATIO["ratio"]],
        [{"total": _METRIC}, {"bad": _METRIC}, {"good": _METRIC}],
    ),
    (
        "spec.indicator.ratio",
        'bad or good is a part of total: write labels or a query that choose it, such as code: "5.."',
    ): (
        [_RATIO["ratio"], {"good": _METRIC, "total": {**_METRIC, "labels": {"code": "..."}}}],
        [
            {"bad": _METRIC, "total": _METRIC},
            {"good": _ALL, "total": _ALL},
            {"bad": _QUERY, "total": _QUERY},
        ],
    ),
    ("spec.target", "write exactly one of below or above: a target has one side"): (
        [{"below": "2s"}],
        [{}, {"below": "1s", "above": "1s"}],
    ),
    **{(f"spec.indicator.{place}", _ONE_SERIES): ([_METRIC], [{}, {**_METRIC, **_QUERY}]) for place in _SERIES},
    **{(f"spec.indicator.{place}", _LABELS): ([_METRIC], [{**_QUERY, "labels": {"a": "b"}}]) for place in _SERIES},
}
"""Path and sentence to objects that the place takes and refuses."""

_PERCENT = 'write a percentage up to 100%, such as "99.9%"'
_NUMBERS = ["95%", "500ms", "2Gi", "3", "0.5"]

VALUES: dict[str, Cases] = {
    'write an absolute URL without user name or password, such as "http://prometheus.monitoring:9090"; '
    "credentials go where a Secret is named": (
        ["https://a", "https://a:1/x?y=z", "https://[fd00::7]:1/"],
        ["a", "ftp://a", "https://u:p@a/", "https://", "https://a b"],
    ),
    'write a number with or without a unit, such as "95%", "500ms", "2Gi" or "3"': (
        _NUMBERS,
        ["", "5 s", "-1", "1e3", ".5", "1.", "2GB", "5sec", "%", "1h30m"],
    ),
    'write a number without a unit, such as "0.5" or "3"': (["0.5", "3"], ["5%", "1s", "", "-1"]),
    _PERCENT: (["95%", "99.9%", "0.5%"], ["95", "101%", "0.95", "", "1000%", "99,9%"]),
    'write a percentage, such as "50%"': (["50%", "200%", "0.5%"], ["50", "0.5", "", "%", "-5%"]),
    'write less than 100%, such as "99.9%": of 100% nothing is left to spend': (["99.9%", "10%"], ["100%", "100.0%"]),
    'write the names of labels as they are in the metrics, such as "code"': (
        [{"code": "5.."}, {"le": "1", "http.status": "5.."}, {"for": "a"}],
        [{"a-b": "x"}, {"1a": "x"}, {"code": "x", "": "y"}],
    ),
}
"""Sentence to values that a field takes and refuses, wherever the rule stands."""
