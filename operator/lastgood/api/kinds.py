"""The list of kinds, and what a CRD says of each besides its schema."""

from dataclasses import dataclass
from typing import Any

from lastgood.api import backup, backupschedule, monitoredservice, objective, restore, rollback
from lastgood.api.base import Model


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of the API group."""

    model: type[Model]
    names: dict[str, Any]
    columns: list[dict[str, Any]]

    @property
    def plural(self) -> str:
        """Plural name, as in URLs."""
        return str(self.names["plural"])

    @property
    def name(self) -> str:
        """Kind, as in manifests."""
        return str(self.names["kind"])


KINDS = (
    Kind(monitoredservice.MonitoredService, monitoredservice.NAMES, monitoredservice.COLUMNS),
    Kind(rollback.Rollback, rollback.NAMES, rollback.COLUMNS),
    Kind(objective.ServiceLevelObjective, objective.NAMES, objective.COLUMNS),
    Kind(backupschedule.BackupSchedule, backupschedule.NAMES, backupschedule.COLUMNS),
    Kind(backup.Backup, backup.NAMES, backup.COLUMNS),
    Kind(restore.Restore, restore.NAMES, restore.COLUMNS),
)
