"""Ten thousand services on a real API server: start, lag, memory, writes, hanging targets, reaction."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from kubernetes.aio import client, config
from tests.bench.driver import Row, Target, at_most, quantile, scrape, total
from tests.lab import Lab

from lastgood.kube.cluster import KubeCluster

COUNT = int(os.environ.get("LASTGOOD_BENCH_SERVICES", "10000"))
"""LASTGOOD_BENCH_SERVICES: fewer are quicker, and enough to try a change."""

HANGING, REACTING = COUNT // 10, 100
WINDOW = 60
"""Seconds over which lags and writes are counted."""

NAMESPACE = "bench"


def _deployment(name: str, image: str) -> dict[str, Any]:
    labels = {"app": name}
    pod = {"containers": [{"name": "app", "image": image}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }


def _service(name: str, url: str, *, quick: bool) -> dict[str, Any]:
    http = {"url": url, "json": [{"path": "$.status", "equals": "ok"}]}
    probe = {"name": "health", "interval": "2s" if quick else "30s", "timeout": "1s", "http": http}
    spec: dict[str, Any] = {"targetRef": {"name": name}, "probes": [probe], "stability": {"soak": "10s"}}
    if quick:
        # Over when the third failure in a row comes: the rollback follows an outcome, and not the clock.
        spec["rollback"] = {"policy": "Automatic", "triggers": {"healthFailing": {"for": "3s"}}}
    return {
        "apiVersion": "lastgood.dev/v1alpha1",
        "kind": "MonitoredService",
        "metadata": {"name": name},
        "spec": spec,
    }


async def _api(lab: Lab) -> KubeCluster:
    configuration = client.Configuration()
    await config.load_kube_config(config_file=str(lab.kubeconfig), client_configuration=configuration)
    return KubeCluster(configuration=configuration, fence=lambda: None, count=lambda *_: None)


async def _each(names: list[str], work: Any, width: int = 40) -> None:
    queue = list(names)

    async def worker() -> None:
        while queue:
            await work(queue.pop())

    await asyncio.gather(*(worker() for _ in range(width)))


async def _fill(lab: Lab, urls: dict[str, str]) -> None:
    cluster = await _api(lab)

    async def make(name: str) -> None:
        await cluster.create("deployments", NAMESPACE, _deployment(name, "app:v1"))
        quick = name.startswith("quick")
        await cluster.create("monitoredservices", NAMESPACE, _service(name, urls[name], quick=quick))

        await _complete(cluster, name, 1)

    await _each(sorted(urls), make)
    await cluster.aclose()


async def _complete(cluster: KubeCluster, name: str, generation: int) -> None:
    """What a Deployment controller and a kubelet would write; there is neither here."""
    status = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas", "readyReplicas"), 1)
    await cluster.merge_status("deployments", NAMESPACE, name, {**status, "observedGeneration": generation})


async def _release(lab: Lab, names: list[str]) -> None:
    cluster = await _api(lab)

    async def change(name: str) -> None:
        patch = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "app:v2"}]
        await cluster.json_patch("deployments", NAMESPACE, name, patch)
        await _complete(cluster, name, 2)

    await _each(names, change)
    await cluster.aclose()


async def _roll_out(lab: Lab, name: str) -> None:
    """Have the rollout of what a rollback put back come to its end."""
    cluster = await _api(lab)
    found = await cluster.get("deployments", NAMESPACE, name)
    if found is not None:
        await _complete(cluster, name, found["metadata"]["generation"])
    await cluster.aclose()


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def _operator(lab: Lab, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "lastgood.cli.main", "run", "--kubeconfig", str(lab.kubeconfig)]
    command += ["--namespaces", NAMESPACE, "--lease-namespace", NAMESPACE, "--listen", f"127.0.0.1:{port}"]
    command += ["--allow-loopback", "--storm-limit", "1000", "--log-level", "error"]
    pin = ["taskset", "-c", "0"] if (os.cpu_count() or 1) > 1 else []
    return subprocess.Popen([*pin, *command], env={**os.environ, "PYTHONPATH": "operator"})


def _memory(process: subprocess.Popen[bytes]) -> float:
    text = Path(f"/proc/{process.pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("VmRSS"))


def _cpu(process: subprocess.Popen[bytes]) -> float:
    """Seconds of CPU so far."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _wait(port: int, ready: Any, within: float, what: str) -> float:
    began = time.monotonic()
    while time.monotonic() - began < within:
        try:
            if ready(scrape(port)):
                return time.monotonic() - began
        except OSError:
            pass
        time.sleep(0.5)
    msg = f"not within {within} s: {what}"
    raise SystemExit(msg)


def _writes(samples: Any) -> float:
    return total(samples, "lastgood_api_writes_total")


def _quiet(port: int, within: float) -> None:
    """Wait until nothing was written for some seconds."""
    ends, last, since = time.monotonic() + within, -1.0, 0.0
    while time.monotonic() < ends:
        writes = _writes(scrape(port))
        if writes != last:
            last, since = writes, time.monotonic()
        elif time.monotonic() - since > 15:
            return
        # Each look costs the operator ten thousand lines.
        time.sleep(5)
    msg = f"still writing after {within} s"
    raise SystemExit(msg)


async def _hang(lab: Lab, names: list[str], port: int) -> None:
    cluster = await _api(lab)
    urls = {name: f"http://{_address(int(name[2:]))}:{port}/health" for name in names}

    async def change(name: str) -> None:
        patch = [{"op": "replace", "path": "/spec/probes/0/http/url", "value": urls[name]}]
        await cluster.json_patch("monitoredservices", NAMESPACE, name, patch)

    await _each(names, change)
    await cluster.aclose()


def _address(number: int) -> str:
    """A loopback address of its own for each service, as each has its own host in a cluster."""
    return f"127.{1 + number // 65536}.{number // 256 % 256}.{number % 256}"


def _lag(port: int, process: subprocess.Popen[bytes], rows: list[Row], what: str) -> float:
    first, began, cpu = scrape(port), time.monotonic(), _cpu(process)
    time.sleep(WINDOW)
    used, last, seconds = _cpu(process) - cpu, scrape(port), time.monotonic() - began
    lags = {q: quantile(first, last, "lastgood_probe_start_lag_seconds", q) for q in (0.5, 0.99, 0.999)}
    probes = total(last, "lastgood_probe_outcomes_total") - total(first, "lastgood_probe_outcomes_total")
    shown = ", ".join(f"p{q * 100:g} {lag * 1000:.0f} ms" for q, lag in lags.items())
    rows.append(Row(f"start lag{what}", shown, "p99 ≤ 100 ms", lags[0.99] <= 0.1))
    rows.append(Row(f"probes a second{what}", f"{probes / seconds:.0f}"))
    rows.append(Row(f"CPU of the whole operator{what}", f"{used / seconds:.0%} of one core"))
    rows.append(at_most(f"memory (RSS){what}", _memory(process), 300, " MB"))
    if not what:
        rows.append(at_most(f"API writes in {WINDOW} s, the Lease left out", _writes(last) - _writes(first), 0, ""))
    return lags[0.99]


def run() -> list[Row]:
    """Rows of figure and value."""
    # As the image has it: what Python compiles at each start is no part of the operator's.
    subprocess.run([sys.executable, "-m", "compileall", "-q", "operator"], check=True)
    lab = Lab(name="bench", mode="control-plane")
    lab.up()
    kubectl = [str(lab.bin("kubectl")), f"--kubeconfig={lab.kubeconfig}"]
    subprocess.run([*kubectl, "apply", "-f", "crds/"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([*kubectl, "create", "namespace", NAMESPACE], check=True, stdout=subprocess.DEVNULL)
    try:
        with Target() as target:
            return _measure(lab, target)
    finally:
        lab.down()


def _measure(lab: Lab, target: Target) -> list[Row]:
    rows: list[Row] = []
    many = [f"s-{n}" for n in range(COUNT - REACTING)]
    quick = [f"quick-{n}" for n in range(REACTING)]
    urls = {name: f"http://{_address(n)}:{target.ok}/health" for n, name in enumerate(many)}
    urls |= {name: f"http://{_address(COUNT + n)}:{target.ok}/fail/{n}" for n, name in enumerate(quick)}
    asyncio.run(_fill(lab, urls))
    port = _free_port()
    began, process = time.monotonic(), _operator(lab, port)
    try:
        # The first start of all: no status is there, each service gets one, and each target its first good revision.
        _wait(port, lambda s: total(s, "lastgood_service_healthy") >= COUNT, 600, "every service healthy")
        rows.append(Row(f"first start: {COUNT} services probed and told healthy", f"{time.monotonic() - began:.0f} s"))
        _quiet(port, 900)
        took, writes = time.monotonic() - began - 15, _writes(scrape(port))
        rows.append(Row(f"first start: all that follows written ({writes:.0f} writes)", f"{took:.0f} s"))
    finally:
        process.terminate()
        process.wait()
    began, process = time.monotonic(), _operator(lab, port)
    try:
        # The start that happens from then on: everything is declared and told, and a new process comes.
        _wait(port, lambda s: total(s, "lastgood_probes_scheduled") >= COUNT, 120, "every service scheduled")
        took, used = time.monotonic() - began, _cpu(process)
        rows.append(at_most(f"settled: {COUNT} services read, judged and on the schedule", took, 15, " s", ".1f"))
        rows.append(Row("CPU until then", f"{used:.1f} s"))
        _wait(port, lambda s: total(s, "lastgood_probe_outcomes_total") >= COUNT, 120, "every service probed")
        what = "each probed once (the first probes are spread at 333 a second)"
        rows.append(Row(what, f"{time.monotonic() - began:.0f} s"))
        _quiet(port, 120)
        calm = _lag(port, process, rows, "")
        asyncio.run(_hang(lab, many[:HANGING], target.hang))
        time.sleep(40)
        hanging = _lag(port, process, rows, f", {HANGING} targets hanging")
        rows.append(at_most("p99 start lag, hanging to calm", hanging / calm, 1.2, "", ".2f"))
        _react(lab, target, port, quick, rows)
    finally:
        process.terminate()
        process.wait()
    return rows


_BACK = 13
"""Seconds from a release to where its service works again: it breaks after 3, and is rolled back within 9 from then."""


def _react(lab: Lab, target: Target, port: int, quick: list[str], rows: list[Row]) -> None:
    before = scrape(port)
    with socket.create_connection(("127.0.0.1", target.switch)) as switch:
        for number in range(REACTING + _BACK):
            if number < REACTING:
                asyncio.run(_release(lab, [quick[number]]))
            if 3 <= number < REACTING + 3:
                # Three seconds after its release each breaks: before the new revision counts as good too.
                switch.sendall(b"x")
            if number >= _BACK:
                # Rolled back by then, it works again.
                asyncio.run(_roll_out(lab, quick[number - _BACK]))
                switch.sendall(b"h")
            time.sleep(1)
    name = "lastgood_reaction_seconds"
    _wait(port, lambda s: total(s, f"{name}_count") >= REACTING, 120, "every rollback patched")
    after = scrape(port)
    took = {q: quantile(before, after, name, q) for q in (0.5, 0.99)}
    shown = ", ".join(f"p{q * 100:g} {seconds * 1000:.0f} ms" for q, seconds in took.items())
    what = f"last failing outcome to accepted patch, {REACTING} rollbacks, one a second"
    rows.append(Row(what, shown, "p99 ≤ 100 ms", took[0.99] <= 0.1))
