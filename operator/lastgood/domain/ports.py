"""What the services need from outside, as protocols. Adapters implement them and decide nothing."""

from collections.abc import Mapping
from typing import Protocol

from lastgood.api.probes import Probe as ProbeSpec
from lastgood.domain.outcome import Outcome


class Probe(Protocol):
    """One probe, prepared once and run many times."""

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
