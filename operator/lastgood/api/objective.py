"""ServiceLevelObjective: what is measured, from where, over which window, what it should be, and when to alert."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from lastgood.api.base import (
    MAP_BY_TYPE,
    Condition,
    Model,
    Rule,
    amount_field,
    duration_field,
    number_field,
    one_of,
    percent_field,
)
from lastgood.api.objective_rules import RULES
from lastgood.api.sources import Percent, Series, Source


class Quantile(Model):
    """A quantile of a distribution."""

    of: Percent = Field(description='"95%" for p95.')
    series: Series | None = Field(default=None, description="A histogram or a native histogram, when scraped.")


class Average(Model):
    """The mean: of a distribution, or of a gauge over the window."""

    series: Series | None = Field(default=None, description="A histogram, a summary or a gauge, when scraped.")


def _same(one: str, other: str) -> str:
    """Whether two series are the same. CEL compares no objects of two places as a whole."""
    fields = [f"has(self.{one}.{name}) && has(self.{other}.{name})" for name in ("query", "metric")]
    return (
        f"(has(self.{one}) && ("
        f"({fields[0]} && self.{one}.query == self.{other}.query) || "
        f"({fields[1]} && self.{one}.metric == self.{other}.metric && "
        f"has(self.{one}.labels) == has(self.{other}.labels) && "
        f"(!has(self.{one}.labels) || self.{one}.labels == self.{other}.labels))))"
    )


class Ratio(Model):
    """A share of events: bad or good ones of all."""

    rules: ClassVar[Sequence[Rule]] = (
        Rule("!(has(self.bad) && has(self.good))", "write either bad or good: the other follows from total"),
        Rule(
            "has(self.total) == (has(self.bad) || has(self.good))",
            "a ratio of series has a total, and bad or good: write both",
        ),
        Rule(
            f"!has(self.total) || !({_same('bad', 'total')} || {_same('good', 'total')})",
            'bad or good is a part of total: write labels or a query that choose it, such as code: "5.."',
        ),
    )

    bad: Series | None = Field(default=None, description="Counter of what went wrong.")
    good: Series | None = Field(default=None, description="Counter of what went well.")
    total: Series | None = Field(default=None, description="Counter of all.")


class Value(Model):
    """A number as it is told."""

    series: Series | None = Field(default=None, description="A gauge when scraped, a query when Prometheus is asked.")
    across: Literal["Sum", "Average", "Max", "Min"] = Field(
        default="Sum", description="How scraped pods are put together."
    )


class Indicator(Model):
    """What is made of the observations."""

    rules: ClassVar[Sequence[Rule]] = (one_of("quantile", "average", "ratio", "value", what="an objective has one"),)

    quantile: Quantile | None = None
    average: Average | None = None
    ratio: Ratio | None = Field(default=None, description="The share of BAD events, whichever of both is counted.")
    value: Value | None = None


class Goal(Model):
    """What the indicator should be. It is met at the very number, too: above "100%" is met by 100 %."""

    rules: ClassVar[Sequence[Rule]] = (one_of("below", "above", what="a target has one side"),)

    below: Annotated[str, amount_field()] | None = Field(
        default=None, description='Not above this, such as "2s", "1%" or "0".'
    )
    above: Annotated[str, amount_field()] | None = Field(
        default=None, description='Not below this, such as "95%" or "20%".'
    )


class Alert(Model):
    """A level at which something is said."""

    severity: Literal["info", "warning", "critical", "emergency"]
    threshold: Annotated[str, amount_field()] = Field(description="Worse than this; not nearer than the target.")
    for_: Annotated[str, duration_field("0s", "24h")] = Field(
        default="0s", alias="for", description="How long without a break."
    )
    min_samples: Annotated[int, Field(ge=1, le=1000000)] = Field(
        default=1, description="Fewer events in the window than this say nothing."
    )
    min_rate: Annotated[str, number_field()] | None = Field(
        default=None, description="Fewer events a second than this say nothing."
    )


class Budget(Model):
    """How much may go wrong over a longer time."""

    objective: Annotated[
        str,
        percent_field(
            Rule(
                "!self.matches('^100([.]0*)?%$')",
                'write less than 100%, such as "99.9%": of 100% nothing is left to spend',
            )
        ),
    ] = Field(description="Share of good events, or of good minutes when there are no events.")
    period: Literal["7d", "28d", "30d"] = Field(default="30d", description="Rolling: it ends now.")
    burn_alerts: bool = Field(
        default=True, description="Alert on burn rates over several windows, as Google's SRE workbook has them."
    )


class ServiceLevelObjectiveSpec(Model):
    """Desired state."""

    rules: ClassVar[Sequence[Rule]] = RULES

    description: Annotated[str, Field(max_length=1024)] = Field(
        default="", description="What it stands for, for whoever is alerted."
    )
    source: Source
    indicator: Indicator
    interval: Annotated[str, duration_field("1s", "24h")] = Field(default="10s", description="From sample to sample.")
    timeout: Annotated[str, duration_field("10ms", "5m")] = Field(default="5s", description="For one sample.")
    window: Annotated[str, duration_field("1s", "24h")] = Field(
        default="1m", description="Over how long observations are put together."
    )
    unknown_after: Annotated[str, duration_field("1s", "72h")] | None = Field(
        default=None,
        description="So long without an observation it is Unknown; left out, three intervals, and the window at least.",
    )
    target: Goal
    alerts: Annotated[list[Alert], Field(max_length=4)] = Field(
        default=[],
        description="Levels at which something is said, one for each severity.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["severity"]},
    )
    budget: Budget | None = None


class ServiceLevelObjectiveStatus(Model):
    """Observed state. How each service stands is in that service's status."""

    observed_generation: int | None = None
    conditions: list[Condition] = Field(default=[], json_schema_extra=MAP_BY_TYPE)


class ServiceLevelObjective(Model):
    """What is measured, from where, over which window, what it should be, and when to alert."""

    spec: ServiceLevelObjectiveSpec
    status: ServiceLevelObjectiveStatus | None = None


NAMES: dict[str, Any] = {
    "plural": "servicelevelobjectives",
    "singular": "servicelevelobjective",
    "kind": "ServiceLevelObjective",
    "shortNames": ["slo"],
    "categories": ["lastgood"],
}

COLUMNS: list[dict[str, Any]] = [
    {"name": "Below", "type": "string", "jsonPath": ".spec.target.below"},
    {"name": "Above", "type": "string", "jsonPath": ".spec.target.above"},
    {"name": "Window", "type": "string", "jsonPath": ".spec.window"},
    {"name": "Budget", "type": "string", "jsonPath": ".spec.budget.objective"},
    {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status', "priority": 1},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]
