"""`python -m tests.demo up|down [--cluster lab|kind|context:NAME]`."""

import argparse
import json
import os
import shutil
import subprocess
import sys
from typing import Any

from tests.demo.cluster import OPERATOR_IMAGE, ROOT, SHOP_IMAGE, Cluster, kind_kubeconfig, make
from tests.demo.ending import ask, ordered, show, verdict
from tests.demo.story import Late, Story
from tests.lab import Lab, LabError

_MARK = "app.kubernetes.io/part-of"
_OURS = "lastgood-demo"


def good(shop: dict[str, Any], name: str) -> bool:
    """Whether the running revision of a service is known to be good."""
    status = shop.get(f"MonitoredService/{name}", {}).get("status", {})
    revisions = status.get("goodRevisions") or [{}]
    return bool(revisions[0].get("key")) and revisions[0]["key"] == (status.get("current") or {}).get("key")


def healthy(shop: dict[str, Any], name: str) -> bool:
    """Whether a service is healthy."""
    conditions = shop.get(f"MonitoredService/{name}", {}).get("status", {}).get("conditions", [])
    return any(c["type"] == "Healthy" and c["status"] == "True" for c in conditions)


def failing(shop: dict[str, Any], name: str) -> bool:
    """Whether a service was seen to fail, or a Rollback says that it was."""
    conditions = shop.get(f"MonitoredService/{name}", {}).get("status", {}).get("conditions", [])
    return ended(shop) or any(c["type"] == "Healthy" and c["status"] == "False" for c in conditions)


def ended(shop: dict[str, Any]) -> bool:
    """Whether a Rollback came to its end."""
    phases = (item.get("status", {}).get("phase") for key, item in shop.items() if key.startswith("Rollback/"))
    return any(phase in {"Succeeded", "Failed"} for phase in phases)


def refuse_others(cluster: Cluster) -> None:
    """Touch no shop and no Lastgood in somebody's cluster that the demo did not make."""
    if cluster.ours:
        return
    text = cluster.run("get", "namespace", "shop", "--ignore-not-found", "-o", "json")
    if text and json.loads(text)["metadata"].get("labels", {}).get(_MARK) != _OURS:
        msg = f"the namespace shop is there already and is not the demo's (no label {_MARK}={_OURS}): left alone"
        raise SystemExit(msg)
    done = cluster.release("get", "values", "lastgood", "-o", "json", check=False)
    if done.returncode == 0 and (json.loads(done.stdout) or {}).get("podAnnotations", {}).get(_MARK) != _OURS:
        msg = "Lastgood is installed there already, and not by the demo: left alone"
        raise SystemExit(msg)


def install(cluster: Cluster) -> None:
    """Install or upgrade the chart, and wait for both replicas."""
    # A demo that was killed leaves Helm in the middle of an upgrade, which it then refuses to begin again.
    done = cluster.release("status", "lastgood", "-o", "json", check=False)
    if done.returncode == 0 and json.loads(done.stdout)["info"]["status"].startswith("pending"):
        cluster.release("uninstall", "lastgood", "--wait")
    if not cluster.run("get", "namespace", "lastgood-system", "--ignore-not-found"):
        metadata = {"name": "lastgood-system", "labels": {_MARK: _OURS}}
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        cluster.run("create", "-f", "-", stdin=json.dumps(body))
    repository, _, tag = cluster.image.rpartition(":")
    marks = {_MARK.replace(".", r"\."): _OURS}
    if cluster.build:
        # The tag stays the same from build to build: say in the pods what it stands for, so that they follow.
        marks["build"] = cluster.build
    chosen = [f"image.repository={repository}", f"image.tag={tag}"]
    chosen += [f"podAnnotations.{name}={value}" for name, value in marks.items()]
    sets = [word for value in chosen for word in ("--set-string", value)]
    chart = str(ROOT / "charts" / "lastgood")
    cluster.release("upgrade", "--install", "lastgood", chart, *sets, "--wait", "--timeout", "3m")


def up(cluster: Cluster) -> int:
    """Run the demo; 0 only when the good pods serve again."""
    story = Story(cluster)
    refuse_others(cluster)
    story.chapter("Lastgood is installed with its Helm chart")
    install(cluster)
    story.tell("two replicas are ready; one holds the Lease", "good")

    story.chapter("A shop goes live: backend v1.0.0, frontend, PostgreSQL, Redis")
    cluster.run("delete", "namespace", "shop", "--ignore-not-found", "--wait=true")
    cluster.apply("shop.yaml")
    cluster.apply("services.yaml")
    names = ("backend", "frontend", "postgres", "redis")
    story.watch_until(lambda s: all(good(s, n) for n in names), within=240, what="every revision known to be good")
    answer = ask(cluster, "backend", "/health")
    said = f"{answer.get('status')}, {answer.get('version')}, {answer.get('banner')!r}"
    story.tell(f"the backend answers: {said}", "good")
    story.tell(f"a customer orders through the frontend: {ordered(ask(cluster, 'frontend', '/order'))}", "good")

    story.chapter("A bad release goes out: backend v1.1.0, with a sidecar and new settings")
    cluster.apply("bad-release.yaml")
    broken = story.watch_until(lambda s: failing(s, "backend"), within=120, what="the backend failing")
    if not ended(broken):
        story.tell(f"a customer orders through the frontend: {ordered(ask(cluster, 'frontend', '/order'))}", "bad")
    story.watch_until(ended, within=240, what="a Rollback that ended")
    shop = story.watch_until(lambda s: healthy(s, "backend"), within=60, what="the backend healthy again")

    show(cluster, story, shop)
    true = verdict(cluster, story)
    story.tell(f"all in {story.seconds:.0f} s; `make down` removes everything", "say")
    return 0 if true else 1


def last_words(cluster: Cluster) -> None:
    """What a person needs who wonders why the demo did not come to its end."""
    for title, arguments in (
        ("pods", ["-n", "shop", "get", "pods"]),
        ("services", ["-n", "shop", "get", "monitoredservices,rollbacks", "-o", "wide"]),
        ("the operator's pods", ["-n", "lastgood-system", "get", "pods"]),
        ("the operator's log", ["-n", "lastgood-system", "logs", "-l", "app.kubernetes.io/name=lastgood", "--tail=20"]),
    ):
        print(f"\n-- {title}\n{cluster.run(*arguments, check=False)}", file=sys.stderr)


def down(name: str) -> int:
    """Remove what `up` made."""
    if name == "lab":
        Lab(name="demo").down()
    elif name == "kind":
        if shutil.which("kind"):
            command = ["kind", "delete", "cluster", "--name", "lastgood-demo", "--kubeconfig", str(kind_kubeconfig())]
            subprocess.run(command, check=True)
            kind_kubeconfig().unlink(missing_ok=True)
    else:
        cluster = make(name)
        refuse_others(cluster)
        cluster.release("uninstall", "lastgood", "--ignore-not-found", "--wait")
        cluster.run("delete", "namespace", f"--selector={_MARK}={_OURS}")
        print("The CRDs stay: there may be other MonitoredServices. To remove them: kubectl delete -f crds/")
    return 0


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="demo")
    parser.add_argument("what", choices=["up", "down"])
    parser.add_argument("--cluster", default="lab", help="lab, kind, or context:NAME")
    parser.add_argument(
        "--image",
        default=os.environ.get("IMAGE") or OPERATOR_IMAGE,
        help="with context:NAME: the operator's image, pushed before (also IMAGE=…)",
    )
    parser.add_argument(
        "--shop-image",
        default=os.environ.get("SHOP_IMAGE") or SHOP_IMAGE,
        help="with context:NAME: the shop's image, pushed before (also SHOP_IMAGE=…)",
    )
    options = parser.parse_args()
    if ":" not in options.image.rpartition("/")[2]:
        parser.error("--image: write it with a tag, such as registry.example/lastgood:0.1.0")
    if options.what == "down":
        return down(options.cluster)
    if options.cluster in {"lab", "kind"}:
        print("Preparing a cluster and two images. The first time takes some minutes, later ones seconds.", flush=True)
    try:
        cluster = make(options.cluster, image=options.image, shop_image=options.shop_image)
    except LabError as error:
        raise SystemExit(str(error)) from None
    try:
        return up(cluster)
    except Late as late:
        print(f"\n{late}", file=sys.stderr)
        last_words(cluster)
        return 1


if __name__ == "__main__":
    sys.exit(main())
