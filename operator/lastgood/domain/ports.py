"""What the services need from outside, as protocols. Adapters implement them and decide nothing."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from lastgood.api.probes import Probe as ProbeSpec
from lastgood.domain.outcome import Outcome

Object = dict[str, Any]
"""A Kubernetes object as JSON."""


class Probe(Protocol):
    """One probe, prepared once and run many times."""

    @property
    def host(self) -> str:
        """What the cap per host counts by."""
        ...

    async def run(self) -> Outcome:
        """Ask once. Never raises besides CancelledError; ends within the spec's timeout."""
        ...

    async def aclose(self) -> None:
        """Let go of kept connections."""
        ...


class ProbeFactory(Protocol):
    """Makes probes."""

    def prepare(self, spec: ProbeSpec, values: Mapping[tuple[str, str, str], bytes]) -> Probe:
        """A probe for this spec.

        ``values`` holds what the spec refers to, by (kind, name, key) with kind "Secret" or "ConfigMap".
        Raises BadProbe when the spec with these values cannot be probed at all (a DSN that does not parse).
        """
        ...


class BadProbe(ValueError):
    """The probe cannot be made. Its text says what is wrong and what to write, and holds no secret."""


class ClusterError(Exception):
    """The API server refused or could not be reached.

    ``status`` is the HTTP status, 0 when there was no answer.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status or 'no answer'}: {message}")
        self.status = status
        self.message = message


class NotLeader(Exception):
    """A write was stopped because this process does not hold the Lease, or may have lost it."""


class Cluster(Protocol):
    """The API server. Every write but the Lease's passes the fence: it raises NotLeader without a valid Lease.

    All calls raise ClusterError. ``kind`` is a plural name: "deployments", "configmaps", "rollbacks", …
    """

    async def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """The object, or None when it does not exist."""
        ...

    async def list_objects(self, kind: str, namespace: str, selector: str = "") -> Sequence[Object]:
        """All objects of one namespace that match the label selector."""
        ...

    def each(self, kind: str) -> AsyncIterator[Object]:
        """All objects of the watched namespaces, a page at a time."""
        ...

    async def list_names(self, kind: str) -> frozenset[tuple[str, str, str]]:
        """(namespace, name, uid) of all objects in the watched namespaces; metadata only."""
        ...

    async def create(self, kind: str, namespace: str, body: Object) -> Object:
        """Create; ClusterError with status 409 when the name is taken."""
        ...

    async def replace(self, kind: str, namespace: str, body: Object) -> Object:
        """Replace; ClusterError with status 409 when resourceVersion is not the newest."""
        ...

    async def delete(self, kind: str, namespace: str, name: str) -> None:
        """Delete; nothing happens when it does not exist."""
        ...

    async def json_patch(
        self, kind: str, namespace: str, name: str, patch: Sequence[Object], *, dry_run: bool = False
    ) -> Object:
        """Apply a JSON Patch; ClusterError with status 409 or 422 when a test fails."""
        ...

    async def merge_status(self, kind: str, namespace: str, name: str, status: Mapping[str, Any]) -> Object:
        """Merge these fields into status; None removes a field."""
        ...

    async def read_key(self, kind: str, namespace: str, name: str, key: str) -> bytes | None:
        """One key of a Secret or ConfigMap; None when the object or the key is missing."""
        ...

    async def event(self, regarding: Object, kind: str, reason: str, message: str, at: float) -> None:
        """Write an Event of kind "Normal" or "Warning", of something that happened at a time."""
        ...

    async def alive(self) -> str:
        """What is wrong with the connection to the API server, found out anew; empty when nothing is."""
        ...


class LeaseStore(Protocol):
    """The Lease object, written past the fence."""

    async def read(self) -> Object | None:
        """The Lease, or None."""
        ...

    async def write(self, lease: Object) -> Object:
        """Create or replace, by resourceVersion; ClusterError 409 when somebody was faster."""
        ...


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose token it is, as the API server says."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, Sequence[str]] = field(default_factory=dict)


class SignalBook(Protocol):
    """Where signals are asked about and written. All calls raise ClusterError; none needs the Lease."""

    async def who(self, token: str) -> Caller | None:
        """Whose token this is; None when the API server does not know it."""
        ...

    async def may(self, caller: Caller, namespace: str, service: str) -> bool:
        """Whether the caller may create monitoredservices/signals there."""
        ...

    async def service(self, namespace: str, name: str) -> Object | None:
        """The MonitoredService; None when it does not exist, or is not among those watched."""
        ...

    async def write(self, service: Object, signals: Sequence[Object]) -> Object:
        """Put ``status.signals``; ClusterError with status 409 when the object has changed since it was read."""
        ...

    async def event(self, regarding: Object, kind: str, reason: str, message: str, at: float) -> None:
        """Write an Event of kind "Normal" or "Warning"."""
        ...
