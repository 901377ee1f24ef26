"""What the signals endpoint takes: one signal in plain JSON, or the webhook of an Alertmanager."""

from typing import Annotated, Literal

from pydantic import Field

from lastgood.api.base import Model

SignalType = Literal["SecurityIncident", "DataIntegrity"]
ALERTS = 100
"""Alerts in one message."""


class PlainSignal(Model):
    """One signal, as a person or a script sends it."""

    type: SignalType
    status: Literal["firing", "resolved"] = "firing"
    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$")] = "manual"
    reason: Annotated[str, Field(max_length=1024)] = ""
    for_: str = Field(default="24h", alias="for", description="A duration from 1m to 168h, in which it stands.")


class Alert(Model):
    """One alert of a webhook message; what is not read here may be there."""

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    starts_at: str = ""
    fingerprint: str = ""


class Webhook(Model):
    """What Alertmanager sends to a webhook receiver, version 4."""

    version: Literal["4"]
    alerts: Annotated[list[Alert], Field(min_length=1, max_length=ALERTS)]
