"""From the probes of a spec to probes that run: values gathered, problems told, nothing else disturbed."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping

from lastgood.api.base import seconds
from lastgood.api.monitoredservice import MonitoredServiceSpec
from lastgood.api.probes import CertificateSource, Tls
from lastgood.api.probes import Probe as ProbeSpec
from lastgood.domain.model import Key, Problem
from lastgood.domain.ports import BadProbe, Cluster, ClusterError, ProbeFactory
from lastgood.services.fleet import Slot

Values = dict[tuple[str, str, str], bytes]


def kind_of(probe: ProbeSpec) -> str:
    """Which of its one-of fields a probe sets."""
    return next(k for k in ("http", "tcp", "grpc", "postgres", "redis") if getattr(probe, k) is not None)


def _of_tls(tls: Tls | None) -> Iterator[tuple[str, str, str]]:
    source: CertificateSource | None = tls.ca if tls else None
    if source and source.secret_key_ref:
        yield ("Secret", source.secret_key_ref.name, source.secret_key_ref.key)
    if source and source.config_map_key_ref:
        yield ("ConfigMap", source.config_map_key_ref.name, source.config_map_key_ref.key)


def references(probe: ProbeSpec) -> Iterator[tuple[str, str, str]]:
    """(kind, name, key) of all that a probe refers to."""
    if probe.http:
        for header in probe.http.headers:
            if header.value_from:
                ref = header.value_from.secret_key_ref
                yield ("Secret", ref.name, ref.key)
        yield from _of_tls(probe.http.tls)
    if probe.grpc:
        yield from _of_tls(probe.grpc.tls)
    for source in (probe.postgres.dsn if probe.postgres else None, probe.redis.url if probe.redis else None):
        if source:
            yield ("Secret", source.secret_key_ref.name, source.secret_key_ref.key)


async def gather(cluster: Cluster, key: Key, spec: MonitoredServiceSpec) -> tuple[Values, list[Problem]]:
    """Values that the probes refer to, and what is missing of them."""
    return await read_values(cluster, key[0], {ref for probe in spec.probes for ref in references(probe)})


async def read_values(
    cluster: Cluster, namespace: str, places: Iterable[tuple[str, str, str]]
) -> tuple[Values, list[Problem]]:
    """Values by (kind, name, key), and what is missing of them."""
    values: Values = {}
    problems: list[Problem] = []
    for place in sorted(places):
        kind, name, entry = place
        try:
            value = await cluster.read_key(kind, namespace, name, entry)
        except ClusterError as error:
            if error.status != 403:
                raise
            text = (
                f"reading {kind} {name} is not allowed: turn rbac.secrets on in the chart, or leave the reference out"
            )
            problems.append(Problem(f"{kind}Forbidden", text))
            continue
        if value is None:
            problems.append(
                Problem(
                    f"{kind}Missing",
                    f'{kind} "{name}" with key "{entry}" does not exist here: create it or mend the name',
                )
            )
        else:
            values[place] = value
    return values, problems


def definition(probe: ProbeSpec) -> str:
    """Hash of what a probe asks and expects; not of how often, how long and how many times."""
    asked = probe.model_dump_json(include={"http", "tcp", "grpc", "postgres", "redis"})
    return hashlib.blake2b(asked.encode(), digest_size=8).hexdigest()


def fingerprint(values: Mapping[tuple[str, str, str], bytes], missing: Iterable[Problem] = ()) -> int:
    """Changes when any value does, or what is told of one that is missing; kept in memory only."""
    digest = hashlib.blake2b(digest_size=8)
    told = [(problem.reason.encode(), problem.message.encode()) for problem in missing]
    for entry in [*((*(p.encode() for p in place), values[place]) for place in sorted(values)), *told]:
        for part in entry:
            digest.update(len(part).to_bytes(4, "big") + part)
    return int.from_bytes(digest.digest(), "big")


def prepare(
    factory: ProbeFactory, key: Key, spec: MonitoredServiceSpec, values: Values
) -> tuple[list[Slot], list[Problem]]:
    """Slots for the probes that can run, and why the others cannot."""
    slots: list[Slot] = []
    problems: list[Problem] = []
    for probe in spec.probes:
        if any(ref not in values for ref in references(probe)):
            continue
        try:
            ready = factory.prepare(probe, values)
        except BadProbe as error:
            problems.append(Problem("BadProbe", f"probe {probe.name}: {error}"))
            continue
        slots.append(Slot(key=key, name=probe.name, kind=kind_of(probe), probe=ready, interval=seconds(probe.interval)))
    return slots, problems
