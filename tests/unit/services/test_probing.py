"""From a MonitoredService to its probes on the fleet, with edits and missing values in between."""

import asyncio
import json
from dataclasses import replace
from typing import Any, cast

from tests.unit.domain.build import plan

from lastgood.domain.outcome import Outcome, ProbeReason
from lastgood.domain.ports import Cluster, ClusterError
from lastgood.services.fleet import Fleet
from lastgood.services.probing import Probing
from lastgood.services.table import Service

KEY = ("shop", "web")


def spec(**http: Any) -> bytes:
    probe = {"name": "front", "http": {"url": "https://web/", **http}}
    return json.dumps({"targetRef": {"name": "web"}, "probes": [probe]}).encode()


WITH_CA = spec(tls={"ca": {"configMapKeyRef": {"name": "ca", "key": "ca.crt"}}})
WITHOUT = spec()


class Slow:
    """A cluster without that ConfigMap, which answers when it is told to."""

    def __init__(self) -> None:
        self.may, self.asked = asyncio.Event(), asyncio.Event()
        self.error: ClusterError | None = None

    async def read_key(self, *_: str) -> None:
        self.asked.set()
        await self.may.wait()
        if self.error is not None:
            raise self.error


class Probe:
    host = "web:443"

    async def run(self) -> Outcome:
        return Outcome(ProbeReason.OK)

    async def aclose(self) -> None:
        """Nothing to let go of."""


class Factory:
    def prepare(self, *_: Any) -> Probe:
        return Probe()


def begin(cluster: Slow) -> tuple[Probing, Service, Fleet]:
    fleet = Fleet(lambda *_: None)
    probing = Probing(cast("Cluster", cluster), cast("Any", Factory()), fleet, on_health=lambda _: None)
    return probing, Service(key=KEY, uid="u", generation=1, plan=plan(), spec=WITH_CA, status={}), fleet


async def test_an_edit_while_values_are_read_is_not_taken_for_what_was_read() -> None:
    """What was wrong with the spec of before would else stand for ever: nothing in the new one would be looked at."""
    cluster = Slow()
    probing, service, fleet = begin(cluster)
    reading = asyncio.create_task(probing.prepare(service))
    await cluster.asked.wait()
    service.generation, service.spec = 2, WITHOUT
    cluster.may.set()
    await reading
    await probing.prepare(service)
    assert (service.problems, len(fleet)) == ((), 1)
    assert service.prepared_for[0] == 2


async def test_a_problem_that_became_another_is_told_as_the_other() -> None:
    """Reading was not allowed, now it is and nothing is there."""
    cluster = Slow()
    cluster.may.set()
    probing, service, fleet = begin(cluster)
    cluster.error = ClusterError(403, "no")
    await probing.prepare(service)
    assert [problem.reason for problem in service.problems] == ["ConfigMapForbidden"]
    cluster.error = None
    await probing.prepare(service)
    assert [problem.reason for problem in service.problems] == ["ConfigMapMissing"]
    assert len(fleet) == 0


async def test_a_suspended_service_is_not_probed() -> None:
    cluster = Slow()
    probing, service, fleet = begin(cluster)
    service.spec = WITHOUT
    await probing.prepare(service)
    assert len(fleet) == 1
    service.plan = replace(service.plan, suspend=True)
    await probing.prepare(service)
    assert len(fleet) == 0
