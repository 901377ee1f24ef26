"""TLS contexts, shared between probes, and sentences for what goes wrong in a handshake.

OpenSSL through asyncio rather than a Rust client, for three things that were tried and were not to be had there:
trusting a CA *instead of* the system's (its builder only adds), one context for all hosts (a client per host and
address costs 3.7 ms and 140 kB), and a full handshake each time (a resumed session never looks at the certificate
again, so that an expired one goes unnoticed). The price is 0.8 ms of CPU a probe instead of 0.27.
"""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from ssl import SSLContext
from weakref import WeakValueDictionary

from lastgood.api.probes import Tls
from lastgood.domain.outcome import ProbeReason
from lastgood.domain.ports import BadProbe
from lastgood.probes.base import Failure, shown
from lastgood.probes.values import Values, certificates

_UNKNOWN_AUTHORITY = "the certificate is signed by an unknown authority"
_WRONG_HOST = "the certificate is for another host"
_VERIFY = {
    9: "the certificate is not valid yet",
    10: "the certificate has expired",
    2: _UNKNOWN_AUTHORITY,
    18: _UNKNOWN_AUTHORITY,
    19: _UNKNOWN_AUTHORITY,
    20: _UNKNOWN_AUTHORITY,
    21: _UNKNOWN_AUTHORITY,
    62: _WRONG_HOST,
    64: _WRONG_HOST,
}
"""Sentences by OpenSSL's X509_V_ERR number, which Python gives as ``verify_code``."""

_REASONS = {
    "WRONG_VERSION_NUMBER": "the server does not speak TLS on this port",
    "HTTP_REQUEST": "the server does not speak TLS on this port",
    "UNEXPECTED_EOF_WHILE_READING": "the connection was closed in the middle of TLS",
    "UNSUPPORTED_PROTOCOL": "no TLS version in common",
    "TLSV1_ALERT_PROTOCOL_VERSION": "no TLS version in common",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the server asks for a client certificate",
    "TLSV1_UNRECOGNIZED_NAME": "the server does not know this host name",
}
"""Sentences by OpenSSL's reason; its other reasons are constants of the library and are shown as they are."""


@dataclass(frozen=True, slots=True)
class TlsTarget:
    """How one connection is made over TLS, and what its certificate must be."""

    context: SSLContext
    server_name: str
    min_days: int | None = None


class TlsContexts:
    """Contexts by what they trust. Probes alike share one; one that no probe holds any more goes away."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[tuple[bytes | None, bool, str | None], SSLContext] = WeakValueDictionary()

    def target(self, spec: Tls | None, values: Values, *, host: str, alpn: str | None = None) -> TlsTarget:
        """Make what a connection to ``host`` needs. Raises BadProbe when the CA bundle is missing or no PEM."""
        ca = certificates(spec.ca, values) if spec is not None and spec.ca is not None else None
        skip = spec is not None and spec.insecure_skip_verify
        name = (spec.server_name if spec is not None else None) or host
        try:
            name.encode("idna")
        except UnicodeError:
            msg = f'{shown(name)} is no host name: write one such as "shop.example.com"'
            raise BadProbe(msg) from None
        return TlsTarget(
            context=self.context(ca=ca, skip_verify=skip, alpn=alpn),
            # A trailing dot makes a name absolute for DNS; certificates and SNI know no such thing.
            server_name=name.rstrip("."),
            min_days=spec.min_days_to_expiry if spec is not None else None,
        )

    def context(self, *, ca: bytes | None = None, skip_verify: bool = False, alpn: str | None = None) -> SSLContext:
        """Share a context that trusts ``ca`` alone, or the system's authorities. Raises BadProbe for a bad bundle."""
        key = (ca, skip_verify, alpn)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = _context(ca, skip_verify=skip_verify, alpn=alpn)
        return known


def _context(ca: bytes | None, *, skip_verify: bool, alpn: str | None) -> SSLContext:
    context = SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if alpn is not None:
        context.set_alpn_protocols([alpn])
    if skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca is None:
        context.load_default_certs()
    else:
        # What the user lists is trusted as it stands, whether it is a root, an intermediate or the server's own.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        try:
            context.load_verify_locations(cadata=ca.decode("ascii"))
        except (ssl.SSLError, ValueError):
            msg = "tls.ca holds no certificate: write one or more in PEM (-----BEGIN CERTIFICATE-----)"
            raise BadProbe(msg) from None
    return context


def tls_failure(error: ssl.SSLError) -> Failure:
    """Name what went wrong in TLS."""
    if isinstance(error, ssl.SSLCertVerificationError):
        detail = _VERIFY.get(error.verify_code, f"the certificate is not accepted (OpenSSL {error.verify_code})")
    else:
        reason = error.reason or "unknown"
        detail = _REASONS.get(reason, f"TLS failed: {reason.lower().replace('_', ' ')}")
    return Failure(ProbeReason.TLS_FAILED, detail)


class Expiry:
    """Watches the days that a server's certificate has left.

    Remembers the last one: parsing costs, and it is the same one nearly always.
    """

    __slots__ = ("_der", "_not_after")

    def __init__(self) -> None:
        self._der = b""
        self._not_after = datetime.max.replace(tzinfo=UTC)

    def check(self, der: bytes | None, min_days: int, *, now: datetime | None = None) -> None:
        """Raise Failure when the certificate, given in DER, has fewer than ``min_days`` left."""
        if der is None:
            raise Failure(ProbeReason.TLS_FAILED, "the server sent no certificate")
        if der != self._der:
            # Imported here: 8 MB for the few who ask how many days are left.
            from cryptography.x509 import load_der_x509_certificate  # noqa: PLC0415

            try:
                self._not_after = load_der_x509_certificate(der).not_valid_after_utc
            except ValueError:
                raise Failure(ProbeReason.TLS_FAILED, "the certificate cannot be read") from None
            self._der = der
        days = (self._not_after - (now or datetime.now(UTC))).days
        if days < 0:
            raise Failure(ProbeReason.CERTIFICATE_EXPIRING, "the certificate has expired")
        if days < min_days:
            left = f"the certificate has {days} {'day' if days == 1 else 'days'} left, fewer than {min_days}"
            raise Failure(ProbeReason.CERTIFICATE_EXPIRING, left)
