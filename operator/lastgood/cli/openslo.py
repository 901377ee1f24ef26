"""OpenSLO v1 documents into ServiceLevelObjectives, and what could not be carried over.

OpenSLO counts good events, Lastgood bad ones: a target of 0.99 becomes ``below: 1%`` and a budget of 99%.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from lastgood.api import API_VERSION
from lastgood.api.validation import validate

VERSION = "openslo/v1"
_KINDS = ("SLO", "SLI", "DataSource", "Service", "AlertPolicy", "AlertCondition", "AlertNotificationTarget")
_ADDRESSES = ("url", "baseURL", "baseUrl", "address", "server", "endpoint", "host")
"""Where documents have the address of Prometheus: OpenSLO leaves the names in ``connectionDetails`` open."""

_PERIODS = {"7d": "7d", "1w": "7d", "28d": "28d", "4w": "28d", "30d": "30d"}
_RATES = {"14.4": {"1h", "60m"}, "6": {"6h"}, "3": {"1d", "24h"}, "1": {"3d", "72h"}}
"""Burn rates that ``burnAlerts`` alerts on, and their long windows over 30 days."""

_INTERVAL = "1m"
_STEP = "15s"
_LONGEST = 1024

Json = dict[str, Any]


class _Left(Exception):
    """The whole document cannot be carried over; the text says why."""


@dataclass(slots=True)
class Import:
    """What came in, what comes out, what stays behind."""

    prometheus: str = ""
    """Address for sources that name none."""
    found: dict[tuple[str, str], Json] = field(default_factory=dict)
    """Documents by kind and name."""
    made: list[Json] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    used: set[tuple[str, str]] = field(default_factory=set)

    def read(self, document: Any, place: str) -> None:
        """Take one document in."""
        body = _object(document)
        kind, version, name = body.get("kind"), body.get("apiVersion"), _name(body)
        if version != VERSION or kind not in _KINDS:
            self.left.append(f"{place}: {kind}/{name}: no kind of {VERSION} (apiVersion {version}): left out")
        elif not name:
            self.left.append(f"{place}: {kind}: no metadata.name: left out")
        elif (str(kind), name) in self.found:
            self.left.append(f"{place}: {kind}/{name}: there already: left out")
        else:
            self.found[str(kind), name] = body

    def carry(self) -> None:
        """Make objectives of all that was read."""
        for (kind, name), body in self.found.items():
            if kind != "SLO":
                continue
            try:
                made = list(self._objectives(f"SLO/{name}", body))
            except _Left as why:
                self.left.append(f"SLO/{name}: {why}: left out")
                continue
            for manifest in made:
                problems = validate(manifest)
                self.left += [f"SLO/{name}: {problem}: left out" for problem in problems]
                if not problems:
                    self.made.append(manifest)
        for kind, name in self.found:
            if kind in {"SLI", "DataSource", "AlertPolicy", "AlertCondition"} and (kind, name) not in self.used:
                self.left.append(f"{kind}/{name}: no SLO that was carried over names it: left out")
            if kind == "AlertNotificationTarget":
                self.left.append(f"{kind}/{name}: Lastgood routes alerts elsewhere: left out")

    def _objectives(self, who: str, body: Json) -> Iterator[Json]:
        spec = _object(body.get("spec"))
        objectives = [_object(o) for o in _list(spec.get("objectives"))]
        if not objectives:
            msg = "it has no objectives"
            raise _Left(msg)
        if any(key in o for o in objectives for key in ("indicator", "indicatorRef", "compositeWeight")):
            msg = "a composite SLO: import each of its parts by itself"
            raise _Left(msg)
        indicator = self._indicator(spec)
        if spec.get("budgetingMethod", "Occurrences") != "Occurrences" and "ratioMetric" in indicator:
            self.left.append(
                f"{who}: budgetingMethod {spec['budgetingMethod']}: good events are counted, not time slices"
            )
        self._alert_details(who, spec)
        for number, objective in enumerate(objectives, 1):
            suffix = f"-{number}" if len(objectives) > 1 else ""
            yield self._objective(who, body, indicator, objective, suffix)

    def _indicator(self, spec: Json) -> Json:
        inline, reference = spec.get("indicator"), spec.get("indicatorRef")
        if reference and ("SLI", str(reference)) not in self.found:
            msg = f'indicatorRef "{reference}" names no SLI that was read'
            raise _Left(msg)
        if reference:
            self.used.add(("SLI", str(reference)))
        return _object(_object(self.found["SLI", str(reference)] if reference else inline).get("spec"))

    def _objective(self, who: str, body: Json, indicator: Json, objective: Json, suffix: str) -> Json:
        good = _good_percent(objective)
        target: Json
        if "ratioMetric" in indicator:
            ratio = _object(indicator["ratioMetric"])
            target = {"below": f"{_plain(100 - good)}%"}
            if "raw" in ratio:
                url, query = self._query(ratio["raw"])
                made: Json = {"value": {"series": {"query": query}}}
                target = {"above": f"{_plain(good)}%"} if ratio.get("rawType") == "success" else target
            else:
                url, made = self._ratio(ratio)
        elif "thresholdMetric" in indicator:
            url, query = self._query(indicator["thresholdMetric"])
            made = {"value": {"series": {"query": query}}}
            side = {"lte": "below", "lt": "below", "gte": "above", "gt": "above"}.get(str(objective.get("op")))
            if side is None:
                msg = "an objective on a threshold has op lte, lt, gte or gt"
                raise _Left(msg)
            if objective["op"] in {"lt", "gt"}:
                self.left.append(f"{who}: op {objective['op']}: the target is met at the very number, too")
            target = {side: _plain(_number(objective.get("value"), "value"))}
        else:
            msg = "its indicator has neither ratioMetric nor thresholdMetric"
            raise _Left(msg)
        spec: Json = {
            "description": _described(body, objective),
            "source": {"prometheus": {"url": url}},
            "indicator": made,
            "interval": _INTERVAL,
            "window": _INTERVAL,
            "target": target,
        }
        budget = self._budget(who, _object(body["spec"]), good)
        if budget and "ratio" in made:
            spec["budget"] = budget
        elif budget:
            self.left.append(f"{who}: a budget of {_plain(good)}%: a single number has a target, a ratio has a budget")
        if not spec["description"]:
            del spec["description"]
        metadata: Json = {"name": _name(body) + suffix}
        if service := _object(body["spec"]).get("service"):
            metadata["labels"] = {"app.kubernetes.io/part-of": str(service)}
        return {"apiVersion": API_VERSION, "kind": "ServiceLevelObjective", "metadata": metadata, "spec": spec}

    def _ratio(self, ratio: Json) -> tuple[str, Json]:
        made: Json = {}
        urls = set()
        for side in ("bad", "good", "total"):
            if side in ratio:
                url, query = self._query(ratio[side])
                urls.add(url)
                # What is a rate or an increase already counts no further.
                if ratio.get("counter") and not re.search(r"\b(i?rate|i?delta|increase)\s*\(", query):
                    query = f"sum(increase(({query})[{_INTERVAL}:{_STEP}]))"
                made[side] = {"query": query}
        if len(urls) != 1:
            msg = "a ratio has total, and bad or good, of one Prometheus"
            raise _Left(msg)
        return urls.pop(), {"ratio": made}

    def _query(self, metric: Any) -> tuple[str, str]:
        """Address and query of a metric source of type Prometheus."""
        source = _object(_object(metric).get("metricSource"))
        reference = str(source.get("metricSourceRef") or "")
        known = _object(_object(self.found.get(("DataSource", reference))).get("spec"))
        if known:
            self.used.add(("DataSource", reference))
        kind = str(source.get("type") or known.get("type") or "")
        if kind.lower() != "prometheus":
            unread = f'metricSourceRef "{reference}" names no DataSource that was read'
            raise _Left(f"data source of type {kind}: only Prometheus is asked" if kind or not reference else unread)
        query = _object(source.get("spec")).get("query") or _object(source.get("spec")).get("promql")
        if not isinstance(query, str) or not query.strip():
            msg = "a metric source of type Prometheus has spec.query"
            raise _Left(msg)
        details = _object(known.get("connectionDetails"))
        places = ({**details, **_object(source.get("spec"))}.get(name) for name in _ADDRESSES)
        url = next((str(place) for place in places if place), self.prometheus)
        if not url:
            msg = "no address of Prometheus: give its DataSource, or --prometheus-url"
            raise _Left(msg)
        others = [name for name in details if name not in _ADDRESSES]
        self._say_once(
            [f"DataSource/{reference}: {name}: goes into a Secret that source.prometheus names" for name in others]
        )
        return url.rstrip("/"), query.strip()

    def _budget(self, who: str, spec: Json, good: Decimal) -> Json | None:
        windows = [_object(w) for w in _list(spec.get("timeWindow"))]
        period = "30d"
        for window in windows[:1]:
            length = str(window.get("duration"))
            calendar = "calendar" in window or window.get("isRolling") is False
            period = "30d" if calendar else _PERIODS.get(length, "30d")
            if calendar:
                self._say_once([f"{who}: a calendar window of {length}: the budget's period is the last 30 days"])
            elif length not in _PERIODS:
                self._say_once([f"{who}: a window of {length}: the budget's period is 7d, 28d or 30d, here 30d"])
        if good in {0, 100}:
            self.left.append(f"{who}: a target of {good}% leaves no budget to spend")
            return None
        alerts = any(True for _ in self._conditions(spec))
        return {"objective": f"{_plain(good)}%", "period": period, "burnAlerts": alerts}

    def _conditions(self, spec: Json) -> Iterator[Json]:
        for policy in self._resolved(spec.get("alertPolicies"), "AlertPolicy", "alertPolicyRef"):
            conditions = _object(policy.get("spec")).get("conditions")
            for condition in self._resolved(conditions, "AlertCondition", "conditionRef"):
                yield _object(condition.get("spec"))

    def _resolved(self, items: Any, kind: str, reference: str) -> Iterator[Json]:
        """Inline documents as they are, references (a name alone, too) by what was read."""
        for item in _list(items):
            name = item if isinstance(item, str) else _object(item).get(reference)
            if name is None:
                yield _object(item)
            elif (kind, str(name)) in self.found:
                self.used.add((kind, str(name)))
                yield self.found[kind, str(name)]
            else:
                self._say_once([f'{kind} "{name}" was not read: its alerts are left out'])

    def _alert_details(self, who: str, spec: Json) -> None:
        for policy in self._resolved(spec.get("alertPolicies"), "AlertPolicy", "alertPolicyRef"):
            inner = _object(policy.get("spec"))
            where = f"{who}: AlertPolicy/{_name(policy)}"
            if inner.get("alertWhenNoData"):
                self.left.append(f"{where}: alertWhenNoData: what is not known is Unknown here and alerts nobody")
            if inner.get("notificationTargets"):
                self.left.append(f"{where}: notificationTargets: Lastgood routes alerts elsewhere")
        for condition in self._conditions(spec):
            asked = _object(condition.get("condition"))
            rate = _plain(Decimal(str(asked.get("threshold", 0)))) if _is_number(asked.get("threshold")) else "?"
            window = str(asked.get("lookbackWindow"))
            if asked.get("kind") != "burnrate" or window not in _RATES.get(rate, set()):
                self.left.append(
                    f"{who}: alert on {asked.get('kind')} {rate} over {window}: "
                    "burnAlerts come at 14.4 over 1h, 6 over 6h, 3 over 1d and 1 over 3d"
                )
            if str(asked.get("alertAfter", "0m")) not in {"0m", "0s", "0", "None"}:
                self.left.append(
                    f"{who}: alertAfter {asked['alertAfter']}: a short window guards each burn rate instead"
                )

    def _say_once(self, lines: Sequence[str]) -> None:
        self.left += [line for line in lines if line not in self.left]


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _name(body: Json) -> str:
    return str(_object(body.get("metadata")).get("name") or "")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Any, what: str) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal("NaN")
    if isinstance(value, bool) or not number.is_finite():
        msg = f"an objective has a number as {what}"
        raise _Left(msg)
    return number


def _plain(number: Decimal) -> str:
    """Without exponent and trailing zeros."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _good_percent(objective: Mapping[str, Any]) -> Decimal:
    if "targetPercent" in objective:
        return _number(objective["targetPercent"], "targetPercent")
    return 100 * _number(objective.get("target"), "target")


def _described(body: Json, objective: Json) -> str:
    spec = _object(body.get("spec"))
    title = _object(body.get("metadata")).get("displayName")
    parts = [str(part).strip() for part in (title, objective.get("displayName"), spec.get("description")) if part]
    return ". ".join(part.rstrip(".") for part in parts)[:_LONGEST]
