"""Whether a database server belongs to an operator of its own, and what to do there instead."""

from collections.abc import Mapping

_LABELS = (
    ("cnpg.io/cluster", "CloudNativePG", "create a Cluster with spec.bootstrap.recovery that names its backup"),
    (
        "postgres-operator.crunchydata.com/cluster",
        "Crunchy Postgres for Kubernetes",
        "set spec.backups.pgbackrest.restore of its PostgresCluster",
    ),
    ("stackgres.io/cluster-name", "StackGres", "create an SGCluster with spec.initialData.restore"),
    ("kubedb.com/kind", "KubeDB", "restore it with a RestoreSession"),
)
_GROUPS = {
    "postgresql.cnpg.io": _LABELS[0][1:],
    "acid.zalan.do": ("Zalando's postgres-operator", "create a postgresql with spec.clone that names cluster and time"),
    "postgres-operator.crunchydata.com": _LABELS[1][1:],
    "pgv2.percona.com": ("Percona Operator for PostgreSQL", "create a PerconaPGRestore"),
    "stackgres.io": _LABELS[2][1:],
    "kubedb.com": _LABELS[3][1:],
}
_ZALANDO = _GROUPS["acid.zalan.do"]


def owner_of(labels: Mapping[str, str], owners: tuple[tuple[str, str, str], ...]) -> tuple[str, str] | None:
    """Who a StatefulSet or claim belongs to, and what to use; None when it is the user's own.

    ``owners`` are its owner references that control it: (apiVersion, kind, name).
    """
    for label, tool, instead in _LABELS:
        if label in labels:
            return tool, instead
    if labels.get("application") == "spilo" and "cluster-name" in labels:
        return _ZALANDO
    for version, kind, name in owners:
        group = version.rpartition("/")[0]
        found = _GROUPS.get(group)
        return found or (f'{kind} "{name}" ({version})', "restore it with the operator that owns it")
    return None
