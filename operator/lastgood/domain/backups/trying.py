"""Which failures of a job are worth another try: its exit status tells Kubernetes, and the Job's policy heeds it."""

from lastgood.domain.ports import Object

BACKOFF_LIMIT = 2
"""How often a pod of a job is tried anew."""
FAILED, STAYS = 1, 3
"""Exit statuses: of a failure that may pass by itself within a minute, and of one that stays until a person comes."""

_STAYING = frozenset(
    {
        # What was declared, or its Secrets: the same the next time. Three wrong passwords lock an account.
        *{"KeyMissing", "WrongKey", "CredentialMissing", "WrongPassword", "BadUrl", "BadDsn", "KeyUnusable"},
        *{"CertificateUntrusted", "HostKeyUnknown", "UserUnknown", "AccessDenied", "NotAllowed", "ClusterForbidden"},
        *{"RepositoryShared", "RepositoryUnknown", "NoBucket", "BadRequest", "VolumeMissing", "SourceUnknown"},
        *{"SourceUnreadable", "ToolMissing", "VersionMismatch", "ServerSetting", "NotSupported", "TagUnusable"},
        # A verdict on what is stored: it was read to the end, which may have taken hours.
        *{"RestoreTestFailed", "ValidationFailed", "RepositoryDamaged", "SnapshotMissing", "ChainBroken", "NoPoint"},
    }
)


def exit_status(*, ok: bool, reason: str) -> int:
    """What a job that ended so exits with."""
    return 0 if ok else STAYS if reason in _STAYING else FAILED


def failure_policy() -> Object:
    """Of a Job: no other try after what stays, and a pod that its node took away counts as none."""
    return {
        "rules": [
            {"action": "FailJob", "onExitCodes": {"containerName": "job", "operator": "In", "values": [STAYS]}},
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        ]
    }
