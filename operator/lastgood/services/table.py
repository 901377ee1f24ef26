"""The table of desired and observed state: what the watches last told, in as few bytes as will do."""

import sys
from dataclasses import dataclass, field
from typing import Any

from lastgood.domain.health import Thresholds
from lastgood.domain.model import Key, Memory, Plan, Problem
from lastgood.domain.observed import Sketch, version_number
from lastgood.domain.ports import Object
from lastgood.domain.track import Track
from lastgood.services.backups.table import BackupTable

_WORD = 20
"""Characters of a text that other objects are likely to hold too: a type, a reason. Times and messages are longer."""


def shared(value: Any) -> Any:
    """The same JSON, with names and words that are held once for all objects."""
    if isinstance(value, dict):
        return {sys.intern(name): shared(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [shared(entry) for entry in value]
    return sys.intern(value) if type(value) is str and len(value) <= _WORD else value


@dataclass(slots=True)
class ObjectiveKnown:
    """One ServiceLevelObjective."""

    key: Key
    uid: str
    generation: int
    spec: bytes
    """As JSON; empty when it was not understood."""
    status: dict[str, Any]


@dataclass(slots=True)
class Service:
    """One MonitoredService."""

    key: Key
    uid: str
    generation: int
    plan: Plan
    spec: bytes
    """As JSON, a tenth of what it takes as objects: it is read again only when probes are made."""
    status: dict[str, Any]
    """Status as last written by us or told by the watch."""
    memory: Memory = field(default_factory=Memory)
    loaded: bool = False
    """Whether ``memory`` was taken from ``status`` by this process as leader."""
    thresholds: dict[str, Thresholds] = field(default_factory=dict)
    prepared_for: tuple[int, int] = (-1, 0)
    """Generation, and fingerprint of the referred values, that the probes were made for."""
    problems: tuple[Problem, ...] = ()
    said: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Condition type to (status, reason) that Events have told."""
    blocked: bool = False
    """Whether a breach stands that a guard objects to."""
    read_at: float = 0.0
    """When referred values were last read, by the monotonic clock."""
    refers: bool = False
    """Whether its probes read Secrets or ConfigMaps, which have to be read again now and then."""
    breach_outcome_at: float = 0.0
    tracks: dict[str, Track] = field(default_factory=dict)
    """By objective: what is measured, of those that can be."""
    measured_for: tuple[int, int] = (0, 0)
    """Fingerprints of the objectives and of the values they refer to that the sources were made for."""
    measure_problems: tuple[Problem, ...] = ()
    measures: bool = False
    """Whether its objectives' sources refer to Secrets or ConfigMaps."""
    measured_at: float = 0.0
    """When those were last read, by the monotonic clock."""
    baseline_of: str = ""
    """Snapshot of the good revision whose baselines the tracks have."""
    litter: bool = False
    """Whether there may be ControllerRevisions of it that nothing needs any more."""

    def reference(self) -> Object:
        """What an Event or owner reference needs."""
        return {
            "kind": "MonitoredService",
            "metadata": {"namespace": self.key[0], "name": self.key[1], "uid": self.uid},
        }


@dataclass(frozen=True, slots=True)
class ConfigKnown:
    """Content of a ConfigMap, as last seen."""

    hash: str
    since: float
    """Since when this process has seen this content."""
    version: int = 0
    changed_at: float | None = None
    """When the API server noted a write of this content, no earlier than its change."""


@dataclass(slots=True)
class Table:
    """All that is known."""

    services: dict[Key, Service] = field(default_factory=dict)
    by_target: dict[Key, set[Key]] = field(default_factory=dict)
    """Deployment to the services that watch it."""
    deployments: dict[Key, Sketch] = field(default_factory=dict)
    """Only those that are some service's target."""
    configs: dict[Key, ConfigKnown] = field(default_factory=dict)
    """Only those that some target names."""
    config_users: dict[Key, set[Key]] = field(default_factory=dict)
    rollbacks: dict[Key, Object] = field(default_factory=dict)
    restores: dict[Key, Object] = field(default_factory=dict)
    dependents: dict[Key, set[Key]] = field(default_factory=dict)
    objectives: dict[Key, ObjectiveKnown] = field(default_factory=dict)
    measured_by: dict[Key, set[Key]] = field(default_factory=dict)
    """Objective to the services that list it."""
    backups: BackupTable = field(default_factory=BackupTable)

    def put_service(self, service: Service) -> None:
        """Add or replace, with its indexes."""
        self.drop_service(service.key)
        namespace = service.key[0]
        self.services[service.key] = service
        self.by_target.setdefault((namespace, service.plan.target), set()).add(service.key)
        for name in service.plan.depends_on:
            self.dependents.setdefault((namespace, name), set()).add(service.key)
        for name in service.plan.objectives:
            self.measured_by.setdefault((namespace, name), set()).add(service.key)
        for name in service.plan.backups:
            self.backups.protects.setdefault((namespace, name), set()).add(service.key)

    def drop_service(self, key: Key) -> Service | None:
        """Remove, with its indexes."""
        old = self.services.pop(key, None)
        if old is not None:
            namespace = key[0]
            target = (namespace, old.plan.target)
            self.by_target.get(target, set()).discard(key)
            if not self.by_target.get(target):
                self.by_target.pop(target, None)
                self.deployments.pop(target, None)
            for name in old.plan.depends_on:
                self.dependents.get((namespace, name), set()).discard(key)
            for name in old.plan.objectives:
                self.measured_by.get((namespace, name), set()).discard(key)
            for name in old.plan.backups:
                self.backups.protects.get((namespace, name), set()).discard(key)
            for users in self.config_users.values():
                users.discard(key)
        return old

    def put_rollback(self, body: Object) -> None:
        """Keep a Rollback, unless a newer one is known.

        The answer to our own write and the watch's word of somebody else's overtake each other: an approval that
        the watch told first must not be covered by the answer to an older write.
        """
        place = (body["metadata"]["namespace"], body["metadata"]["name"])
        known = self.rollbacks.get(place)
        if known is None or version_number(known) <= version_number(body):
            self.rollbacks[place] = body

    def put_restore(self, body: Object) -> None:
        """Keep a Restore, unless a newer one is known; see ``put_rollback``."""
        place = (body["metadata"]["namespace"], body["metadata"]["name"])
        known = self.restores.get(place)
        if known is None or version_number(known) <= version_number(body):
            self.restores[place] = body

    def put_deployment(self, place: Key, seen: Sketch) -> None:
        """Keep what was seen of a target, unless something newer is known."""
        known = self.deployments.get(place)
        if known is None or known.resource_version <= seen.resource_version:
            self.deployments[place] = seen

    def put_config(self, place: Key, content: str, version: int, now: float, changed_at: float | None = None) -> bool:
        """Keep the hash of a ConfigMap's content, unless something newer is known; whether it is another one."""
        known = self.configs.get(place)
        if known is not None and known.version > version:
            return False
        if known is not None and known.hash == content:
            self.configs[place] = ConfigKnown(content, known.since, version, known.changed_at)
            return False
        self.configs[place] = ConfigKnown(content, now, version, changed_at)
        return True

    def rollbacks_of(self, key: Key) -> list[Object]:
        """Rollbacks of a service, oldest first."""
        found = [
            rb
            for (namespace, _), rb in self.rollbacks.items()
            if namespace == key[0] and rb["spec"].get("service") == key[1]
        ]
        return sorted(found, key=lambda rb: (rb["metadata"].get("creationTimestamp", ""), rb["metadata"]["name"]))

    def cycle_through(self, key: Key) -> list[str]:
        """Names along a cycle of dependencies through this service; empty when there is none."""
        namespace, start = key
        stack = [[start]]
        visited: set[str] = set()
        while stack:
            path = stack.pop()
            service = self.services.get((namespace, path[-1]))
            for name in service.plan.depends_on if service else ():
                if name == start:
                    return [*path, start]
                if name not in visited:
                    visited.add(name)
                    stack.append([*path, name])
        return []
