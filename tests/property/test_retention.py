"""Retention against a slow and plain telling of the same rules."""

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from lastgood.api.repositories import Retention
from lastgood.domain.backups.retention import Age, kept

NOW = 1_700_000_000.0
counts = st.integers(min_value=0, max_value=4)
retentions = st.builds(
    Retention,
    last=counts,
    hourly=counts,
    daily=counts,
    weekly=counts,
    monthly=counts,
    within=st.sampled_from([None, "1h", "36h", "720h"]),
)


@st.composite
def histories(draw: st.DrawFn) -> list[Age]:
    """Fulls and increments on them, as schedules make them."""
    made: list[Age] = []
    at, base = NOW - draw(st.integers(0, 200)) * 86400.0, ""
    for number in range(draw(st.integers(0, 40))):
        at += draw(st.sampled_from([0.0, 600.0, 3600.0, 7200.0, 86400.0, 40 * 86400.0]))
        increment = bool(base) and draw(st.booleans())
        name = f"b-{number:03}"
        made.append(Age(name, at, base if increment else ""))
        if not increment and draw(st.booleans()):
            base = name
    return draw(st.permutations(made))


FORMS = {"hourly": "%Y%m%d%H", "daily": "%Y%m%d", "weekly": "%G%V", "monthly": "%Y%m"}


def plainly(points: list[Age], retention: Retention, now: float) -> set[str]:
    """Each point asks each rule by itself whether it is wanted, by looking at all others."""

    def after(a: Age, b: Age) -> bool:
        return (a.at, a.name) > (b.at, b.name)

    wanted: set[str] = set()
    for one in points:
        newer = [p for p in points if after(p, one)]
        if len(newer) < max(retention.last, 1):
            wanted.add(one.name)
        if retention.within and one.at >= now - int(retention.within[:-1]) * 3600:
            wanted.add(one.name)
        for rule, form in FORMS.items():

            def bucket(p: Age, form: str = form) -> str:
                return datetime.fromtimestamp(p.at, UTC).strftime(form)

            peers = [p for p in points if bucket(p) == bucket(one)]
            if rule != "hourly" and any(not p.base for p in peers):
                peers = [p for p in peers if not p.base]
            newest = one in peers and not any(after(p, one) for p in peers)
            younger = {bucket(p) for p in points if bucket(p) > bucket(one)}
            if newest and len(younger) < getattr(retention, rule):
                wanted.add(one.name)
    while True:
        more = {
            p.name
            for p in points
            for w in points
            if w.name in wanted and w.base and (p.name == w.base or (p.base == w.base and not after(p, w)))
        }
        if more <= wanted:
            return wanted
        wanted |= more


@settings(deadline=None)
@given(histories(), retentions)
def test_it_is_what_the_rules_say(points: list[Age], retention: Retention) -> None:
    assert kept(points, retention, NOW) == plainly(points, retention, NOW)


@settings(deadline=None)
@given(histories(), retentions)
def test_the_newest_is_kept_and_no_chain_is_broken(points: list[Age], retention: Retention) -> None:
    names = kept(points, retention, NOW)
    if points:
        assert max(points, key=lambda p: (p.at, p.name)).name in names
    for one in points:
        if one.name in names and one.base:
            assert one.base in names
            assert {p.name for p in points if p.base == one.base and p.at < one.at} <= names


@settings(deadline=None)
@given(histories(), retentions)
def test_done_twice_it_removes_no_more_by_numbers(points: list[Age], retention: Retention) -> None:
    first = kept(points, retention, NOW)
    again = kept([p for p in points if p.name in first], retention, NOW)
    assert again <= first
    assert max((p.at for p in points), default=0) == max((p.at for p in points if p.name in again), default=0)


@settings(deadline=None)
@given(histories(), retentions, st.integers(1, 5))
def test_more_is_kept_by_more(points: list[Age], retention: Retention, more: int) -> None:
    wider = retention.model_copy(update={"daily": retention.daily + more, "last": retention.last + more})
    assert kept(points, retention, NOW) <= kept(points, wider, NOW)
