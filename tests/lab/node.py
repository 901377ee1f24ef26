"""A whole node: the control plane, and what it takes for pods to run, in namespaces of its own."""

import os
import time
from pathlib import Path
from typing import Any

from tests.lab import archive, cgroups, controlplane, debian, netns, nodeconfig, volumes
from tests.lab.api import Api
from tests.lab.instance import Instance
from tests.lab.paths import LabError
from tests.lab.processes import POLL_SECONDS, marked, terminate
from tests.lab.readiness import check, ctr
from tests.lab.state import State

HOLDER = "namespaces"
"""The component that keeps the node's namespaces: without it, nothing else can be started in them."""

API_PORT = 6443
POD_GRACE_SECONDS = 2
PODS_GONE_SECONDS = 20.0


def possible() -> bool:
    """Whether this user can have a node, and so may have to clean up after one."""
    return os.geteuid() == 0


def prepare() -> None:
    """Install what a node takes.

    :raises LabError: when this is not root, or a package cannot be had.
    """
    if not possible():
        msg = "a node takes root; `--mode control-plane` does not"
        raise LabError(msg)
    debian.ensure()


def boot(instance: Instance) -> None:
    """Start everything, in the order in which each can find what it needs, and wait until pods can run."""
    state = _state(instance)
    cgroups.create(instance.name)
    state.subnet = netns.create(instance.name, service_cidr=controlplane.SERVICE_CIDR)
    address = netns.node_address(state.subnet)
    state.api_url = f"https://{address}:{API_PORT}"
    files = _files(instance)
    resolv = netns.resolve_by(instance.name, address)
    instance.spawn(HOLDER, netns.holder(instance.name, instance.dir))
    instance.wait("the node's namespaces", (instance.dir / "namespaces.ready").exists)
    _boot_control_plane(instance, address=address, node=files.node)
    _boot_node(instance, files=files, resolv=resolv)
    _wait_until_usable(instance, files=files)


def reboot(instance: Instance) -> None:
    """Have every process end at once, as in a power cut, and start the node's programs again; pods are the kubelet's.

    The network and what is mounted stay: it is processes that a reboot takes from jobs.
    """
    state = _state(instance)
    holder = state.components[HOLDER].process
    # containerd's shims first end with their parent, and the pods with their cgroup.
    terminate([process for process in marked(instance.dir) if process != holder], grace=0)
    cgroups.kill(instance.name)
    for name, component in list(state.components.items()):
        if name == HOLDER:
            continue
        if name == "kube-controller-manager":
            instance.wait_alone("kube-apiserver", instance.api().ready)
        if name == "kubelet":
            _wait_alone(instance, "containerd")
        instance.spawn(name, component.argv)
    _wait_until_usable(instance, files=_files(instance))


def _boot_control_plane(instance: Instance, *, address: str, node: str) -> None:
    controlplane.credentials(instance, hosts=[address, node])
    authority = instance.authority
    authority.issue("apiserver-to-kubelet", common_name="apiserver-to-kubelet", groups=["system:masters"])
    options = {
        "advertise-address": address,
        "secure-port": str(API_PORT),
        "kubelet-certificate-authority": str(instance.pki / "ca.crt"),
        "kubelet-client-certificate": str(instance.pki / "apiserver-to-kubelet.crt"),
        "kubelet-client-key": str(instance.pki / "apiserver-to-kubelet.key"),
        # By name, `kubectl exec` and `logs` would ask the host's DNS for the node.
        "kubelet-preferred-address-types": "InternalIP",
    }
    _spawn(instance, "etcd", controlplane.etcd(instance, client_port=2379, peer_port=2380))
    _spawn(instance, "kube-apiserver", controlplane.api_server(instance, etcd_port=2379, options=options))
    # containerd takes its time, too, and needs nothing of the API server's.
    _spawn(instance, "containerd", ["/usr/bin/containerd", "--config", nodeconfig.containerd(_files(instance))])
    instance.wait("the API server", instance.api().ready)
    _spawn(instance, "kube-controller-manager", controlplane.controller_manager(instance, options={"secure-port": "0"}))
    scheduler = {
        "kubeconfig": instance.kubeconfig_for("system:kube-scheduler"),
        "leader-elect": "false",
        "secure-port": "0",
    }
    _spawn(instance, "kube-scheduler", controlplane.flags(instance.binary("kube-scheduler"), scheduler))


def _boot_node(instance: Instance, *, files: nodeconfig.Files, resolv: Path) -> None:
    _wait(instance, "containerd")
    load_image(instance, archive.of_program(Path(instance.binary("pause")), tag=nodeconfig.PAUSE_IMAGE))
    instance.authority.issue("kubelet-server", common_name=files.node, hosts=[files.node, files.address])
    kubelet = {
        "config": nodeconfig.kubelet(files, pki=instance.pki, resolv=resolv),
        "kubeconfig": instance.kubeconfig_for(f"system:node:{files.node}", groups=["system:nodes"]),
        "hostname-override": files.node,
        "node-ip": files.address,
        "root-dir": str(instance.dir / "kubelet"),
        "cert-dir": str(instance.pki),
    }
    _spawn(instance, "kubelet", controlplane.flags(instance.binary("kubelet"), kubelet))
    config = nodeconfig.kube_proxy(files, kubeconfig=instance.kubeconfig_for("system:kube-proxy"))
    _spawn(instance, "kube-proxy", controlplane.flags(instance.binary("kube-proxy"), {"config": config}))
    api = instance.api()
    for path, body in nodeconfig.addons(files):
        api.create(path, body)
    volumes.create_class(instance)
    add_volumes(instance, volumes.AT_BOOT)
    corefile = nodeconfig.coredns(files, kubeconfig=instance.kubeconfig_for("lab-coredns"))
    _spawn(instance, "coredns", [instance.binary("coredns"), "-conf", corefile])


def _wait_until_usable(instance: Instance, *, files: nodeconfig.Files) -> None:
    api = instance.api()

    def node_ready() -> bool:
        status, node = api.request("GET", f"/api/v1/nodes/{files.node}")
        conditions = node["status"].get("conditions", []) if status == 200 else []
        return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)

    instance.wait("the node", node_ready)
    controlplane.wait_for_controllers(instance)
    for component in ("kubelet", "kube-proxy", "coredns"):
        _wait(instance, component)


def _wait(instance: Instance, component: str) -> None:
    ready = check(instance, component)
    if ready is not None:
        instance.wait(component, ready)


def _wait_alone(instance: Instance, component: str) -> None:
    ready = check(instance, component)
    if ready is not None:
        instance.wait_alone(component, ready)


def add_volumes(instance: Instance, count: int) -> None:
    """Make more persistent volumes."""
    volumes.add(instance, count, node=_files(instance).node)


def load_image(instance: Instance, path: Path) -> None:
    """Import a docker-archive tar into the node's containerd.

    :raises LabError: when the lab is no node, or containerd refuses the tar.
    """
    if _state(instance).mode != "node":
        msg = f"lab {instance.name} is no node: it runs no images"
        raise LabError(msg)
    done = ctr(instance, "--namespace", "k8s.io", "images", "import", str(path))
    if done.returncode != 0:
        msg = f"importing {path}: {done.stderr.strip()}"
        raise LabError(msg)


def delete_pods(instance: Instance) -> None:
    """Have the pods end in order, while there is somebody to end them."""
    state = _state(instance)
    # Nobody may put new pods in their place.
    stopped = ("kube-controller-manager", "kube-scheduler")
    terminate(state.components[name].process for name in stopped if name in state.components)
    kubelet = state.components.get("kubelet")
    if kubelet is None or not kubelet.process.alive:
        return
    api = instance.api()
    for pod in _pods(instance, api):
        address = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
        api.request("DELETE", address, {"gracePeriodSeconds": POD_GRACE_SECONDS})
    deadline = time.monotonic() + PODS_GONE_SECONDS
    # Those that do not go in time, for a finalizer or a dead containerd, go with their cgroup.
    while time.monotonic() < deadline and _pods(instance, api):
        time.sleep(POLL_SECONDS)


def _pods(instance: Instance, api: Api) -> list[dict[str, Any]]:
    """Return the node's pods; none when the API server does not answer."""
    status, answer = api.request("GET", f"/api/v1/pods?fieldSelector=spec.nodeName={_files(instance).node}")
    return list(answer["items"]) if status == 200 else []


def sweep(instance: Instance, *, grace: float) -> None:
    """Remove all of a node but its folder, however much or little of it there is."""
    instance.end_processes(grace=grace)
    cgroups.delete(instance.name)
    netns.delete(instance.name)


def enter(name: str) -> list[str]:
    """Return what to put before a command so that it runs in the node's network, and with its names."""
    return netns.enter(name)


def _spawn(instance: Instance, component: str, argv: list[str]) -> None:
    holder = _state(instance).components[HOLDER].process
    instance.spawn(component, [*netns.inside(holder.pid), *argv])


def _files(instance: Instance) -> nodeconfig.Files:
    state = _state(instance)
    if state.subnet is None:
        msg = f"lab {instance.name} has no network"
        raise LabError(msg)
    address = netns.node_address(state.subnet)
    return nodeconfig.Files(name=instance.name, folder=instance.dir, address=address)


def _state(instance: Instance) -> State:
    if instance.state is None:
        msg = f"lab {instance.name} is not up"
        raise LabError(msg)
    return instance.state
