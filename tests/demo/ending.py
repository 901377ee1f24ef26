"""The end of the story: what a person would look at, and whether the good pods serve."""

import json
import time
from datetime import datetime
from typing import Any

from tests.demo.cluster import Cluster
from tests.demo.story import Story

_ASK = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=3).read().decode())"
_GOOD_SETTINGS = {"pricing": "v1", "banner": "Welcome"}
_TIMES = 5


def ask(cluster: Cluster, service: str, path: str) -> dict[str, Any]:
    """What a Service of the shop answers to a pod of the shop; empty when it is not a 200 with JSON."""
    python = ["python3", "-c", _ASK, f"http://{service}:8000{path}"]
    out = cluster.run("-n", "shop", "exec", "deployment/frontend", "--", *python, check=False)
    try:
        answer: dict[str, Any] = json.loads(out)
    except ValueError:
        return {}
    return answer


def ordered(answer: dict[str, Any]) -> str:
    """What the shop says to a customer who orders, in words."""
    if not answer:
        return "refused"
    return f"order {answer['orders']} in PostgreSQL, {answer['counted']} counted in Redis, by {answer['version']}"


def show(cluster: Cluster, story: Story, shop: dict[str, Any]) -> None:
    """Table, conditions, Events, the Rollback."""
    story.chapter("kubectl get monitoredservices -n shop")
    print(cluster.run("-n", "shop", "get", "monitoredservices").rstrip())
    story.chapter("conditions of backend")
    for condition in shop["MonitoredService/backend"]["status"]["conditions"]:
        line = f"  {condition['type']:<20} {condition['status']:<6} {condition['reason']:<16} {condition['message']}"
        print(line.rstrip())
    story.chapter("Events of backend and its Rollback")
    for event in sorted(_items(cluster, "events.events.k8s.io"), key=lambda e: e.get("eventTime") or ""):
        about = event["regarding"]
        if about.get("kind") in {"MonitoredService", "Rollback"} and about["name"].startswith("backend"):
            print(f"  {event['eventTime'][11:19]}  {event['type']:<8} {event['reason']:<18} {event['note']}")
    for rollback in _items(cluster, "rollbacks"):
        _describe(story, rollback)


def _describe(story: Story, rollback: dict[str, Any]) -> None:
    status, trigger = rollback["status"], rollback["spec"]["trigger"]
    story.chapter(f"kubectl describe rollback {rollback['metadata']['name']} -n shop")
    print(f"  Service  {rollback['spec']['service']}: {status['from']['version']} -> {status['to']['version']}")
    print(f"  Why      {trigger['message']}")
    print(f"  Phase    {status['phase']}")
    print("  Steps")
    for step in status["steps"]:
        print(
            f"    {(step.get('at') or '')[11:19]:<8}  {step['name']:<11} {step['state']:<8} {step.get('message', '')}"
        )
    changed = [line for line in status.get("diff", "").splitlines() if line[:1] in {"+", "-"}]
    print(f"  Diff     {len(changed) - 2} lines of the pod template; values of variables show as hashes")
    began, patched, ended = (
        datetime.fromisoformat(text)
        for text in (trigger["since"], _step(status, "Executed")["at"], status["finishedAt"])
    )
    story.chapter("Times, by the cluster's clock")
    first = (
        f"{(patched - began).total_seconds():5.1f} s from the first bad answer to the patch (20 s are the trigger's)"
    )
    second = (
        f"{(ended - patched).total_seconds():5.1f} s from the patch until the rollout was complete and probes green"
    )
    total = f"{(ended - began).total_seconds():5.1f} s of failing, as the probes saw it"
    print("\n".join(f"  {line}" for line in (first, second, total)))


def _step(status: dict[str, Any], name: str) -> dict[str, Any]:
    return next(step for step in status["steps"] if step["name"] == name)


def verdict(cluster: Cluster, story: Story) -> bool:
    """Whether v1.0.0 serves again, with its settings and without what v1.1.0 brought. Asks anew, believes no status."""
    story.chapter("The end")
    deadline = time.monotonic() + 20
    found = _facts(cluster)
    # The sidecar's pods may need some seconds to end.
    while not all(found.values()) and time.monotonic() < deadline:
        time.sleep(0.5)
        found = _facts(cluster)
    for text, true in found.items():
        story.tell(f"{'yes' if true else 'NO '}  {text}", "good" if true else "bad")
    return all(found.values())


def _facts(cluster: Cluster) -> dict[str, bool]:
    answers = [ask(cluster, "backend", "/health") for _ in range(_TIMES)]
    settings = json.loads(cluster.run("-n", "shop", "get", "configmap", "backend-settings", "-o", "json"))["data"]
    pods = [p for p in _items(cluster, "pods", "--selector=app=backend") if "deletionTimestamp" not in p["metadata"]]
    names = {container["name"] for pod in pods for container in pod["spec"]["containers"]}
    phases = [rollback["status"]["phase"] for rollback in _items(cluster, "rollbacks")]
    order = ask(cluster, "frontend", "/order")
    return {
        f"the backend's Service answered ok, v1.0.0, {_TIMES} times of {_TIMES}": all(
            (a.get("status"), a.get("version"), a.get("banner")) == ("ok", "v1.0.0", "Welcome") for a in answers
        ),
        f"a customer can order again through the frontend: {ordered(order)}": order.get("version") == "v1.0.0",
        "the ConfigMap holds the settings of v1.0.0": settings == _GOOD_SETTINGS,
        "two pods run, without the sidecar": len(pods) == 2 and names == {"backend"},
        "there was one Rollback, and it succeeded": phases == ["Succeeded"],
    }


def _items(cluster: Cluster, kind: str, *more: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(cluster.run("-n", "shop", "get", kind, *more, "-o", "json"))["items"]
    return items
