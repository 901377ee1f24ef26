"""From a service's objectives to tracks and to sources that run; what is wrong with one disturbs no other."""

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from pydantic import BaseModel

from lastgood.api.base import seconds
from lastgood.api.monitoredservice import MonitoredServiceSpec
from lastgood.api.objective import ServiceLevelObjectiveSpec
from lastgood.api.probes import CertificateSource, ValueFrom
from lastgood.api.sources import Source as SourceSpec
from lastgood.domain.measure import Sample
from lastgood.domain.model import Key, Problem
from lastgood.domain.pods import pods_seen
from lastgood.domain.ports import BadProbe, Cluster
from lastgood.domain.sources import PodSeen, Source, SourceFactory, Target
from lastgood.domain.track import Track, definition, plan_for
from lastgood.services.fleet import Slot
from lastgood.services.preparation import Values, read_values
from lastgood.services.table import Service, Table

PODS_SECONDS = 60.0
"""How old a list of pods may be; a Deployment whose status changes has it read anew at once."""


def source_kind(source: SourceSpec) -> str:
    """Which of its one-of fields a source sets."""
    return next(name for name in type(source).model_fields if getattr(source, name) is not None)


def references(model: BaseModel) -> Iterator[tuple[str, str, str]]:
    """(kind, name, key) of all Secrets and ConfigMaps that a part of a spec refers to, wherever they are in it."""
    if isinstance(model, ValueFrom | CertificateSource):
        if model.secret_key_ref is not None:
            yield ("Secret", model.secret_key_ref.name, model.secret_key_ref.key)
        config_map = getattr(model, "config_map_key_ref", None)
        if config_map is not None:
            yield ("ConfigMap", config_map.name, config_map.key)
        return
    for name in type(model).model_fields:
        value = getattr(model, name)
        for part in value if isinstance(value, list) else (value,):
            if isinstance(part, BaseModel):
                yield from references(part)


@dataclass(frozen=True, slots=True)
class Sampler:
    """A source as the fleet runs it."""

    source: Source

    @property
    def host(self) -> str:
        """See Source."""
        return self.source.host

    async def run(self) -> Sample:
        """See Source."""
        return await self.source.sample()

    async def aclose(self) -> None:
        """See Source."""
        await self.source.aclose()


class Pods:
    """Pods of one Deployment, read when it has changed or some time has passed."""

    def __init__(self, cluster: Cluster, table: Table, place: Key) -> None:
        self._cluster, self._table, self._place = cluster, table, place
        self._version, self._read_at = -1, 0.0
        self._pods: tuple[PodSeen, ...] = ()

    async def __call__(self) -> tuple[PodSeen, ...]:
        """The running pods. Raises ClusterError."""
        known = self._table.deployments.get(self._place)
        if known is None or not known.selector:
            return ()
        now = time.monotonic()
        if known.resource_version != self._version or now - self._read_at >= PODS_SECONDS:
            found = await self._cluster.list_objects("pods", self._place[0], known.selector)
            self._pods, self._version, self._read_at = pods_seen(found), known.resource_version, now
        return self._pods


def fingerprint(table: Table, service: Service) -> int:
    """Changes when one of the service's objectives does, or what its own spec says about them."""
    digest = hashlib.blake2b(f"{service.uid}/{service.generation}".encode(), digest_size=8)
    for name in service.plan.objectives:
        known = table.objectives.get((service.key[0], name))
        digest.update(f"/{name}={known.uid}.{known.generation}".encode() if known else f"/{name}".encode())
    return int.from_bytes(digest.digest(), "big") or 1


@dataclass(slots=True)
class Measured:
    """What became of a service's objectives."""

    tracks: dict[str, Track] = field(default_factory=dict)
    slots: list[Slot] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def specs(table: Table, service: Service) -> tuple[dict[str, ServiceLevelObjectiveSpec], list[Problem]]:
    """The objectives that there are, and what is wrong with the others."""
    found: dict[str, ServiceLevelObjectiveSpec] = {}
    problems = []
    for name in service.plan.objectives:
        known = table.objectives.get((service.key[0], name))
        if known is None:
            text = f'ServiceLevelObjective "{name}" does not exist here: create it, or mend the name in objectives'
            problems.append(Problem("UnknownObjective", text))
        elif not known.spec:
            text = f'ServiceLevelObjective "{name}" is not understood: see kubectl describe slo {name}'
            problems.append(Problem("BadObjective", text))
        else:
            found[name] = ServiceLevelObjectiveSpec.model_validate_json(known.spec)
    return found, problems


async def gather(
    cluster: Cluster, namespace: str, wanted: dict[str, ServiceLevelObjectiveSpec]
) -> tuple[Values, list[Problem]]:
    """Values that the objectives' sources refer to, and what is missing of them."""
    return await read_values(cluster, namespace, {ref for spec in wanted.values() for ref in references(spec.source)})


def measure(
    factory: SourceFactory,
    service: Service,
    wanted: dict[str, ServiceLevelObjectiveSpec],
    values: Values,
    pods: Pods,
) -> Measured:
    """Tracks and slots for the objectives that can be measured, and why the others cannot.

    A track that stays as it is written goes on with what it holds.
    """
    out = Measured()
    own = MonitoredServiceSpec.model_validate(json.loads(service.spec))
    target = Target(service.key[0], service.key[1], service.plan.target, pods)
    for name, spec in wanted.items():
        if any(ref not in values for ref in references(spec.source)):
            continue
        try:
            plan = plan_for(name, spec, own)
            source = None if spec.source.probe is not None else factory.prepare(spec, values, target)
        except ValueError as error:
            # Of which BadProbe is one.
            text = str(error) if not isinstance(error, BadProbe) else f"objective {name}: {error}"
            problem = Problem("BadObjective", text)
            out.problems.append(problem)
            continue
        probe = None if spec.source.probe is None else spec.source.probe.name or ""
        fresh = Track(plan, definition(spec), service.plan.triggers, probe)
        kept = service.tracks.get(name)
        same = kept is not None and (kept.plan, kept.definition, kept.triggers, kept.probe) == (
            fresh.plan,
            fresh.definition,
            fresh.triggers,
            fresh.probe,
        )
        out.tracks[name] = kept if same and kept is not None else fresh
        if source is not None:
            kind = source_kind(spec.source)
            out.slots.append(
                Slot(key=service.key, name=name, kind=kind, probe=Sampler(source), interval=seconds(spec.interval))
            )
    return out
