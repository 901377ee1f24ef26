"""Which probes run: those of the spec as it is written now, with the values that it refers to."""

import time
from collections.abc import Callable
from dataclasses import replace

from lastgood.api.monitoredservice import MonitoredServiceSpec
from lastgood.domain.health import ProbeState, Thresholds, combine, defined, silenced
from lastgood.domain.ports import Cluster, ProbeFactory
from lastgood.domain.status import set_aside
from lastgood.services import preparation
from lastgood.services.fleet import Fleet
from lastgood.services.table import Service

REFRESH_SECONDS = 300.0
"""How often Secrets and CAs that probes use are read again."""

SUSPECT_SECONDS = 30.0
"""The same while health is not True: a password may have been changed on both sides."""


class Probing:
    """Puts probes on the fleet. ``on_health`` is called when that changes what is known of a service's health."""

    def __init__(
        self, cluster: Cluster, factory: ProbeFactory, fleet: Fleet, *, on_health: Callable[[Service], None]
    ) -> None:
        self._cluster, self._factory, self._fleet, self._on_health = cluster, factory, fleet, on_health

    async def prepare(self, service: Service) -> None:
        """Have exactly the service's probes run, as they are written now."""
        if service.plan.suspend:
            self._fleet.remove(service.key)
            service.prepared_for = (-1, 0)
            service.problems = ()
            service.memory = set_aside(service.memory, time.time())
            self._on_health(service)
            return
        settled = service.prepared_for[0] == service.generation and not service.problems
        patience = REFRESH_SECONDS if service.memory.health.state == "True" else SUSPECT_SECONDS
        if settled and (not service.refers or time.monotonic() - service.read_at < patience):
            return
        service.read_at = time.monotonic()
        # Both from before the wait below: an edit meanwhile is not what these values were read for.
        generation, spec = service.generation, MonitoredServiceSpec.model_validate_json(service.spec)
        values, problems = await preparation.gather(self._cluster, service.key, spec)
        service.refers = any(True for probe in spec.probes for _ in preparation.references(probe))
        wanted = (generation, preparation.fingerprint(values, problems))
        if service.prepared_for == wanted:
            return
        slots, bad = preparation.prepare(self._factory, service.key, spec, values)
        service.problems = tuple(problems + bad)
        service.thresholds = {p.name: Thresholds(p.failure_threshold, p.success_threshold) for p in spec.probes}
        written = {p.name: preparation.definition(p) for p in spec.probes}
        able = {slot.name for slot in slots}
        now = time.time()
        probes = {}
        for name in sorted(written):
            state = service.memory.probes.get(name) or ProbeState(definition=written[name])
            state = defined(state, written[name], now)
            # A probe that cannot run has seen nothing: what it said before no longer holds.
            probes[name] = state if name in able else silenced(state, now)
        service.memory = replace(service.memory, probes=probes, health=combine(service.memory.health, probes, now))
        self._on_health(service)
        self._fleet.put(service.key, slots)
        service.prepared_for = wanted
