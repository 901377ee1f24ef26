"""What restic, ssh and S3 servers say, and what it means."""

import pytest

from lastgood.backups.restic_errors import hopeless, line_of, meaning, retried

CASES = {
    "Fatal: wrong password or no key found": "WrongKey",
    "Fatal: unable to open config file: stat none/config: no such file or directory\n"
    "Is there a repository at the following location?\nnone": "NoRepository",
    "Fatal: unable to open config file: Stat: The specified key does not exist.\n"
    "Is there a repository at the following location?\ns3:http://x/y": "NoRepository",
    "unable to create lock in backend: repository is already locked by PID 29313 on vm by root (UID 0, GID 0)\n"
    "lock was created at 2026-11-25 18:33:20 (1.5s ago)\nstorage ID 12302a62\n"
    "the `unlock` command can be used to remove stale locks": "RepositoryLocked",
    "subprocess ssh: Host key verification failed.\nFatal: unable to open repository": "HostKeyUnknown",
    "subprocess ssh: backup@host: Permission denied (publickey).\nFatal: unable to start the sftp session": "AccessDenied",
    "Fatal: unable to open config file: Stat: Access Denied.\nIs there a repository at the following location?": "AccessDenied",
    "Fatal: unable to open config file: Stat: The Access Key Id you provided does not exist in our records.": "AccessDenied",
    "Fatal: unable to open config file: Stat: No user exists with the provided access key ID.\n"
    "Is there a repository at the following location?\ns3:http://x": "AccessDenied",
    "Fatal: unable to open config file: Stat: The specified bucket does not exist.\n"
    "Is there a repository at the following location?\ns3:http://x": "NoBucket",
    "Fatal: unable to open config file: Stat: 400 Bad Request\n"
    "Is there a repository at the following location?\ns3:http://x": "BadRequest",
    "Fatal: client.BucketExists: dial tcp 127.0.0.1:1: connect: connection refused": "Unreachable",
    "Fatal: x: lookup nowhere: no such host": "Unreachable",
    "Fatal: unable to save snapshot: write r/data/x: no space left on device": "DiskFull",
    "Pack ID does not match, want 6b4e, got 6841\nFatal: repository contains errors": "RepositoryDamaged",
    "Fatal: Get https://x: x509: certificate signed by unknown authority": "CertificateUntrusted",
    "No user exists for uid 65532": "UserUnknown",
    "something new": "RepositoryFailed",
}


@pytest.mark.parametrize(("text", "reason"), CASES.items())
def test_each_text_has_its_reason(text: str, reason: str) -> None:
    assert meaning(text, "primary").reason == reason


def test_the_sentence_is_that_of_the_cause_and_not_a_stack() -> None:
    text = (
        "Save(<lock/19>) returned error, retrying after 5.6s: open r/locks/19: permission denied\n"
        "github.com/restic/restic/internal/backend/local.(*Local).Save\n"
        "\tgithub.com/restic/restic/internal/backend/local/local.go:153\nruntime.goexit\n"
        "unable to create lock in backend"
    )
    error = meaning(text, "primary (claim c)")
    assert error.reason == "AccessDenied"
    assert error.message.startswith("repository primary (claim c): open r/locks/19: permission denied: check")
    assert line_of("read all data\n[0:00] 100%\nPack ID does not match\nFatal: repository contains errors") == (
        "Pack ID does not match"
    )


def test_the_place_that_restic_repeats_is_no_cause() -> None:
    error = meaning("Fatal: odd\nIs there a repository at the following location?\ns3:http://x", "primary")
    assert (error.reason, error.message) == ("RepositoryFailed", "repository primary: odd")


def test_no_secret_is_told() -> None:
    assert "hunter2" not in meaning("Fatal: signature of hunter2 is bad", "primary", ["hunter2"]).message


def test_what_cannot_get_better_is_not_waited_for() -> None:
    full = "Save(<data/1>) returned error, retrying after 552ms: write r/data/1: no space left on device"
    away = "Save(<data/1>) returned error, retrying after 552ms: dial tcp 1.2.3.4:9: connect: connection refused"
    assert retried(full)
    assert retried(away)
    assert not retried("Fatal: no space left on device")
    found = hopeless(full, "primary")
    assert found is not None
    assert found.reason == "DiskFull"
    assert hopeless(away, "primary") is None


def test_a_pack_that_is_gone_does_not_come_back() -> None:
    """Other files do: of a lock, or an index that another job replaces."""
    gone = "Load(<{}/10365d408a>, 1210196, 0) returned error, retrying after 552.330144ms: open r/data/10/1036: {}"
    for words in ("no such file or directory", "The specified key does not exist."):
        found = hopeless(gone.format("data", words), "primary")
        assert found is not None
        assert found.reason == "RepositoryDamaged"
        assert hopeless(gone.format("lock", words), "primary") is None
        assert hopeless(gone.format("index", words), "primary") is None
    assert hopeless(gone.format("data", "connection refused"), "primary") is None
