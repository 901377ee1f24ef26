"""Storage for claims: a default class, and folders of the lab's that stand ready as persistent volumes.

Local volumes rather than a provisioner: kubelet gives them a pod's fsGroup, as it does with a cloud's disks and does
not with host paths. One that was claimed once is not handed out again.
"""

from typing import Any

from tests.lab.instance import Instance

CLASS = "standard"
AT_BOOT = 24
SIZE = "5Gi"
"""What each says that it has; nothing holds a pod to it."""


def create_class(instance: Instance) -> None:
    """Make the default storage class; claims are bound once a pod uses them."""
    body = {
        "metadata": {"name": CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    instance.api().create("/apis/storage.k8s.io/v1/storageclasses", body)


def add(instance: Instance, count: int, *, node: str) -> None:
    """Make `count` more volumes."""
    parent = instance.dir / "volumes"
    parent.mkdir(exist_ok=True)
    first = len(list(parent.iterdir()))
    api = instance.api()
    for number in range(first, first + count):
        folder = parent / f"lab-{number}"
        folder.mkdir()
        folder.chmod(0o777)  # pods that set no fsGroup run as any user, too
        api.create("/api/v1/persistentvolumes", _volume(folder.name, path=str(folder), node=node))


def _volume(name: str, *, path: str, node: str) -> dict[str, Any]:
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": SIZE},
            "accessModes": ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": CLASS,
            "local": {"path": path},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        },
    }
