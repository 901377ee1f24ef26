"""A node's namespaces: a network of its own with one cable to the host, and a view of the file system of its own.

All that containerd, kubelet and the CNI plugins mount, they mount in that view: when its last process ends, the kernel
takes every mount with it, and the host has never seen one. The folders whose paths are fixed in their code
(/run/containerd, /run/netns, /var/lib/cni, /var/lib/kubelet, /var/log/containers) are private to the view, too, so that
labs do not meet in them. The host's firewall, routes and sysctls stay as they are.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

from tests.lab.paths import LabError

HIDDEN = ("/run", "/var/lib", "/var/log")
"""What each node has a private, empty one of."""

_RESOLV = Path("/etc/netns")

_HOLDER = """
set -e
# Copies of mounts would keep other labs' networks alive after their end.
umount --recursive --lazy /run/netns 2>/dev/null || true
mount --make-rshared /
for folder in /run /var/lib /var/log; do mount -t tmpfs -o mode=755 lastgood-lab "$folder"; done
mkdir -p /run/lock /run/netns
# kubelet insists on these host-wide settings and would write them: here, it finds them as it wants them.
mkdir -p "$1/sysctl"
for setting in vm/overcommit_memory=1 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
  file=$1/sysctl/$(echo "${setting%=*}" | tr / .)
  echo "${setting#*=}" >"$file"
  if [ -e "/proc/sys/${setting%=*}" ]; then mount --bind "$file" "/proc/sys/${setting%=*}"; fi
done
touch "$1/namespaces.ready"
exec sleep infinity
"""


def namespace(name: str) -> str:
    """Return the name of a lab's network namespace, as `ip netns` knows it."""
    return f"lastgood-{name}"


def host_address(subnet: int) -> str:
    """Return the host's end of the cable."""
    return f"10.231.{subnet}.1"


def node_address(subnet: int) -> str:
    """Return the node's end of the cable."""
    return f"10.231.{subnet}.2"


def create(name: str, *, service_cidr: str) -> int:
    """Make the network namespace and its cable; return the N of the first free 10.231.N.0/24."""
    space = namespace(name)
    _ip("netns", "add", space)
    subnet = _plug_in(space)
    inside = ("-n", space)
    _ip("address", "add", f"{host_address(subnet)}/24", "dev", f"lastgood{subnet}")
    _ip("link", "set", f"lastgood{subnet}", "up")
    _ip(*inside, "link", "set", "lo", "up")
    _ip(*inside, "address", "add", f"{node_address(subnet)}/24", "dev", "eth0")
    _ip(*inside, "link", "set", "eth0", "up")
    # No default route: what is neither the lab's nor the host's is unreachable at once, instead of after a timeout.
    # Service addresses need some route, for a packet is routed before kube-proxy's rules give it another destination.
    _ip(*inside, "route", "add", service_cidr, "dev", "eth0")
    # Through a process in the namespace: /proc/sys/net is the reader's network's.
    _run(["nsenter", f"--net=/run/netns/{space}", "sysctl", "-q", "-w", "net.ipv4.ip_forward=1"])
    return subnet


def _plug_in(space: str) -> int:
    taken = {
        int(address["local"].split(".")[2])
        for link in json.loads(_ip("-json", "address", "show"))
        for address in link.get("addr_info", [])
        if address.get("local", "").startswith("10.231.")
    }
    for subnet in (number for number in range(256) if number not in taken):
        # The kernel is the arbiter between labs that boot at the same moment: one name, one link.
        command = ["ip", "link", "add", f"lastgood{subnet}", "type", "veth", "peer", "name", "eth0", "netns", space]
        if subprocess.run(command, check=False, capture_output=True).returncode == 0:
            return subnet
    msg = "no free network in 10.231.0.0/16"
    raise LabError(msg)


def resolve_by(name: str, server: str) -> Path:
    """Have `ip netns exec` resolve names by `server`; return the resolv.conf."""
    path = _RESOLV / namespace(name) / "resolv.conf"
    path.parent.mkdir(parents=True, exist_ok=True)
    search = "default.svc.cluster.local svc.cluster.local cluster.local"
    path.write_text(f"nameserver {server}\nsearch {search}\noptions ndots:5\n")
    return path


def holder(name: str, folder: Path) -> list[str]:
    """Return the command line of the process that makes a node's namespaces and keeps them."""
    for hidden in HIDDEN:
        if folder.is_relative_to(hidden):
            msg = (
                f"the lab's folder may not be under {hidden}, which its node has an empty one of: set LASTGOOD_LAB_HOME"
            )
            raise LabError(msg)
    unshare = ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", _HOLDER, "sh", str(folder)]
    return ["nsenter", f"--net=/run/netns/{namespace(name)}", *unshare]


def inside(pid: int) -> list[str]:
    """Return what to put before a command so that it runs in both namespaces that the process `pid` holds.

    Not `ip netns exec`: that mounts a new /sys, in which there are no cgroups.
    """
    return ["nsenter", f"--target={pid}", "--mount", "--net"]


def enter(name: str) -> list[str]:
    """Return what to put before a command so that it runs in the lab's network, and with its names."""
    return ["ip", "netns", "exec", namespace(name)]


def delete(name: str) -> None:
    """Remove the namespace, its cable and its resolv.conf. What others still run in it keeps an unconnected network."""
    space = namespace(name)
    for command in (["-n", space, "link", "delete", "eth0"], ["netns", "delete", space]):
        subprocess.run(["ip", *command], check=False, capture_output=True)
    shutil.rmtree(_RESOLV / space, ignore_errors=True)
    # `ip netns add` leaves these behind for good; each of them stays as long as somebody has something in it.
    netns = Path("/run/netns")
    if netns.is_dir() and not any(netns.iterdir()):
        subprocess.run(["umount", str(netns)], check=False, capture_output=True)
    for folder in (netns, _RESOLV):
        try:
            os.rmdir(folder)  # noqa: PTH106 - only when empty, and that is the point
        except OSError:
            continue


def _ip(*arguments: str) -> str:
    return _run(["ip", *arguments])


def _run(command: list[str]) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        msg = f"{' '.join(command)}: {done.stderr.strip()}"
        raise LabError(msg)
    return done.stdout
