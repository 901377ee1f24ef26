"""Rules over a whole ServiceLevelObjective: which source tells what, in which unit, and how far apart things lie."""

from collections.abc import Sequence

from lastgood.api.base import AMOUNT, DURATION, Rule, amount_in_cel, unit_in_cel

_SERIES = ("quantile.series", "average.series", "value.series", "ratio.bad", "ratio.good", "ratio.total")
_TIME = r"^[0-9]+([.][0-9]+)?(ms|s|m|h)$"
_PERCENT = r"^[0-9]+([.][0-9]+)?%$"
_PART = r"^([0-9]{1,2}([.][0-9]+)?|100([.]0+)?)%$"
_PLAIN = r"^[0-9]+([.][0-9]+)?$"


def _has(path: str) -> str:
    """Whether a place below self is there, asking for each part of the way."""
    parts = path.split(".")
    return " && ".join(f"has(self.{'.'.join(parts[: n + 1])})" for n in range(1, len(parts)))


def _no_series(tail: str = "") -> str:
    """No series of the indicator has this."""
    return " && ".join(f"!({_has(f'indicator.{place}{tail}')})" for place in _SERIES)


def _source(name: str) -> str:
    return f"({_has(f'source.{name}')})"


def _made(*names: str) -> str:
    return "(" + " || ".join(f"has(self.indicator.{name})" for name in names) + ")"


# A text that is no amount has had its own sentence already: say one thing at a time.
_AMOUNTS = (
    "((has(self.target.below) ? [self.target.below] : []) + (has(self.target.above) ? [self.target.above] : []) + "
    f"(has(self.alerts) ? self.alerts.map(a, a.threshold) : [])).filter(t, t.matches('{AMOUNT}'))"
)
_REDIS_LATENCY = "(has(self.source.redis) && self.source.redis.measure == 'latency')"
_REDIS_SHARE = "(has(self.source.redis) && self.source.redis.measure != 'latency')"
_TIMED = (
    f"((has(self.source.probe) && {_made('quantile', 'average')}) || {_source('postgres.latency')} || {_REDIS_LATENCY})"
)
_USED = f"(has(self.source.resources) || {_source('postgres.connections')} || {_REDIS_SHARE})"
_COUNTED = _source("postgres.integrity")
_RANK = "{{'info': 0, 'warning': 1, 'critical': 2, 'emergency': 3}}[{}.severity]"


def _in(pattern: str) -> str:
    return f"{_AMOUNTS}.all(t, t.matches('{pattern}'))"


def _alerts_beyond(side: str, comparison: str) -> str:
    """Every threshold lies beyond the target on this side, as far as both are amounts of one kind."""
    target = f"self.target.{side}"
    return (
        f"!has({target}) || !has(self.alerts) || !{target}.matches('{AMOUNT}') || "
        f"self.alerts.all(a, !a.threshold.matches('{AMOUNT}') || "
        f"{unit_in_cel('a.threshold')} != {unit_in_cel(target)} || "
        f"{amount_in_cel('a.threshold')} {comparison} {amount_in_cel(target)})"
    )


def _severer_later() -> str:
    """For each two alerts, the severer one has the farther threshold or waits longer."""
    mild, severe = amount_in_cel("a.threshold"), amount_in_cel("b.threshold")
    silent = [
        f"{_RANK.format('a')} >= {_RANK.format('b')}",
        *(f"!{x}.threshold.matches('{AMOUNT}')" for x in "ab"),
        *(f"!{x}.__for__.matches('{DURATION}')" for x in "ab"),
        f"{unit_in_cel('a.threshold')} != {unit_in_cel('b.threshold')}",
    ]
    right = [
        f"(has(self.target.above) ? {severe} < {mild} : {severe} > {mild})",
        "duration(b.__for__) > duration(a.__for__)",
    ]
    return f"!has(self.alerts) || self.alerts.all(a, self.alerts.all(b, {' || '.join([*silent, *right])}))"


def _both_durations(one: str, other: str) -> str:
    return f"!self.{one}.matches('{DURATION}') || !self.{other}.matches('{DURATION}')"


RULES: Sequence[Rule] = (
    Rule(
        "!has(self.source.scrape) || ("
        "(!has(self.indicator.quantile) || has(self.indicator.quantile.series)) && "
        "(!has(self.indicator.average) || has(self.indicator.average.series)) && "
        "(!has(self.indicator.value) || has(self.indicator.value.series)) && "
        "(!has(self.indicator.ratio) || has(self.indicator.ratio.total)))",
        "a scraped indicator names its series: write series (or bad and total) with metric",
    ),
    Rule(
        f"!has(self.source.scrape) || ({_no_series('.query')})",
        "a scraped series is named, not queried: write metric and labels, or source.prometheus",
    ),
    Rule(
        "!has(self.source.prometheus) || has(self.indicator.ratio) || has(self.indicator.value)",
        "a query gives a number: write indicator.value, or indicator.ratio with two queries; histogram_quantile "
        "belongs into the query",
    ),
    Rule(
        "!has(self.source.prometheus) || ((!has(self.indicator.value) || has(self.indicator.value.series)) && "
        "(!has(self.indicator.ratio) || has(self.indicator.ratio.total)))",
        "an indicator from Prometheus names its queries: write series.query, or bad.query and total.query",
    ),
    Rule(
        f"!has(self.source.prometheus) || ({_no_series('.metric')})",
        "Prometheus is asked by query: write query in place of metric and labels, or source.scrape",
    ),
    Rule(
        f"has(self.source.scrape) || has(self.source.prometheus) || ({_no_series()})",
        "this source knows itself what it measures: leave series, bad, good and total out",
    ),
    Rule(
        f"!has(self.source.probe) || {_made('quantile', 'average', 'ratio')}",
        "probes tell how long they took and whether they failed: write indicator.quantile or indicator.average for the "
        "one, indicator.ratio for the other",
    ),
    Rule(
        f"!({_source('postgres.latency')} || {_REDIS_LATENCY}) || {_made('quantile', 'average')}",
        "a latency is put together over the window: write indicator.quantile or indicator.average",
    ),
    Rule(
        f"!({_USED} || has(self.source.http)) || {_made('value', 'average')}",
        "this source tells one number at a time: write indicator.value or indicator.average",
    ),
    Rule(
        f"!{_COUNTED} || (has(self.indicator.value) && !has(self.target.above) && {_in(_PLAIN)})",
        'an integrity query tells 0 while data is sound and 1 when not: write indicator.value and target.below: "0"',
    ),
    Rule(
        f"!{_TIMED} || (!has(self.target.above) && {_in(_TIME)})",
        'a latency stays below a time: write target.below and thresholds such as "500ms" or "2s"',
    ),
    Rule(
        f"!has(self.indicator.ratio) || (!has(self.target.above) && {_in(_PART)})",
        'a ratio is the share of bad events: write target.below and thresholds such as "1%" (for 99% good ones)',
    ),
    Rule(
        f"!{_USED} || {_in(_PERCENT)}",
        'this source tells a share: write target and thresholds such as "80%"',
    ),
    Rule(
        f"!{_USED} || (has(self.source.resources) && self.source.resources.resource in ['disk', 'nodeDisk']) || "
        "!has(self.target.above)",
        'this source tells how much is in use: write target.below, such as "80%"',
    ),
    Rule(
        "!has(self.source.resources) || !(self.source.resources.resource in ['disk', 'nodeDisk']) || "
        "!has(self.target.below)",
        'disk and nodeDisk tell how much is FREE: write target.above, such as "20%"',
    ),
    Rule(
        f"{_TIMED} || {_USED} || {_COUNTED} || has(self.indicator.ratio) || "
        f"{_AMOUNTS}.all(t, {_AMOUNTS}.all(u, {unit_in_cel('t')} == {unit_in_cel('u')}))",
        "target and thresholds are of one kind: write all of them as percentages, times, sizes or plain numbers",
    ),
    Rule(
        _alerts_beyond("below", ">="),
        "an alert lies beyond the target: with target.below, write thresholds that are not below it",
    ),
    Rule(
        _alerts_beyond("above", "<="),
        "an alert lies beyond the target: with target.above, write thresholds that are not above it",
    ),
    Rule(
        _severer_later(),
        "a severer alert comes later than a milder one: write a threshold farther from the target, or a longer for",
    ),
    Rule(
        "!has(self.source.scrape) || !has(self.indicator.value) || self.indicator.value.across != 'Sum' || "
        "!(has(self.target.below) ? self.target.below.endsWith('%') : "
        "has(self.target.above) && self.target.above.endsWith('%'))",
        "percentages of several pods do not add up: write indicator.value.across as Average, Max or Min",
    ),
    Rule(
        "!has(self.budget) || !has(self.indicator.value)",
        "a budget counts good events or minutes: write indicator.ratio, quantile or average, or leave budget out",
    ),
    Rule(
        f"{_both_durations('timeout', 'interval')} || duration(self.timeout) < duration(self.interval)",
        "write a timeout shorter than the interval, so that one sample has ended before the next is due",
    ),
    Rule(
        f"{_both_durations('interval', 'window')} || duration(self.interval) <= duration(self.window)",
        "write a window at least as long as the interval, so that every window has a sample",
    ),
    Rule(
        f"!has(self.unknownAfter) || {_both_durations('interval', 'unknownAfter')} || "
        "duration(self.unknownAfter) > duration(self.interval)",
        "write unknownAfter longer than the interval, so that one sample is due before the last is forgotten",
    ),
)
