"""Where the API server is and how to speak to it: in the cluster, or from a kubeconfig."""

import os
from dataclasses import dataclass
from pathlib import Path

from kubernetes.aio import client, config

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class Access:
    """How this process reaches the API server."""

    configuration: client.Configuration
    in_cluster: bool
    namespace: str

    def token(self) -> str | None:
        """The bearer token of now: the kubelet renews the file about every hour."""
        if self.in_cluster:
            return (_ACCOUNT / "token").read_text(encoding="ascii").strip()
        value = self.configuration.api_key.get("BearerToken") or self.configuration.api_key.get("authorization")
        return str(value).removeprefix("Bearer ").strip() if value else None


async def load(kubeconfig: str | None, context: str | None) -> Access:
    """Access from the pod's service account, or from a kubeconfig when one is named or nothing else is there.

    Raises config.ConfigException when there is neither.
    """
    configuration = client.Configuration()
    if kubeconfig is None and context is None and (_ACCOUNT / "token").exists():
        config.load_incluster_config(client_configuration=configuration)
        namespace = (_ACCOUNT / "namespace").read_text(encoding="ascii").strip()
        return Access(configuration, in_cluster=True, namespace=namespace)
    path = kubeconfig or os.environ.get("KUBECONFIG")
    await config.load_kube_config(config_file=path, context=context, client_configuration=configuration)
    return Access(configuration, in_cluster=False, namespace="default")
