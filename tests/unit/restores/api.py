"""An API server of one namespace in memory, with as much of controllers as a restore needs, that can kill its client."""

import asyncio
import copy
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lastgood.domain.ports import ClusterError, Object
from lastgood.domain.restores.observed import restore_seen
from lastgood.services.events import Events
from lastgood.services.metrics import Metrics
from lastgood.services.restores.executor import Restores
from lastgood.services.table import Table

Job = Callable[[str], Object | None]
NAMESPACE = "shop"


class Killed(BaseException):
    """The process is gone: nothing of it goes on, no handler of its own included."""


class Api:
    """Objects by plural and name. ``die_after`` kills the client once so many writes were carried out."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Object] = {}
        self.writes: list[tuple[str, str, str]] = []
        self.die_after = 0
        self.events: list[tuple[str, str, str]] = []
        self.refuse: set[str] = set()
        """Plurals that may not be created."""
        self.check: Callable[[], None] = lambda: None
        """Called after each write."""
        self._version = 0

    def put(self, kind: str, body: Object) -> Object:
        self._version += 1
        body = copy.deepcopy(body)
        metadata = body["metadata"]
        metadata.setdefault("namespace", NAMESPACE)
        metadata.setdefault("uid", f"uid-{kind}-{metadata['name']}")
        metadata.setdefault("generation", 1)
        metadata["resourceVersion"] = str(self._version)
        self.objects[kind, metadata["name"]] = body
        return body

    def has(self, kind: str, name: str) -> Object:
        return self.objects[kind, name]

    def all(self, kind: str) -> list[Object]:
        return [body for (plural, _), body in self.objects.items() if plural == kind]

    def _wrote(self, verb: str, kind: str, name: str) -> None:
        self.writes.append((verb, kind, name))
        self.check()
        if self.die_after and len(self.writes) == self.die_after:
            raise Killed

    # -- the port ----------------------------------------------------------------------------------------------------

    async def get(self, kind: str, namespace: str, name: str) -> Object | None:
        return copy.deepcopy(self.objects.get((kind, name)))

    async def list_objects(self, kind: str, namespace: str, selector: str = "") -> Sequence[Object]:
        wanted = [part.split("=") for part in selector.split(",") if part]
        found = [b for b in self.all(kind) if all((b["metadata"].get("labels") or {}).get(k) == v for k, v in wanted)]
        return copy.deepcopy(found)

    async def create(self, kind: str, namespace: str, body: Object) -> Object:
        if kind in self.refuse:
            raise ClusterError(403, "exceeded quota")
        if (kind, body["metadata"]["name"]) in self.objects:
            raise ClusterError(409, "exists")
        made = self.put(kind, body)
        self._wrote("create", kind, made["metadata"]["name"])
        return copy.deepcopy(made)

    async def json_patch(
        self, kind: str, namespace: str, name: str, patch: Sequence[Object], *, dry_run: bool = False
    ) -> Object:
        if (kind, name) not in self.objects:
            raise ClusterError(404, "gone")
        body = copy.deepcopy(self.objects[kind, name])
        for op in patch:
            *path, last = [p.replace("~1", "/") for p in op["path"].split("/")[1:]]
            place: Any = body
            for part in path:
                place = place[part]
            if op["op"] == "test" and place.get(last) != op["value"]:
                raise ClusterError(422, "test failed")
            if op["op"] in {"add", "replace"}:
                place[last] = op["value"]
            if op["op"] == "remove":
                del place[last]
        if kind == "restores" and body["metadata"].get("deletionTimestamp") and not body["metadata"].get("finalizers"):
            del self.objects[kind, name]
            self._version += 1
            body["metadata"]["resourceVersion"] = str(self._version)
        else:
            body = self.put(kind, body)
        self._wrote("patch", kind, name)
        return copy.deepcopy(body)

    async def merge_status(self, kind: str, namespace: str, name: str, status: Mapping[str, Any]) -> Object:
        if (kind, name) not in self.objects:
            raise ClusterError(404, "gone")
        body = copy.deepcopy(self.objects[kind, name])
        body["status"] = {**(body.get("status") or {}), **json.loads(json.dumps(status))}
        body = self.put(kind, body)
        self._wrote("status", kind, name)
        return copy.deepcopy(body)

    async def event(self, regarding: Object, kind: str, reason: str, message: str, at: float) -> None:
        self.events.append((regarding["metadata"]["name"], reason, message))

    # -- the controllers ---------------------------------------------------------------------------------------------

    def tick(self, job: Job) -> None:
        """Pods follow replicas; of each Job that runs, ``job`` says by its task what its pod said, None: not yet."""
        for plural in ("deployments", "statefulsets"):
            for body in self.all(plural):
                name, wanted = body["metadata"]["name"], body["spec"]["replicas"]
                body["status"] = {"readyReplicas": wanted}
                for place in range(9):
                    pod = ("pods", f"{name}-{place}")
                    if place < wanted and pod not in self.objects:
                        metadata = {"name": pod[1], "labels": {"app": name}}
                        self.put("pods", {"metadata": metadata, "spec": {}, "status": {"phase": "Running"}})
                    elif place >= wanted:
                        self.objects.pop(pod, None)
        for body in self.all("jobs"):
            if (body.get("status") or {}).get("conditions"):
                continue
            task = body["metadata"]["labels"]["lastgood.dev/task"]
            told = job(task)
            if told is None:
                continue
            name = body["metadata"]["name"]
            terminated = told.get("terminated") or {"exitCode": 0 if told["ok"] else 1, "message": json.dumps(told)}
            failed = terminated["exitCode"] != 0
            if not told.get("pod_gone"):
                status = {
                    "containerStatuses": [{"name": "job", "state": {"terminated": terminated}}],
                    **told.get("pod", {}),
                }
                labels = {"batch.kubernetes.io/job-name": name}
                self.put(
                    "pods",
                    {
                        "metadata": {"name": f"{name}-x", "labels": labels},
                        "spec": {},
                        "status": {"phase": "Failed" if failed else "Succeeded", **status},
                    },
                )
            condition = {
                "type": "Failed" if failed else "Complete",
                "status": "True",
                "reason": told.get("job_reason", ""),
            }
            body["status"] = {"conditions": [condition]}
            if told.get("vanishes"):
                del self.objects["jobs", name]


def well(task: str, **more: Any) -> Object:
    return {"ok": True, "task": task, "reason": "Done", "message": f"{task} was done", **more}


def fails(task: str, reason: str = "Unreachable", message: str = "no answer") -> Object:
    return {"ok": False, "task": task, "reason": reason, "message": message}


def all_well(task: str) -> Object:
    return well(task, **({"backup": "safe"} if task == "safety" else {}))


def deployment(name: str = "shop", replicas: int = 2) -> Object:
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": {"spec": {}}}
    return {"metadata": {"name": name, "annotations": {"a": "b"}}, "spec": spec}


def stateful(name: str = "pg", replicas: int = 1, **metadata: Any) -> Object:
    body = deployment(name, replicas)
    body["metadata"] |= metadata
    body["spec"]["volumeClaimTemplates"] = [{"metadata": {"name": "data"}}]
    return body


def claim(name: str = "data-pg-0", **metadata: Any) -> Object:
    return {"metadata": {"name": name, **metadata}, "spec": {}}


def schedule(name: str = "db", **spec: Any) -> Object:
    base = {
        "source": {"postgres": {"dsn": {"name": "s", "key": "k"}, "method": "logical"}},
        "repositories": {
            "primary": {"volume": {"claim": "backups"}},
            "secondary": [{"name": "away", "volume": {"claim": "away"}}],
        },
        "encryption": {"secretKeyRef": {"name": "key", "key": "k"}},
    }
    return {"metadata": {"name": name}, "spec": {**base, **spec}}


def source(method: str) -> Object:
    return {"postgres": {"dsn": {"name": "s", "key": "k"}, "method": method}}


def backup(
    name: str, point: str, *, schedule: str = "db", where: Sequence[str] = ("primary",), **status: Any
) -> Object:
    copies = [{"repository": r, "state": "Present", "snapshots": [f"{r}-{name}"]} for r in where]
    told = {"phase": "Succeeded", "method": "logical", "point": point, "contents": ["shop"], "copies": copies}
    return {"metadata": {"name": name}, "spec": {"schedule": schedule}, "status": {**told, **status}}


def restore(name: str = "back", **spec: Any) -> Object:
    body = {"schedule": "db", "stop": [{"kind": "Deployment", "name": "shop"}], "needsApproval": False, **spec}
    return {
        "apiVersion": "lastgood.dev/v1alpha1",
        "kind": "Restore",
        "metadata": {"name": name, "creationTimestamp": "2026-01-02T00:00:00Z"},
        "spec": body,
    }


def stage(**schedule_spec: Any) -> Api:
    api = Api()
    api.put("backupschedules", schedule(**schedule_spec))
    api.put("backups", backup("b1", "2026-01-01T00:00:00Z"))
    api.put("backups", backup("b2", "2026-01-02T00:00:00Z"))
    api.put("deployments", deployment())
    api.tick(all_well)
    return api


class Process:
    """One life of the operator."""

    def __init__(self, api: Api) -> None:
        self.api, self.metrics, self.table = api, Metrics(), Table()
        from lastgood.domain.backups.pods import Options

        self.restores = Restores(api, self.table, self.metrics, Events(api), Options("image:1"))  # type: ignore[arg-type]

    async def look(self, name: str = "back") -> float | None:
        body = await self.api.get("restores", NAMESPACE, name)
        return (await self.restores.carry_on(body))[1] if body is not None else None


async def drive(api: Api, job: Job = all_well, *names: str, process: Process | None = None, turns: int = 60) -> None:
    """Until nothing more happens, with a new process wherever one was killed."""
    process = process or Process(api)
    for _ in range(turns):
        before = len(api.writes)
        for name in names or ("back",):
            try:
                await process.look(name)
            except Killed:
                process = Process(api)
        api.tick(job)
        if before == len(api.writes) and not running(api):
            for _ in range(100):
                # Events are written behind everybody's back.
                await asyncio.sleep(0)
            return
    raise AssertionError(json.dumps([r.get("status") for r in api.all("restores")], indent=1))


def running(api: Api) -> bool:
    return any(
        not restore_seen(r).final and (r.get("status") or {}).get("phase") not in {"AwaitingApproval", "Waiting"}
        for r in api.all("restores")
    )


def steps(api: Api, name: str = "back") -> dict[str, str]:
    return {s["name"]: s["state"] for s in api.has("restores", name)["status"]["steps"]}


def complete(api: Api, name: str = "back") -> Object:
    conditions = api.has("restores", name)["status"]["conditions"]
    return next(c for c in conditions if c["type"] == "Complete")
