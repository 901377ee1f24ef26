"""`python -m tests.demo up|down [--cluster lab|kind|context:NAME]`."""

import argparse
import json
import shutil
import subprocess
import sys
import time
from typing import Any

from tests.demo.cluster import ROOT, Cluster, make
from tests.demo.story import Story
from tests.lab import Lab

_SERVED = "import urllib.request as u; print(u.urlopen('http://backend:8000/health', timeout=3).read().decode())"


def backend_answer(cluster: Cluster) -> dict[str, Any]:
    """What the backend says through its Service, asked from a pod of the shop; empty when it does not answer 200."""
    out = cluster.run("-n", "shop", "exec", "deployment/frontend", "--", "python3", "-c", _SERVED, check=False)
    try:
        answer: dict[str, Any] = json.loads(out)
    except ValueError:
        return {}
    return answer


def good(shop: dict[str, Any], name: str) -> bool:
    """Whether the running revision of a service is known to be good."""
    status = shop.get(f"MonitoredService/{name}", {}).get("status", {})
    revisions = status.get("goodRevisions") or [{}]
    return bool(revisions[0].get("key")) and revisions[0]["key"] == (status.get("current") or {}).get("key")


def clear_pending(cluster: Cluster) -> None:
    """A demo that was killed leaves Helm in the middle of an upgrade, which it then refuses to begin again."""
    asked = [*cluster.helm, "status", "lastgood", "--namespace", "lastgood-system", "-o", "json"]
    done = subprocess.run(asked, text=True, capture_output=True, check=False)
    if done.returncode == 0 and json.loads(done.stdout)["info"]["status"].startswith("pending"):
        gone = [*cluster.helm, "uninstall", "lastgood", "--namespace", "lastgood-system", "--wait"]
        subprocess.run(gone, check=True, stdout=subprocess.DEVNULL)


def up(name: str) -> int:
    """Run the demo; 0 only when the good pods serve again."""
    print("Preparing a cluster and two images. The first time takes some minutes, later ones seconds.", flush=True)
    cluster = make(name)
    story = Story(cluster)

    story.chapter("Lastgood is installed with its Helm chart")
    clear_pending(cluster)
    chart = str(ROOT / "charts" / "lastgood")
    command = [*cluster.helm, "upgrade", "--install", "lastgood", chart, "--namespace", "lastgood-system"]
    if cluster.build:
        # The tag stays the same from build to build: say in the pods what it stands for, so that they follow.
        command += ["--set-string", f"podAnnotations.build={cluster.build}"]
    done = subprocess.run(
        [*command, "--create-namespace", "--wait", "--timeout", "3m"], text=True, capture_output=True, check=False
    )
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        return 1
    story.tell("two replicas are ready; one holds the Lease", "good")

    story.chapter("A shop goes live: backend v1.0.0, frontend, PostgreSQL, Redis")
    cluster.run("delete", "namespace", "shop", "--ignore-not-found", "--wait=true")
    cluster.run("apply", "-f", str(ROOT / "manifests" / "demo" / "shop.yaml"))
    cluster.run("apply", "-f", str(ROOT / "manifests" / "demo" / "services.yaml"))
    names = ("backend", "frontend", "postgres", "redis")
    story.watch_until(lambda s: all(good(s, n) for n in names), within=240, what="every revision known to be good")
    before = backend_answer(cluster)
    story.tell(
        f"the backend answers: {before.get('status')}, {before.get('version')}, {before.get('banner')!r}", "good"
    )

    story.chapter("A bad release goes out: backend v1.1.0, with a sidecar and new settings")
    cluster.run("apply", "-f", str(ROOT / "manifests" / "demo" / "bad-release.yaml"))

    def ended(shop: dict[str, Any]) -> bool:
        return any(
            item.get("status", {}).get("phase") in {"Succeeded", "Failed"}
            for key, item in shop.items()
            if key.startswith("Rollback/")
        )

    story.watch_until(ended, within=240, what="a Rollback that ended")
    healthy = story.watch_until(
        lambda s: any(
            c["type"] == "Healthy" and c["status"] == "True"
            for c in s["MonitoredService/backend"]["status"]["conditions"]
        ),
        within=60,
        what="the backend healthy again",
    )
    return show(cluster, story, healthy)


def show(cluster: Cluster, story: Story, shop: dict[str, Any]) -> int:
    """The end: what a person would look at, and whether the good pods serve."""
    story.chapter("kubectl get monitoredservices -n shop")
    print(cluster.run("-n", "shop", "get", "monitoredservices"))
    story.chapter("conditions of backend")
    for condition in shop["MonitoredService/backend"]["status"]["conditions"]:
        print(f"  {condition['type']:<20} {condition['status']:<6} {condition['reason']:<16} {condition['message']}")
    story.chapter("Events of backend")
    events = json.loads(cluster.run("-n", "shop", "get", "events.events.k8s.io", "-o", "json"))["items"]
    for event in sorted(events, key=lambda e: e.get("eventTime") or ""):
        if (
            event["regarding"].get("kind") in {"MonitoredService", "Rollback"}
            and "backend" in event["regarding"]["name"]
        ):
            print(f"  {event['eventTime'][11:19]}  {event['type']:<8} {event['reason']:<18} {event['note']}")
    story.chapter("the Rollback and its five steps")
    rollback = json.loads(cluster.run("-n", "shop", "get", "rollbacks", "-o", "json"))["items"][-1]
    for step in rollback["status"]["steps"]:
        print(f"  {(step.get('at') or '')[11:19]:<8}  {step['name']:<11} {step['state']:<8} {step.get('message', '')}")
    answer: dict[str, Any] = {}
    deadline = time.monotonic() + 20
    while answer.get("version") != "v1.0.0" and time.monotonic() < deadline:
        answer = backend_answer(cluster)
    settings = json.loads(cluster.run("-n", "shop", "get", "configmap", "backend-settings", "-o", "json"))["data"]
    containers = shop["Deployment/backend"]["spec"]["template"]["spec"]["containers"]
    served = answer.get("status") == "ok" and answer.get("version") == "v1.0.0"
    whole = settings == {"pricing": "v1", "banner": "Welcome"} and len(containers) == 1
    story.chapter("The end")
    story.tell(f"the backend answers: {answer.get('status')}, {answer.get('version')}", "good" if served else "bad")
    story.tell(
        "settings and containers are those of v1.0.0" if whole else "settings or containers differ",
        "good" if whole else "bad",
    )
    story.tell(f"all in {story.seconds:.0f} s; `make down` removes everything", "say")
    return 0 if served and whole and rollback["status"]["phase"] == "Succeeded" else 1


def down(name: str) -> int:
    """Remove what `up` made."""
    if name == "lab":
        Lab(name="demo").down()
    elif name == "kind":
        if shutil.which("kind"):
            subprocess.run(["kind", "delete", "cluster", "--name", "lastgood-demo"], check=True)
    else:
        cluster = make(name)
        cluster.run("delete", "namespace", "shop", "--ignore-not-found")
        subprocess.run([*cluster.helm, "uninstall", "lastgood", "-n", "lastgood-system"], check=False)
    return 0


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="demo")
    parser.add_argument("what", choices=["up", "down"])
    parser.add_argument("--cluster", default="lab", help="lab, kind, or context:NAME")
    options = parser.parse_args()
    return up(options.cluster) if options.what == "up" else down(options.cluster)


if __name__ == "__main__":
    sys.exit(main())
