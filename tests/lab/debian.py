"""The Debian packages that a node takes beside what is built: only the missing ones are installed."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.lab.locks import progress
from tests.lab.paths import LabError

CNI_PLUGINS = Path("/usr/lib/cni")

PACKAGES = {
    "buildah": "/usr/bin/buildah",
    "conntrack": "/usr/sbin/conntrack",
    "containerd": "/usr/bin/containerd",
    "containernetworking-plugins": f"{CNI_PLUGINS}/ptp",
    "iproute2": "/sbin/ip",
    "iptables": "/usr/sbin/iptables",
    "mmdebstrap": "/usr/bin/mmdebstrap",
    "runc": "/usr/sbin/runc",
    "socat": "/usr/bin/socat",
}
"""Package to the file that shows that it is there, so that the check asks no package manager."""

_POLICY = Path("/usr/sbin/policy-rc.d")


def ensure() -> None:
    """Install what is missing.

    :raises LabError: when something is missing and this is not root on a Debian-like machine.
    """
    missing = [package for package, path in PACKAGES.items() if not Path(path).exists()]
    if not missing:
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        msg = f"a node takes these Debian packages, and root to install them: {' '.join(missing)}"
        raise LabError(msg)
    progress(f"installing {' '.join(missing)}")
    _apt_get("update")
    # Debian starts and enables containerd's service at installation; the lab runs its own, and a machine that had
    # none before should have none after. No policy file means that starting is allowed.
    forbid = not _POLICY.exists()
    if forbid:
        _POLICY.write_text("#!/bin/sh\nexit 101\n")
        _POLICY.chmod(0o755)
    try:
        _apt_get("install", "--yes", "--no-install-recommends", *missing)
    finally:
        if forbid:
            _POLICY.unlink()
    if "containerd" in missing and shutil.which("systemctl") is not None:
        subprocess.run(["systemctl", "disable", "containerd.service"], check=False, capture_output=True)


def _apt_get(*arguments: str) -> None:
    command: Sequence[str] = ["apt-get", "--quiet", "--option", "DPkg::Lock::Timeout=300", *arguments]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        msg = f"{' '.join(command)} failed:\n{done.stdout[-1000:]}{done.stderr[-2000:]}"
        raise LabError(msg)
