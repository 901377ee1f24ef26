"""Every preset is taken by a real API server, all of them at once."""

from pathlib import Path

import pytest
import yaml
from tests.e2e.kube import Kube
from tests.integration.cluster import Cluster

pytestmark = pytest.mark.integration
FOLDER = Path(__file__).resolve().parents[2] / "manifests/presets"


def test_presets_apply(kubectl: Kube, cluster: Cluster) -> None:
    told = kubectl.run("apply", "-f", str(FOLDER)).stdout.splitlines()
    bodies = [body for place in FOLDER.glob("*.yaml") for body in yaml.safe_load_all(place.read_text())]
    assert len(told) == len(bodies)
    assert all(line.endswith(" created") for line in told)
    for body in bodies:
        kept = cluster.get(body["kind"], body["metadata"]["name"])
        assert kept is not None
        assert _within(body["spec"], kept["spec"])


def _within(asked: object, kept: object) -> bool:
    """Whether nothing of what was asked for was pruned or changed."""
    if isinstance(asked, dict) and isinstance(kept, dict):
        return all(name in kept and _within(value, kept[name]) for name, value in asked.items())
    if isinstance(asked, list) and isinstance(kept, list):
        return len(asked) == len(kept) and all(map(_within, asked, kept))
    return asked == kept
