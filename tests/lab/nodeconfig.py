"""The configuration files of what runs on the node."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab import cgroups, debian, readiness

POD_SUBNET = "10.244.0.0/24"
POD_CIDR = "10.244.0.0/16"
DNS_ADDRESS = "10.96.0.10"
PAUSE_IMAGE = "docker.io/lastgood-lab/pause:1"


@dataclass(frozen=True, kw_only=True)
class Files:
    """Where a node's configuration is, and what all of it is about."""

    name: str
    folder: Path
    address: str

    @property
    def node(self) -> str:
        """The node's name in the cluster."""
        return f"{self.name}-node"

    @property
    def socket(self) -> Path:
        return self.folder / "containerd.sock"

    def write(self, name: str, content: str | dict[str, Any]) -> str:
        """Write a file in the lab's folder, and return its path."""
        path = self.folder / "etc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content, indent=2))  # JSON is YAML
        return str(path)


def containerd(files: Files) -> str:
    """Write containerd's configuration (its 1.6 speaks version 2), and the network's."""
    # ptp rather than bridge: every packet between pods is routed, so that Services work without br_netfilter.
    files.write(
        "cni/10-lab.conflist",
        {
            "cniVersion": "0.4.0",
            "name": "lab",
            "plugins": [
                {
                    "type": "ptp",
                    "ipMasq": True,
                    "ipam": {
                        "type": "host-local",
                        "ranges": [[{"subnet": POD_SUBNET}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                    },
                },
                {"type": "portmap", "capabilities": {"portMappings": True}},
            ],
        },
    )
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return files.write(
        "containerd.toml",
        f"""version = 2
root = "{files.folder}/containerd"
state = "/run/containerd"
# The first would make /opt/containerd on the host; the others are file systems that no machine here has.
disabled_plugins = [
  "io.containerd.internal.v1.opt",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]

[grpc]
address = "{files.socket}"

[{cri}]
sandbox_image = "{PAUSE_IMAGE}"
restrict_oom_score_adj = true

[{cri}.containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"

[{cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[{cri}.containerd.runtimes.runc.options]
SystemdCgroup = false

[{cri}.cni]
bin_dir = "{debian.CNI_PLUGINS}"
conf_dir = "{files.folder}/etc/cni"
""",
    )


def kubelet(files: Files, *, pki: Path, resolv: Path) -> str:
    """Write kubelet's configuration."""
    return files.write(
        "kubelet.yaml",
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(pki / "ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "healthzBindAddress": files.address,
            "healthzPort": readiness.KUBELET_PORT,
            "tlsCertFile": str(pki / "kubelet-server.crt"),
            "tlsPrivateKeyFile": str(pki / "kubelet-server.key"),
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": cgroups.root(files.name),
            "clusterDNS": [DNS_ADDRESS],
            "clusterDomain": "cluster.local",
            "containerRuntimeEndpoint": f"unix://{files.socket}",
            "resolvConf": str(resolv),
            "failSwapOn": False,
            "serializeImagePulls": False,
            # A developer's disk may be rather full, and no image can be pulled again: evict and collect next to never.
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "evictionHard": {
                "memory.available": "64Mi",
                "nodefs.available": "64Mi",
                "nodefs.inodesFree": "1000",
                "imagefs.available": "64Mi",
                "imagefs.inodesFree": "1000",
            },
            "podLogsDir": str(files.folder / "pod-logs"),
            # A minute by default, both: so long tests would wait for one figure of a volume, or for a ConfigMap's new files.
            "volumeStatsAggPeriod": "10s",
            "syncFrequency": "10s",
            "volumePluginDir": str(files.folder / "volume-plugins"),
        },
    )


def kube_proxy(files: Files, *, kubeconfig: str) -> str:
    """Write kube-proxy's configuration."""
    return files.write(
        "kube-proxy.yaml",
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "iptables",
            "healthzBindAddress": f"{files.address}:{readiness.KUBE_PROXY_PORT}",
            "clientConnection": {"kubeconfig": kubeconfig},
            "clusterCIDR": POD_CIDR,
            "hostnameOverride": files.node,
            # Connection tracking's limits are the host's: zeros leave them alone.
            "conntrack": {
                "maxPerCore": 0,
                "min": 0,
                "tcpEstablishedTimeout": "0s",
                "tcpCloseWaitTimeout": "0s",
            },
        },
    )


def coredns(files: Files, *, kubeconfig: str) -> str:
    """Write CoreDNS's configuration: the cluster's names, and NXDOMAIN for all others."""
    return files.write(
        "Corefile",
        f"""cluster.local in-addr.arpa ip6.arpa {{
  bind {files.address}
  errors
  ready {files.address}:{readiness.COREDNS_PORT}
  kubernetes cluster.local in-addr.arpa ip6.arpa {{
    kubeconfig {kubeconfig}
    ttl 1
  }}
}}
. {{
  bind {files.address}
  template ANY ANY {{
    rcode NXDOMAIN
  }}
}}
""",
    )


def addons(files: Files) -> list[tuple[str, dict[str, Any]]]:
    """Return what makes CoreDNS, a plain process on the node, the cluster's DNS: API path and object."""
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    group = "rbac.authorization.k8s.io"
    name = {"name": "lab-coredns"}
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
    read = ["list", "watch"]
    return [
        (
            f"{rbac}/clusterroles",
            {
                "metadata": name,
                "rules": [
                    {"apiGroups": [""], "resources": ["namespaces", "pods", "services"], "verbs": read},
                    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": read},
                ],
            },
        ),
        (
            f"{rbac}/clusterrolebindings",
            {
                "metadata": name,
                "roleRef": {"apiGroup": group, "kind": "ClusterRole", **name},
                "subjects": [{"apiGroup": group, "kind": "User", **name}],
            },
        ),
        (
            "/api/v1/namespaces/kube-system/services",
            {"metadata": {"name": "kube-dns"}, "spec": {"clusterIP": DNS_ADDRESS, "ports": ports}},
        ),
        (
            "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices",
            {
                "metadata": {"name": "kube-dns-lab", "labels": {"kubernetes.io/service-name": "kube-dns"}},
                "addressType": "IPv4",
                "endpoints": [{"addresses": [files.address], "conditions": {"ready": True}}],
                "ports": ports,
            },
        ),
    ]
