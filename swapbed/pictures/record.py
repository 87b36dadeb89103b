"""A record's picture, in files and notebooks; `tasks.record_plot` draws it."""

from __future__ import annotations

from pathlib import Path

from models.errors import HostProblem, InvalidInput
from models.tables import Record
from tasks.record_plot import FORMS, plot


class RecordPicture:
    """Drawn once, when it is made: PNG."""

    def __init__(self, record: Record):
        self._record = record
        self._png = plot(record, "png")

    def save(self, path: Path | str) -> Path:
        """In the form that the name's end says."""
        place = Path(path)
        form = place.suffix.removeprefix(".").lower()
        if form not in FORMS:
            raise InvalidInput(f"'{place.suffix}' names no form of picture", where=str(place),
                               next=f"Expected one of {', '.join('.' + known for known in FORMS)}")
        try:
            place.write_bytes(self._png if form == "png" else plot(self._record, form))
        except OSError as error:
            raise HostProblem(f"the picture cannot be written: {error.strerror}", where=str(place)) from error
        return place

    def _repr_png_(self) -> bytes:
        return self._png
