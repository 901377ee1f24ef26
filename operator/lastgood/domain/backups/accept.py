"""Whether a BackupSchedule can be carried out as it is written. Each check gives a Problem, or nothing."""

import posixpath
from collections.abc import Iterable, Mapping, Sequence

from lastgood.api.backupschedule import BackupScheduleSpec
from lastgood.api.base import seconds
from lastgood.api.repositories import Repository
from lastgood.domain.backups.crontab import bad_expression, bad_zone, widest_gap
from lastgood.domain.backups.names import method_of
from lastgood.domain.backups.plan import MAKES_POINTS, declared_times, times
from lastgood.domain.backups.pods import Declared, repositories_of
from lastgood.domain.clock import shown
from lastgood.domain.model import Problem

Place = tuple[str, ...]
"""Where a repository is: what kind of place, which one, and the path in it, last."""


def spec_problems(spec: BackupScheduleSpec) -> list[Problem]:
    """What can be said of the spec alone. With any of these, nothing is made or changed."""
    problems = []
    for task, expression in declared_times(spec).items():
        wrong = bad_expression(expression)
        if wrong:
            problems.append(Problem("BadCron", f'the cron expression "{expression}" of {task} is not good: {wrong}'))
    wrong = bad_zone(spec.schedule.time_zone)
    if wrong:
        problems.append(Problem("BadTimeZone", wrong))
    kept = spec.retention
    if not any((kept.last, kept.hourly, kept.daily, kept.weekly, kept.monthly, kept.within)):
        text = "spec.retention keeps nothing: write how many points are kept, such as daily: 14, or within: 720h"
        problems.append(Problem("KeepsNothing", text))
    return problems


def place_of(namespace: str, name: str, repository: Repository) -> Place:
    """Where the repository of a schedule is."""
    if repository.volume is not None:
        return ("volume", namespace, repository.volume.claim, _path(repository.volume.path, name))
    if repository.s3 is not None:
        s3 = repository.s3
        return ("s3", s3.endpoint.lower().rstrip("/"), s3.bucket, _path(s3.prefix, namespace, name))
    sftp = repository.sftp
    if sftp is None:
        return ("nowhere", "")
    return ("sftp", f"{sftp.host.lower()}:{sftp.port}", _path(sftp.path, namespace, name))


def _path(*parts: str) -> str:
    # normpath leaves two slashes at the beginning as they are.
    return posixpath.normpath("/" + "/".join(parts).lstrip("/")).rstrip("/") + "/"


def _meet(one: Place, other: Place) -> bool:
    """Whether two places are the same, or one is inside the other."""
    inside = one[-1].startswith(other[-1]) or other[-1].startswith(one[-1])
    return one[:-1] == other[:-1] and inside


def places_of(declared: Declared) -> list[tuple[str, Place]]:
    """Repositories of a schedule, by name."""
    return [
        (name, place_of(declared.namespace, declared.name, repository))
        for name, repository in repositories_of(declared.spec)
    ]


def shared_problems(declared: Declared, others: Iterable[tuple[str, str, Sequence[Place]]]) -> list[Problem]:
    """Repositories that would be written by two.

    ``others`` are (namespace, name, places) of the other schedules. The older of two is not to blame, but who is older
    may be hard to say after a restore of the cluster, so that both are told.
    """
    mine = places_of(declared)
    problems = []
    for number, (name, place) in enumerate(mine):
        for again, twin in mine[number + 1 :]:
            if _meet(place, twin):
                text = f"the repositories {name} and {again} are one place: a copy beside the original is none"
                problems.append(Problem("RepositoryShared", text))
    for namespace, other, places in others:
        for name, place in mine:
            if any(_meet(place, theirs) for theirs in places):
                text = (
                    f"repository {name} is also that of BackupSchedule {other} in namespace {namespace}: "
                    "give one of them another path or prefix"
                )
                problems.append(Problem("RepositoryShared", text))
    return problems


def rpo_problems(declared: Declared, took: Mapping[str, float], now: float) -> list[Problem]:
    """Whether the RPO cannot be met even when all goes well.

    ``took`` is how long the newest good run of each task took, seconds, upload included.
    """
    spec = declared.spec
    if spec.rpo is None or spec.suspend:
        return []
    planned = times(spec, declared.uid)
    runs = [(planned[task], took.get(task, 0.0)) for task in MAKES_POINTS if task in planned]
    worst = widest_gap(runs, spec.schedule.time_zone, now)
    rpo = seconds(spec.rpo)
    # A run takes some time, whether one has been seen or not.
    if worst < rpo or (worst == rpo and any(took.get(task) for task in MAKES_POINTS)):
        return []
    often = "schedule.incremental" if "incremental" in planned else "schedule.full"
    way = f"let {often} run more often, or raise rpo"
    if spec.source.postgres is not None and method_of(spec) == "logical":
        way += ', or take method "wal"'
    typical = max((took.get(task, 0.0) for task in MAKES_POINTS), default=0.0)
    run = f", the run of {shown(typical)} included" if typical else ", and a run takes its time besides"
    text = f"rpo is {spec.rpo}, but up to {shown(worst)} lie between two points even when all goes well{run}: {way}"
    return [Problem("RPOUnreachable", text)]
