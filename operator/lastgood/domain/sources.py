"""What objectives need from outside, as protocols. Adapters implement them and decide nothing."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from lastgood.api.objective import ServiceLevelObjectiveSpec
from lastgood.domain.measure import Sample
from lastgood.domain.stats import NodeSeen, PodUse


@dataclass(frozen=True, slots=True)
class PodSeen:
    """A running pod of the target."""

    name: str
    uid: str
    ip: str
    node: str = ""
    ready: bool = True
    limits: Mapping[str, float] | None = None
    """Sum over its containers in cores ("cpu") and bytes ("memory"); a resource that one container does not limit is
    absent."""
    requests: Mapping[str, float] | None = None
    volumes: Sequence[str] = ()
    """Names of its volumes that are claims."""


@dataclass(frozen=True, slots=True)
class Target:
    """Whose observations are wanted."""

    namespace: str
    service: str
    deployment: str
    pods: Callable[[], Awaitable[Sequence[PodSeen]]]
    """Running pods as they are now; cheap to call. Raises ClusterError."""


class Source(Protocol):
    """One source of one objective for one service, prepared once and sampled many times.

    It may hold what a counter last said, by pod: that is reading, not deciding.
    """

    @property
    def host(self) -> str:
        """What the cap per host counts by."""
        ...

    async def sample(self) -> Sample:
        """Look once. Never raises besides CancelledError; ends within the spec's timeout."""
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...


class SourceFactory(Protocol):
    """Makes sources."""

    def prepare(
        self, spec: ServiceLevelObjectiveSpec, values: Mapping[tuple[str, str, str], bytes], target: Target
    ) -> Source:
        """A source for this objective.

        ``values`` holds what the spec refers to, by (kind, name, key) with kind "Secret" or "ConfigMap".
        Raises ports.BadProbe when the spec with these values cannot be sampled at all.
        """
        ...


class KubeStats(Protocol):
    """What pods use and disks have left. One answer, or one failure, serves all who ask within ``max_age`` seconds.

    All calls raise ClusterError: status 0 with message "TimeoutError" when the API server did not answer in time, else
    0 for an answer that was none.
    """

    async def pods(self, namespace: str, *, max_age: float) -> Mapping[str, PodUse] | None:
        """Use of the namespace's pods by name, from the Metrics API; None where the cluster does not have it."""
        ...

    async def node(self, name: str, *, max_age: float) -> NodeSeen:
        """What this node's kubelet tells in its summary."""
        ...

    async def allocatable(self, name: str, *, max_age: float) -> Mapping[str, float]:
        """Cores ("cpu") and bytes ("memory") that this node has for pods."""
        ...
