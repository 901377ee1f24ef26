"""What restic's standard error means: a reason, and a sentence for a person."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lastgood.domain.backups.ports import JobFailed


@dataclass(frozen=True, slots=True)
class _Meaning:
    """A cause, by words of restic, ssh, the S3 client or the kernel; the first that is found counts."""

    reason: str
    words: str
    advice: str


_MEANINGS = (
    _Meaning("RepositoryLocked", r"already locked", "another job works on it, or died less than 30 minutes ago"),
    _Meaning("WrongKey", r"wrong password or no key found", "the passphrase is not the one that it was made with"),
    _Meaning("HostKeyUnknown", r"host key verification failed|REMOTE HOST IDENTIFICATION", "compare known_hosts"),
    _Meaning("UserUnknown", r"No user exists for uid", "ssh wants the job's user in the image's /etc/passwd"),
    _Meaning(
        "KeyUnusable", r"invalid format|error in libcrypto|UNPROTECTED PRIVATE KEY", "ssh cannot use the private key"
    ),
    _Meaning(
        "AccessDenied",
        r"permission denied|access ?denied|operation not permitted|InvalidAccessKeyId|SignatureDoesNotMatch"
        r"|access key id you provided does not exist|provided access key|signature we calculated does not match"
        r"|403 Forbidden|credentials are invalid|AllAccessDisabled",
        "check the credentials and what they may do there",
    ),
    _Meaning(
        "DiskFull",
        r"no space left on device|disk quota exceeded|not enough space|XMinioStorageFull|QuotaExceeded|507 ",
        "make room, or keep fewer points",
    ),
    _Meaning(
        "CertificateUntrusted", r"x509:|certificate signed by unknown|tls: ", "check the server's certificate and ca"
    ),
    _Meaning("BadRequest", r"400 Bad Request|AuthorizationHeaderMalformed", "check region and endpoint"),
    _Meaning("NoBucket", r"bucket does not exist|NoSuchBucket", "make the bucket, or give the credentials that right"),
    _Meaning(
        "Unreachable",
        r"connection refused|no such host|i/o timeout|network is unreachable|no route to host|connection reset"
        r"|connection timed out|connection closed by|could not resolve hostname|broken pipe|unexpected EOF"
        r"|context deadline exceeded|server misbehaving|503 Service|502 Bad|504 Gateway|connection lost"
        r"|server response unexpected|subprocess ssh",
        "check the address and the network",
    ),
    _Meaning(
        "RepositoryDamaged",
        r"pack id does not match|ciphertext verification failed|repository contains errors|does not exist"
        r"|tree .* not found|invalid data returned|no such file or directory|blob .* not found|not found in"
        r" (?:repository )?index|load.*returned error|unable to load|is damaged|invalid character|size mismatch"
        r"|hash mismatch|decrypt",
        "restore it from another repository, or make a new one",
    ),
)
_NONE = re.compile(r"is there a repository at the following location|unable to open config file", re.IGNORECASE)
_ABSENT = re.compile(r"no such file or directory|file does not exist|NoSuchKey|specified key does", re.IGNORECASE)
"""Nothing less: where there is none, one is made."""
_NOISE = re.compile(
    r"^(using temporary cache|create exclusive lock|load indexes|check (all|snap)|read |\[|the `unlock`|storage ID"
    r"|lock was|github.com/|main\.|runtime\.|/|Fatal: (There were|repository contains))"
)
_RETRY = re.compile(r"returned error, retrying after [0-9.]+\w*: (.*)")
_LOST = re.compile(r"Load\(<data/")
"""A file that no other job makes anew. Locks and indexes come and go."""
_LONGEST = 300


def line_of(error: str, words: str = "") -> str:
    """The line of a text that says most: the first with these words, else the last that is no noise."""
    # After that, restic names the place once more.
    error = re.split(r"^Is there a repository at", error, maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    telling = [line for line in lines if not _NOISE.match(line)] or lines
    found = next((line for line in telling if words and re.search(words, line, re.IGNORECASE)), None)
    chosen = found or (telling[-1] if telling else "")
    retried = _RETRY.search(chosen)
    return (retried[1] if retried else chosen).removeprefix("Fatal: ").strip()[:_LONGEST]


def retried(line: str) -> bool:
    """Whether restic says that it tries something again, which it does for 15 minutes."""
    return _RETRY.search(line) is not None


def meaning(error: str, repository: str, secrets: Sequence[str] = ()) -> JobFailed:
    """What went wrong with a repository; ``secrets`` are taken out of the text whatever it says."""
    for secret in secrets:
        error = error.replace(secret, "…")
    if _NONE.search(error) and _ABSENT.search(error):
        return JobFailed("NoRepository", f"there is no repository in {repository}: has it been moved or deleted?")
    for each in _MEANINGS:
        if re.search(each.words, error, re.IGNORECASE):
            said = line_of(error, each.words)
            return JobFailed(each.reason, f"repository {repository}: {said}: {each.advice}")
    return JobFailed("RepositoryFailed", f"repository {repository}: {line_of(error) or 'restic said nothing'}")


def hopeless(line: str, repository: str, secrets: Sequence[str] = ()) -> JobFailed | None:
    """The cause when a line says that restic tries again what cannot succeed."""
    cause = meaning(line, repository, secrets)
    lost = cause.reason == "RepositoryDamaged" and _LOST.search(line)
    return cause if lost or cause.reason in {"DiskFull", "AccessDenied", "NoBucket", "CertificateUntrusted"} else None


def damage(error: JobFailed) -> JobFailed:
    """What a failed check means: damage, unless it was not the data's fault."""
    if error.reason != "RepositoryFailed":
        return error
    return JobFailed("RepositoryDamaged", error.message)
