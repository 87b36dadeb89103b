"""The forms that pictures of figures are written in, as a file's name says."""

from __future__ import annotations

from pathlib import Path

from models.errors import HostProblem, InvalidInput
from tasks.record_plot import FORMS


def form_of(place: Path) -> str:
    """Raises InvalidInput."""
    form = place.suffix.removeprefix(".").lower()
    if form not in FORMS:
        raise InvalidInput(f"'{place.suffix}' names no form of picture", where=str(place),
                           next=f"Expected one of {', '.join('.' + known for known in FORMS)}")
    return form


def write(place: Path, picture: bytes) -> None:
    """Raises HostProblem."""
    try:
        place.write_bytes(picture)
    except OSError as error:
        raise HostProblem(f"the picture cannot be written: {error.strerror}", where=str(place)) from error
