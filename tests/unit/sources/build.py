"""Objectives and targets for tests of sources."""

from typing import Any

from lastgood.api.objective import ServiceLevelObjectiveSpec
from lastgood.domain.sources import PodSeen, Target


def spec(
    source: dict[str, Any], *, indicator: str = "value", below: str = "80%", **more: Any
) -> ServiceLevelObjectiveSpec:
    """An objective with this source."""
    made = {"quantile": {"of": "95%"}}.get(indicator, {})
    return ServiceLevelObjectiveSpec.model_validate(
        {"source": source, "indicator": {indicator: made}, "target": {"below": below}, **more}
    )


def target(*pods: PodSeen) -> Target:
    """A target with these pods."""

    async def listed() -> tuple[PodSeen, ...]:
        return pods

    return Target("shop", "web", "web", listed)
