"""Kubernetes quantities, read exactly."""

import re
from decimal import Decimal

_FORM = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:[eE]([+-]?[0-9]{1,3})|(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]?))")
_BINARY = {unit: Decimal(1024) ** power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)}
_DECIMAL = {
    unit: Decimal(10) ** power
    for unit, power in {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}.items()
}
_SCALES = {**_BINARY, **_DECIMAL}


def quantity(text: str) -> Decimal:
    """The number that a quantity means, such as 0.1 for "100m", 1000 for "1e3", 134217728 for "128Mi".

    The grammar is that of apimachinery's resource.Quantity. Raises ValueError for anything else.
    """
    found = _FORM.fullmatch(text) if len(text) <= 64 else None
    if found is None:
        msg = "not a quantity of Kubernetes"
        raise ValueError(msg)
    number, exponent, unit = found.groups()
    if exponent is not None:
        return Decimal(number).scaleb(int(exponent))
    return Decimal(number) * _SCALES[unit]
