"""What one probe found out, in words that are safe to show."""

from enum import StrEnum
from typing import NamedTuple


class Verdict(StrEnum):
    """What an outcome says about the service."""

    PASS = "Pass"  # noqa: S105 - no password
    FAIL = "Fail"
    UNKNOWN = "Unknown"
    """The probe could not ask: nothing was learnt about the service, neither good nor bad."""


class ProbeReason(StrEnum):
    """Why a probe ended as it did. Documented in docs/reasons.md; a test holds the two together."""

    OK = "OK"
    # The service's own doing.
    DNS_NOT_FOUND = "DNSNotFound"
    CONNECTION_REFUSED = "ConnectionRefused"
    CONNECTION_FAILED = "ConnectionFailed"
    TLS_FAILED = "TLSFailed"
    CERTIFICATE_EXPIRING = "CertificateExpiring"
    TIMEOUT = "Timeout"
    UNEXPECTED_STATUS = "UnexpectedStatus"
    TOO_MANY_REDIRECTS = "TooManyRedirects"
    PROTOCOL_ERROR = "ProtocolError"
    ASSERTION_FAILED = "AssertionFailed"
    NOT_SERVING = "NotServing"
    AUTHENTICATION_FAILED = "AuthenticationFailed"
    QUERY_FAILED = "QueryFailed"
    # Ours, or nobody's: Unknown.
    DNS_UNAVAILABLE = "DNSUnavailable"
    ADDRESS_DENIED = "AddressDenied"
    PROBER_ERROR = "ProberError"


UNKNOWN_REASONS = frozenset({ProbeReason.DNS_UNAVAILABLE, ProbeReason.ADDRESS_DENIED, ProbeReason.PROBER_ERROR})
"""Reasons that say nothing about the service."""


_VERDICTS = dict.fromkeys(ProbeReason, Verdict.FAIL) | dict.fromkeys(UNKNOWN_REASONS, Verdict.UNKNOWN)
_VERDICTS[ProbeReason.OK] = Verdict.PASS


class Outcome(NamedTuple):
    """Result of one run of one probe.

    ``detail`` names what was expected and what came, never a body, a header, a DSN or a query's rows.
    """

    reason: ProbeReason
    detail: str = ""
    seconds: float = 0.0
    code: int = 0
    """Status code of the answer; 0 where there is none."""

    @property
    def verdict(self) -> Verdict:
        """What this says about the service."""
        return _VERDICTS[self.reason]
