"""Histograms of a window, slot by slot, added up anew at each look: counts need not be whole, and nothing drifts."""

from collections.abc import Mapping
from operator import add

from lastgood.domain.sketch import interpolated


class Rows:
    """A row of counts for each slot.

    While all histograms have the same bounds, and only a new release changes them, rows are added up column by column.
    """

    __slots__ = ("_bounds", "_mixed", "_rows")

    def __init__(self, slots: int) -> None:
        self._bounds: tuple[float, ...] = ()
        self._rows: list[list[float]] = [[] for _ in range(slots)]
        # By slot and bound, while bounds differ; then rows say nothing.
        self._mixed: list[dict[float, float]] | None = None

    def put(self, bins: Mapping[float, float], place: int) -> None:
        """Add a histogram to a slot."""
        bounds = tuple(bins)
        if self._mixed is None and bounds == self._bounds:
            self._rows[place] = list(map(add, self._rows[place], bins.values()))
            return
        if self._mixed is None:
            self._mixed = [dict(zip(self._bounds, row, strict=True)) if any(row) else {} for row in self._rows]
        row = self._mixed[place]
        for bound, count in bins.items():
            row[bound] = row.get(bound, 0) + count
        self._settle()

    def begin(self, bins: Mapping[float, float], place: int) -> None:
        """Have a slot hold this histogram alone: the quick way of ``clear`` and ``put``."""
        if self._mixed is None and tuple(bins) == self._bounds:
            self._rows[place] = list(bins.values())
        else:
            self.clear(place)
            self.put(bins, place)

    def clear(self, place: int) -> None:
        """Empty a slot."""
        if self._mixed is None:
            self._rows[place] = [0] * len(self._bounds)
        else:
            self._mixed[place] = {}

    def quantile(self, q: float) -> float | None:
        """Of all slots together."""
        if self._mixed is None:
            return interpolated(self._bounds, map(sum, zip(*self._rows, strict=True)), q)
        together: dict[float, float] = {}
        for row in self._mixed:
            for bound, count in row.items():
                together[bound] = together.get(bound, 0) + count
        bounds = sorted(together)
        return interpolated(bounds, [together[bound] for bound in bounds], q)

    def _settle(self) -> None:
        """Go back to rows as soon as all that is left has the same bounds."""
        mixed = [row for row in self._mixed or () if row]
        if all(row.keys() == mixed[0].keys() for row in mixed):
            self._bounds = tuple(sorted(mixed[0]))
            self._rows = [[row.get(bound, 0) for bound in self._bounds] for row in self._mixed or ()]
            self._mixed = None
