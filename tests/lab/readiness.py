"""When a component can be relied on: what it needs to get there, and how one sees that it did."""

import subprocess
import urllib.request
from collections.abc import Callable

from tests.lab.instance import Instance
from tests.lab.netns import node_address

COREDNS_PORT = 8181
KUBELET_PORT = 10248
KUBE_PROXY_PORT = 10256

_API = ("etcd", "kube-apiserver")

NEEDS = {
    "etcd": _API,  # an etcd that answers is of use to nobody but the API server
    "kube-apiserver": _API,
    "containerd": ("containerd",),
    "kubelet": (*_API, "containerd", "kubelet"),
    "kube-proxy": (*_API, "kube-proxy"),
    "coredns": (*_API, "coredns"),
}
"""What has to run for the component to become ready, itself included. The others say nothing about themselves."""


def check(instance: Instance, component: str) -> Callable[[], bool] | None:
    """Return the question whether the component is ready; None when it cannot become so, or cannot be asked."""
    state = instance.state
    if state is None or component not in NEEDS:
        return None
    parts = [state.components.get(name) for name in NEEDS[component]]
    if not all(part is not None and part.process.alive for part in parts):
        return None
    if component in _API:
        return instance.api().ready
    if component == "containerd":
        return lambda: ctr(instance, "version").returncode == 0
    address = node_address(state.subnet or 0)
    urls = {
        "kubelet": f"http://{address}:{KUBELET_PORT}/healthz",
        "kube-proxy": f"http://{address}:{KUBE_PROXY_PORT}/livez",
        "coredns": f"http://{address}:{COREDNS_PORT}/ready",
    }
    return lambda: _answers(urls[component])


def ctr(instance: Instance, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run containerd's client; it may fail."""
    command = ["/usr/bin/ctr", "--address", str(instance.dir / "containerd.sock"), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def _answers(url: str) -> bool:
    try:
        # No proxy: whatever the machine's settings are, this is one cable away.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
