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
from tests.bench.driver import Target, quantile, scrape, total
from tests.lab import Lab

from lastgood.kube.cluster import KubeCluster

COUNT, HANGING, REACTING = 10_000, 1_000, 50
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
    spec: dict[str, Any] = {"targetRef": {"name": name}, "probes": [probe]}
    if quick:
        spec["stability"] = {"soak": "5s"}
        spec["rollback"] = {"triggers": {"healthFailing": {"for": "5s"}}}
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

    await _each(sorted(urls), make)
    quick = [n for n in urls if n.startswith("quick")]
    await _each(quick, lambda name: _complete(cluster, name, 1))
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


def _wait(port: int, ready: Any, within: float) -> float:
    began = time.monotonic()
    while time.monotonic() - began < within:
        try:
            if ready(scrape(port)):
                return time.monotonic() - began
        except OSError:
            pass
        time.sleep(0.2)
    msg = "the operator did not settle"
    raise SystemExit(msg)


def _writes(samples: Any) -> float:
    return total(samples, "lastgood_api_writes_total")


def run() -> list[tuple[str, str]]:
    """Rows of figure and value."""
    lab = Lab(name="bench", mode="control-plane")
    lab.up()
    kubectl = [str(lab.bin("kubectl")), f"--kubeconfig={lab.kubeconfig}"]
    subprocess.run([*kubectl, "apply", "-f", "crds/"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([*kubectl, "create", "namespace", NAMESPACE], check=True, stdout=subprocess.DEVNULL)
    rows: list[tuple[str, str]] = []
    try:
        with Target() as target:
            ok, hang = f"http://127.0.0.1:{target.ok}/health", f"http://127.0.0.1:{target.hang}/health"
            quick = {f"quick-{n}": f"http://127.0.0.1:{target.ok}/fail" for n in range(REACTING)}
            urls = {f"s-{n}": ok for n in range(COUNT - REACTING)} | quick
            asyncio.run(_fill(lab, urls))
            port = _free_port()
            process = _operator(lab, port)
            _wait(port, lambda s: total(s, "lastgood_service_healthy") >= COUNT * 0.999, 240)
            process.terminate()
            process.wait()
            # The figure is that of a restart: everything is declared, status is written, a new process comes.
            process = _operator(lab, port)
            rows.append(
                (
                    f"settled: {COUNT} services known, read and scheduled, from process start",
                    f"{_wait(port, lambda s: total(s, 'lastgood_probes_scheduled') >= COUNT, 120):.1f} s",
                )
            )
            time.sleep(45)
            calm = _lag(port, process, rows, "")
            # Every tenth target hangs from here on.
            asyncio.run(_hang(lab, [f"s-{n}" for n in range(HANGING)], hang))
            time.sleep(40)
            hanging = _lag(port, process, rows, f", {HANGING} targets hanging")
            rows.append(("p99 start lag, hanging against calm", f"{hanging:.3f} / {calm:.3f} s"))
            asyncio.run(_release(lab, sorted(quick)))
            time.sleep(3)
            before = scrape(port)
            socket.create_connection(("127.0.0.1", target.switch)).sendall(b"x")
            _wait(port, lambda s: total(s, "lastgood_reaction_seconds_count") >= REACTING * 0.9, 120)
            reaction = quantile(before, scrape(port), "lastgood_reaction_seconds", 0.99)
            rows.append((f"last failing outcome to accepted patch, p99 of {REACTING} at once", f"<= {reaction} s"))
            process.terminate()
            process.wait()
    finally:
        lab.down()
    return rows


async def _hang(lab: Lab, names: list[str], url: str) -> None:
    cluster = await _api(lab)
    patch = [{"op": "replace", "path": "/spec/probes/0/http/url", "value": url}]
    await _each(names, lambda name: cluster.json_patch("monitoredservices", NAMESPACE, name, patch))
    await cluster.aclose()


def _lag(port: int, process: subprocess.Popen[bytes], rows: list[tuple[str, str]], what: str) -> float:
    first, began = scrape(port), time.monotonic()
    ticks = os.sysconf("SC_CLK_TCK")

    def cpu() -> float:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / ticks

    cpu_before = cpu()
    time.sleep(60)
    last, seconds = scrape(port), time.monotonic() - began
    lag = quantile(first, last, "lastgood_probe_start_lag_seconds", 0.99)
    probes = total(last, "lastgood_probe_outcomes_total") - total(first, "lastgood_probe_outcomes_total")
    rows.append((f"start lag p99{what}", f"<= {lag} s"))
    rows.append((f"probes a second{what}", f"{probes / seconds:.0f}"))
    rows.append((f"CPU of the whole operator{what}", f"{(cpu() - cpu_before) / seconds:.0%} of one core"))
    rows.append((f"memory{what}", f"{_memory(process):.0f} MB"))
    rows.append((f"API writes in a minute, the Lease left out{what}", f"{_writes(last) - _writes(first):.0f}"))
    return lag
