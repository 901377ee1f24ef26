"""Reads what a spec refers to, out of Secrets and ConfigMaps, and says what is missing."""

from collections.abc import Mapping

from lastgood.api.base import KeyRef
from lastgood.api.probes import CertificateSource, ValueFrom
from lastgood.domain.ports import BadProbe

Values = Mapping[tuple[str, str, str], bytes]
"""Contents by (kind, name, key), the kind being "Secret" or "ConfigMap"."""


def secret_text(source: ValueFrom, values: Values) -> str:
    """Read the text behind a reference, without the line break that a file made by an editor ends in.

    Raises BadProbe when it is missing or no text.
    """
    raw = _raw("Secret", source.secret_key_ref, values)
    try:
        return raw.decode().strip()
    except UnicodeDecodeError:
        msg = f"{_place('Secret', source.secret_key_ref)} holds bytes that are no text: write it in UTF-8"
        raise BadProbe(msg) from None


def certificates(source: CertificateSource, values: Values) -> bytes:
    """Read the PEM bundle behind a reference. Raises BadProbe when it is missing."""
    if source.secret_key_ref is not None:
        return _raw("Secret", source.secret_key_ref, values)
    if source.config_map_key_ref is not None:
        return _raw("ConfigMap", source.config_map_key_ref, values)
    msg = "tls.ca names no source: write secretKeyRef or configMapKeyRef"
    raise BadProbe(msg)


def _raw(kind: str, ref: KeyRef, values: Values) -> bytes:
    try:
        return values[kind, ref.name, ref.key]
    except KeyError:
        msg = f"{_place(kind, ref)} does not exist: create it, or correct the reference"
        raise BadProbe(msg) from None


def _place(kind: str, ref: KeyRef) -> str:
    return f'key "{ref.key}" of {kind} "{ref.name}"'
