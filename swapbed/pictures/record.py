"""A record's picture, in files and notebooks; `tasks.record_plot` draws it."""

from __future__ import annotations

from pathlib import Path

from models.tables import Record
from swapbed.pictures.forms import form_of, write
from tasks.record_plot import plot


class RecordPicture:
    """Drawn once, when it is made: PNG."""

    def __init__(self, record: Record):
        self._record = record
        self._png = plot(record, "png")

    def save(self, path: Path | str) -> Path:
        """In the form that the name's end says."""
        place = Path(path)
        form = form_of(place)
        write(place, self._png if form == "png" else plot(self._record, form))
        return place

    def _repr_png_(self) -> bytes:
        return self._png
