"""etcd and the API server on loopback, with the controller manager where asked for: enough for controllers under test.

Needs no root, and leaves nothing outside its folder. There is no kubelet: pods are accepted and stay Pending.
"""

import random
import socket
from collections.abc import Mapping

from tests.lab.instance import Instance
from tests.lab.pki import signing_key

PORTS = range(20000, 30000)
"""Below the kernel's ephemeral range, so that no client's connection takes a component's port while it is stopped."""

SERVICE_CIDR = "10.96.0.0/16"
SERVICE_API = "10.96.0.1"
POD_CIDR = "10.244.0.0/16"


def boot(instance: Instance, *, controllers: bool) -> None:
    """Start it and wait until the API server is ready."""
    client, peer, secure = free_ports(3)
    if instance.state is None:
        msg = "begin() first"
        raise RuntimeError(msg)
    instance.state.api_url = f"https://127.0.0.1:{secure}"
    credentials(instance, hosts=[])
    instance.spawn("etcd", etcd(instance, client_port=client, peer_port=peer))
    options: dict[str, str] = {
        "advertise-address": "127.0.0.1",
        "bind-address": "127.0.0.1",
        "secure-port": str(secure),
        # The endpoints of the `kubernetes` Service may not be loopback addresses; nobody here would follow them.
        "endpoint-reconciler-type": "none",
    }
    if not controllers:
        # Without the controller manager no namespace gets its `default` account, and without that no pod is admitted.
        options["disable-admission-plugins"] = "ServiceAccount"
    instance.spawn("kube-apiserver", api_server(instance, etcd_port=client, options=options))
    instance.wait("the API server", instance.api().ready)
    if controllers:
        instance.spawn("kube-controller-manager", controller_manager(instance, options={"secure-port": "0"}))
        wait_for_controllers(instance)


def credentials(instance: Instance, *, hosts: list[str]) -> None:
    """Make what the control plane authenticates with; `hosts` are further names and addresses of the API server."""
    authority = instance.authority
    signing_key(instance.pki)
    service = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
    authority.issue(
        "apiserver", common_name="kube-apiserver", hosts=["localhost", "127.0.0.1", SERVICE_API, *service, *hosts]
    )
    admin = authority.issue("admin", common_name="admin", groups=["system:masters"])
    if instance.state is not None:
        authority.kubeconfig(instance.kubeconfig, server=instance.state.api_url, client=admin)


def wait_for_controllers(instance: Instance) -> None:
    """Wait until pods can be created in `default`, which takes an account that a controller makes."""
    api = instance.api()
    path = "/api/v1/namespaces/default/serviceaccounts/default"
    instance.wait("the controller manager", lambda: api.exists(path))


def etcd(instance: Instance, *, client_port: int, peer_port: int) -> list[str]:
    """Return etcd's command line."""
    client, peer = f"http://127.0.0.1:{client_port}", f"http://127.0.0.1:{peer_port}"
    options = {
        "name": "lab",
        "data-dir": str(instance.dir / "etcd"),
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"lab={peer}",
        # A lab whose machine loses power is booted anew anyway.
        "unsafe-no-fsync": "true",
        "log-level": "warn",
    }
    return flags(instance.binary("etcd"), options)


def api_server(instance: Instance, *, etcd_port: int, options: Mapping[str, str]) -> list[str]:
    """Return the API server's command line; `options` are the mode's own."""
    pki = instance.pki
    common = {
        "allow-privileged": "true",
        "authorization-mode": "Node,RBAC",
        "client-ca-file": str(pki / "ca.crt"),
        "etcd-servers": f"http://127.0.0.1:{etcd_port}",
        "profiling": "false",
        "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
        "service-account-key-file": str(pki / "service-accounts.pub"),
        "service-account-signing-key-file": str(pki / "service-accounts.key"),
        "service-cluster-ip-range": SERVICE_CIDR,
        "tls-cert-file": str(pki / "apiserver.crt"),
        "tls-private-key-file": str(pki / "apiserver.key"),
    }
    return flags(instance.binary("kube-apiserver"), {**common, **options})


def controller_manager(instance: Instance, *, options: Mapping[str, str]) -> list[str]:
    """Return the controller manager's command line; `options` are the mode's own."""
    common = {
        "cluster-cidr": POD_CIDR,
        "allocate-node-cidrs": "true",
        # By default it starts its controllers, some forty, at 20 requests a second: half of a lab's boot.
        "kube-api-burst": "1000",
        "kube-api-qps": "500",
        "kubeconfig": instance.kubeconfig_for("system:kube-controller-manager"),
        "leader-elect": "false",
        "profiling": "false",
        "root-ca-file": str(instance.pki / "ca.crt"),
        "service-account-private-key-file": str(instance.pki / "service-accounts.key"),
        "service-cluster-ip-range": SERVICE_CIDR,
        "use-service-account-credentials": "true",
    }
    return flags(instance.binary("kube-controller-manager"), {**common, **options})


def flags(program: str, options: Mapping[str, str]) -> list[str]:
    """Return a command line."""
    return [program, *(f"--{name}={value}" for name, value in options.items())]


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nothing listens on now."""
    found: list[int] = []
    # Not the common generator: tests seed it alike in each of their processes, which would look in the same order.
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            break
    return found
