"""What a schedule needs and has in the cluster: its objects, its Jobs, its key. Reads and writes, as was decided."""

import base64
import secrets
from collections.abc import Sequence
from typing import Any

import structlog

from lastgood.api.backupjob import Task
from lastgood.api.base import KeyRef
from lastgood.domain.backups.children import KINDS, SINCE, children, differs, is_ours, to_write
from lastgood.domain.backups.names import SCHEDULE_LABEL, TASK_LABEL
from lastgood.domain.backups.pods import Declared, Options, claims, credentials
from lastgood.domain.backups.seen import JobSeen, job_of
from lastgood.domain.clock import from_text, to_text
from lastgood.domain.model import Problem
from lastgood.domain.ports import Cluster, ClusterError, Object
from lastgood.services.backups.table import ScheduleKnown
from lastgood.services.preparation import read_values

_log = structlog.get_logger(__name__)
_REFUSED = frozenset({400, 403, 404, 422})
"""What trying again does not change."""
_TASKS: tuple[Task, ...] = ("full", "incremental", "data-sample", "restore-test", "full-check", "prune", "receive")


def version_of(body: Object) -> str:
    """Changes when somebody changes what an object asks for; not with its status, where the two are told apart."""
    metadata = body["metadata"]
    return str(metadata.get("generation") or metadata.get("resourceVersion") or "")


class Children:
    """Brings a schedule's objects to what they should be."""

    def __init__(self, cluster: Cluster, options: Options) -> None:
        self._cluster, self._options = cluster, options

    async def sync(self, schedule: ScheduleKnown, declared: Declared, now: float) -> list[Problem]:
        """Make, mend and remove; returns what the API server refuses. Writes nothing when nothing differs."""
        wanted = children(declared, self._options)
        problems: list[Problem] = []
        versions: dict[tuple[str, str], str] = {}
        for kind in KINDS:
            bodies = {body["metadata"]["name"]: body for k, body in wanted if k == kind}
            there = {b["metadata"]["name"]: b for b in await self._there(kind, declared)}
            for name, body in bodies.items():
                try:
                    written = await self._put(kind, there.get(name), body, now)
                except ClusterError as error:
                    problems.append(_refused(kind, name, error))
                    continue
                versions[(kind, name)] = version_of(written)
                if kind == "cronjobs":
                    task = written["metadata"]["labels"][TASK_LABEL]
                    schedule.since[task] = from_text(written["metadata"]["annotations"][SINCE])
            for name in there.keys() - bodies.keys():
                # A claim holds what was received and not yet stored: it goes with the schedule, not before.
                if kind != "persistentvolumeclaims" and is_ours(there[name], declared.uid):
                    _log.info("removed", schedule=schedule.key, kind=kind, name=name)
                    await self._cluster.delete(kind, declared.namespace, name)
        schedule.versions = versions
        return problems

    async def _there(self, kind: str, declared: Declared) -> Sequence[Object]:
        # Objects of single Jobs have a task; of a schedule's own only CronJobs do.
        selector = f"{SCHEDULE_LABEL}={declared.uid}" + ("" if kind == "cronjobs" else f",!{TASK_LABEL}")
        found = await self._cluster.list_objects(kind, declared.namespace, selector)
        return [body for body in found if is_ours(body, declared.uid)]

    async def _put(self, kind: str, actual: Object | None, wanted: Object, now: float) -> Object:
        namespace, name = wanted["metadata"]["namespace"], wanted["metadata"]["name"]
        if actual is not None and not differs(actual, wanted):
            return actual
        if actual is not None and wanted.get("roleRef") != actual.get("roleRef"):
            # What a binding refers to cannot be changed.
            await self._cluster.delete(kind, namespace, name)
            actual = None
        body = to_write(actual, wanted, to_text(now))
        if actual is not None:
            _log.info("mended", namespace=namespace, kind=kind, name=name)
            return await self._cluster.replace(kind, namespace, body)
        return await self._cluster.create(kind, namespace, body)


def _refused(kind: str, name: str, error: ClusterError) -> Problem:
    """Why an object of a schedule cannot be made. Raises the error again where that may pass by itself."""
    if error.status == 409:
        # Ours would have been found by its label. A conflict of versions passes: the next look tells it from this.
        text = f"{kind} {name} exists and does not belong to this schedule: rename one of them"
        return Problem("NameTaken", text)
    if error.status not in _REFUSED:
        raise error
    return Problem("ChildRefused", f"the API server refuses {kind} {name}: {error.message}")


class Needs:
    """Looks whether what a schedule refers to is there, and makes its key where that is asked for."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def look(self, declared: Declared, *, written: bool) -> list[Problem]:
        """What is missing; ``written`` is whether a repository was ever written."""
        places: set[tuple[str, str, str]] = set()
        wanted: set[str] = set()
        spool = declared.spec.source.postgres
        for task in _TASKS:
            for path, (kind, ref, optional) in credentials(declared.spec, task).items():
                if path != "key/current" and not optional:
                    places.add((kind, ref.name, ref.key))
            for claim in claims(declared, task):
                if claim.path != "spool" or (spool is not None and spool.spool is not None):
                    wanted.add(claim.name)
        problems = await self._key(declared, written=written)
        _, missing = await read_values(self._cluster, declared.namespace, places)
        # Pods read Secrets by themselves: that the operator may not is nobody's trouble here.
        problems += [problem for problem in missing if not problem.reason.endswith("Forbidden")]
        for name in sorted(wanted):
            if await self._cluster.get("persistentvolumeclaims", declared.namespace, name) is None:
                text = f'PersistentVolumeClaim "{name}" does not exist here: create it or mend the name'
                problems.append(Problem("ClaimMissing", text))
        return problems

    async def _key(self, declared: Declared, *, written: bool) -> list[Problem]:
        encryption = declared.spec.encryption
        ref = encryption.secret_key_ref
        try:
            if await self._cluster.read_key("Secret", declared.namespace, ref.name, ref.key) is not None:
                return []
            if encryption.create and not written:
                await self._make_key(declared, ref)
                return []
        except ClusterError as error:
            if error.status == 409:
                text = f'Secret "{ref.name}" exists and has no key "{ref.key}": add it, or name another Secret'
                return [Problem("KeyMissing", text)]
            if error.status != 403:
                raise
            if not encryption.create:
                return []
            text = (
                f"making Secret {ref.name} is not allowed: turn rbac.secrets on in the chart, "
                "or make the Secret yourself and leave encryption.create out"
            )
            return [Problem("SecretForbidden", text)]
        text = f'Secret "{ref.name}" with key "{ref.key}", the key of the repositories, does not exist here: '
        if written:
            text += "there are backups that cannot be read without it, so none is made: put the old one back"
        else:
            text += "create it, or write encryption.create: true"
        return [Problem("KeyMissing", text)]

    async def _make_key(self, declared: Declared, ref: KeyRef) -> None:
        """A random passphrase. The Secret belongs to nobody: it must outlive the schedule, as the data does."""
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": ref.name,
                "namespace": declared.namespace,
                "labels": {"app.kubernetes.io/managed-by": "lastgood"},
            },
            "type": "Opaque",
            "data": {ref.key: base64.b64encode(secrets.token_urlsafe(32).encode()).decode()},
        }
        await self._cluster.create("secrets", declared.namespace, body)
        _log.info("key made", namespace=declared.namespace, schedule=declared.name, secret=ref.name)


class Jobs:
    """Reads the Jobs of a schedule, and what their pods said at their end."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def look(self, schedule: ScheduleKnown) -> list[JobSeen]:
        """All that there are, of Restores excepted."""
        selector = f"{SCHEDULE_LABEL}={schedule.uid},!lastgood.dev/restore-uid"
        found = []
        bodies = await self._cluster.list_objects("jobs", schedule.key[0], selector)
        for body in bodies:
            name = body["metadata"]["name"]
            ended = any(
                c["type"] in {"Complete", "Failed"} and c["status"] == "True"
                for c in (body.get("status") or {}).get("conditions") or ()
            )
            if ended and name not in schedule.told:
                schedule.told[name] = await self._said(schedule.key[0], name)
            found.append(job_of(body, schedule.told.get(name)))
        names = {body["metadata"]["name"] for body in bodies}
        schedule.told = {name: text for name, text in schedule.told.items() if name in names}
        return found

    async def _said(self, namespace: str, job: str) -> str:
        """The termination message of the Job's newest pod; empty when there is none."""
        pods = await self._cluster.list_objects("pods", namespace, f"batch.kubernetes.io/job-name={job}")
        for pod in sorted(pods, key=lambda p: p["metadata"]["creationTimestamp"], reverse=True):
            for container in (pod.get("status") or {}).get("containerStatuses") or ():
                ended: dict[str, Any] = (container.get("state") or {}).get("terminated") or {}
                if ended.get("message"):
                    return str(ended["message"])
        return ""
