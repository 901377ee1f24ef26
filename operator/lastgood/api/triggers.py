"""What starts a rollback of a MonitoredService."""

from typing import Annotated, Literal

from pydantic import Field

from lastgood.api.base import MAP_BY_NAME, MAP_BY_TYPE, Model, Name, duration_field, percent_field


class HealthFailing(Model):
    """Health is False without a break for this long."""

    for_: Annotated[str, duration_field("1s", "24h")] = Field(default="5m", alias="for")


class ErrorRate(Model):
    """The share of bad events is above this without a break for this long."""

    above: Annotated[str, percent_field()] = Field(default="10%", description="Share of bad events.")
    for_: Annotated[str, duration_field("1s", "24h")] = Field(default="10m", alias="for")
    objective: Name | None = Field(
        default=None, description="One of spec.objectives with a ratio; left out, any of those."
    )


class Degradation(Model):
    """An indicator is worse than with the last good revision by more than this, without a break for this long."""

    above: Annotated[str, percent_field(part=False)] = Field(default="50%", description="50% is half as much again.")
    for_: Annotated[str, duration_field("1s", "24h")] = Field(default="5m", alias="for")
    objective: Name | None = Field(
        default=None, description="One of spec.objectives with a quantile or an average; left out, any of those."
    )
    min_samples: Annotated[int, Field(ge=1, le=1000000)] = Field(
        default=30, description="Fewer observations than this on either side say nothing."
    )
    least_change: Annotated[str, percent_field()] = Field(
        default="5%",
        description="A change of no more than this share of the objective's target is none, whatever it is in percent: "
        "two milliseconds more are no harm to a service that may take 200.",
    )


class ObjectiveTrigger(Model):
    """An objective is breached at this severity or a higher one for this long."""

    name: Name = Field(description="One of spec.objectives.")
    severity: Literal["info", "warning", "critical", "emergency"] = "critical"
    for_: Annotated[str, duration_field("0s", "24h")] = Field(
        default="0s", alias="for", description="Counted from the alert on, which has a time of its own."
    )


class BurnRateTrigger(Model):
    """An error budget burns at a rate that alerts."""

    name: Name = Field(description="One of spec.objectives, with a budget.")
    above: Literal["14.4", "6", "3", "1"] = Field(
        default="14.4", description="Burn rate of both the long and the short window."
    )


class SignalTrigger(Model):
    """Somebody raised a signal, or an integrity query found a violation."""

    type: Literal["SecurityIncident", "DataIntegrity"]
    skip_cooldown: bool = Field(default=False, description="Do not wait for the cooldown; every other guard holds.")


class Triggers(Model):
    """What starts a rollback."""

    health_failing: HealthFailing = Field(default=HealthFailing())
    error_rate: ErrorRate | None = None
    degradation: Degradation | None = None
    objectives: Annotated[list[ObjectiveTrigger], Field(max_length=16)] = Field(
        default=[], json_schema_extra=MAP_BY_NAME
    )
    burn_rates: Annotated[list[BurnRateTrigger], Field(max_length=16)] = Field(
        default=[], json_schema_extra=MAP_BY_NAME
    )
    signals: Annotated[list[SignalTrigger], Field(max_length=2)] = Field(default=[], json_schema_extra=MAP_BY_TYPE)
