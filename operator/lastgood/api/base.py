"""What every kind is built from: the model base, CEL rules, and the scalar types of the field.

A rule lives beside the field or model that it constrains and nowhere else. The CRD carries it to the API
server, and `lastgood validate` evaluates the very same text offline, so both say the same sentence.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


@dataclass(frozen=True, slots=True)
class Rule:
    """One CEL rule and the sentence that tells a user what to write instead."""

    rule: str
    message: str

    def as_schema(self) -> dict[str, Any]:
        """The rule in the form that a CRD's ``x-kubernetes-validations`` holds."""
        return {"rule": self.rule, "message": self.message}


class Model(BaseModel):
    """Base of every part of a kind. Keys are camelCase outside and snake_case inside; unknown keys are pruned."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    rules: ClassVar[Sequence[Rule]] = ()
    """CEL rules over this object as a whole."""

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Itself: nothing of it changes. Pydantic copies a default that it cannot hash, at half the cost of parsing."""
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Put the class's rules into its schema."""
        schema = handler(core_schema)
        if cls.rules:
            handler.resolve_ref_schema(schema)["x-kubernetes-validations"] = [rule.as_schema() for rule in cls.rules]
        return schema


def cel(*rules: Rule, **extra: Any) -> Any:
    """Field metadata that puts CEL rules, and other schema keywords, on one field.

    Of two such metadata on one field, pydantic keeps the last.
    """
    schema: dict[str, Any] = dict(extra)
    if rules:
        schema["x-kubernetes-validations"] = [rule.as_schema() for rule in rules]
    return Field(json_schema_extra=schema)


DURATION = r"^([0-9]+(ms|s|m|h))+$"
"""RE2 of a duration."""
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@lru_cache(maxsize=1024)
def seconds(duration: str) -> float:
    """Seconds in a duration such as ``1h30m``.

    Raises ValueError for anything that the schema's duration rule would refuse.
    """
    if not re.match(DURATION, duration):
        msg = f'"{duration}" is not a duration: write a number and a unit, such as "30s", "5m" or "1h30m"'
        raise ValueError(msg)
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9]+)(ms|s|m|h)", duration))


def duration_rules(minimum: str, maximum: str) -> tuple[Rule, ...]:
    """Rules for a duration field: its form, then its bounds (both inclusive)."""
    return (
        Rule(
            f"self.matches('{DURATION}')",
            'write a duration as a number and a unit, such as "30s", "5m" or "1h30m"',
        ),
        Rule(
            # A text that is no duration has had its own sentence already: say one thing at a time.
            f"!self.matches('{DURATION}') || "
            f"(duration(self) >= duration('{minimum}') && duration(self) <= duration('{maximum}'))",
            f"write a duration between {minimum} and {maximum}",
        ),
    )


def duration_field(minimum: str, maximum: str) -> Any:
    """Metadata of a duration field, for use inside ``Annotated``; both bounds are inclusive."""
    return Field(
        max_length=20,
        json_schema_extra={"x-kubernetes-validations": [r.as_schema() for r in duration_rules(minimum, maximum)]},
    )


AMOUNT = r"^[0-9]+([.][0-9]+)?(%|ms|s|m|h|Ki|Mi|Gi|Ti)?$"
"""RE2 of a number with or without a unit."""
_SCALES = {"": 1.0, "%": 0.01, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, **_UNITS}


def amount(text: str) -> float:
    """A number with its unit in base units: a share for "95%", seconds for "500ms", bytes for "2Gi".

    Raises ValueError for anything that the schema's rule would refuse.
    """
    found = re.match(AMOUNT, text)
    if not found:
        msg = f'"{text}" is not an amount: write a number with or without a unit, such as "95%", "500ms", "2Gi" or "3"'
        raise ValueError(msg)
    unit = found[2] or ""
    return float(text.removesuffix(unit)) * _SCALES[unit]


def amount_field() -> Any:
    """Metadata of a field that holds an amount, for use inside ``Annotated``."""
    rule = Rule(
        f"self.matches('{AMOUNT}')",
        'write a number with or without a unit, such as "95%", "500ms", "2Gi" or "3"',
    )
    return Field(max_length=24, json_schema_extra={"x-kubernetes-validations": [rule.as_schema()]})


def amount_in_cel(expression: str) -> str:
    """CEL for what ``amount`` gives for the text of this expression; only for texts that are amounts."""
    # "ms" is asked for before "s".
    units = sorted((unit for unit in _SCALES if unit), key=len, reverse=True)
    scale = "".join(f"{expression}.endsWith('{unit}') ? {_SCALES[unit]} : " for unit in units)
    return f"double({expression}.find('^[0-9.]+')) * ({scale}1.0)"


def unit_in_cel(expression: str) -> str:
    """CEL for what kind of unit the text of this expression has: share, size, time, or none."""
    return f"({expression}.endsWith('%') ? 1 : {expression}.endsWith('i') ? 2 : {expression}.matches('[smh]$') ? 3 : 4)"


def number_field() -> Any:
    """Metadata of a field that holds a plain number, for use inside ``Annotated``."""
    rule = Rule("self.matches('^[0-9]+([.][0-9]+)?$')", 'write a number without a unit, such as "0.5" or "3"')
    return Field(max_length=24, json_schema_extra={"x-kubernetes-validations": [rule.as_schema()]})


def percent_field(*more: Rule, part: bool = True) -> Any:
    """Metadata of a field that holds a percentage, of a ``part`` no more than 100%, for use inside ``Annotated``."""
    form = r"^([0-9]{1,2}([.][0-9]{1,6})?|100([.]0{1,6})?)%$" if part else r"^[0-9]{1,4}([.][0-9]{1,6})?%$"
    message = 'write a percentage up to 100%, such as "99.9%"' if part else 'write a percentage, such as "50%"'
    rules = [Rule(f"self.matches('{form}')", message), *more]
    return Field(max_length=12, json_schema_extra={"x-kubernetes-validations": [rule.as_schema() for rule in rules]})


MAP_BY_NAME: dict[str, Any] = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
MAP_BY_TYPE: dict[str, Any] = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
"""Of lists whose entries are told apart by that field: a patch of one leaves the others alone."""

Name = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        json_schema_extra={
            "x-kubernetes-validations": [
                Rule(
                    "self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",
                    'write the name of an object: lower-case letters, digits, "-" and ".", such as "backend"',
                ).as_schema()
            ]
        },
    ),
]
"""Name of an object in the same namespace."""

Label = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
"""Name of an element inside a list of a kind."""

Port = Annotated[int, Field(ge=1, le=65535)]


class KeyRef(Model):
    """One key of a Secret or ConfigMap in the same namespace."""

    name: Name = Field(description="Name of the object, in this resource's own namespace.")
    key: str = Field(min_length=1, max_length=253, description="Key in its data.")


def one_of(*fields: str, what: str) -> Rule:
    """Exactly one of these optional fields is set."""
    count = " + ".join(f"(has(self.{f}) ? 1 : 0)" for f in fields)
    listed = ", ".join(fields[:-1]) + " or " + fields[-1]
    return Rule(f"{count} == 1", f"write exactly one of {listed}: {what}")


class Condition(Model):
    """metav1.Condition."""

    type: str = Field(max_length=316)
    status: str = Field(json_schema_extra={"enum": ["True", "False", "Unknown"]})
    observed_generation: int | None = None
    last_transition_time: str = Field(json_schema_extra={"format": "date-time"})
    reason: str = Field(max_length=1024)
    message: str = Field(default="", max_length=32768)
