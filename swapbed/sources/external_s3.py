"""What is below a prefix in a bucket, as files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from models.errors import HostProblem, InvalidInput, NotFound
from models.externals import S3Source
from models.settings import settings
from storage.objects import ObjectInfo, checked

PIECE_BYTES = 16 << 20
ATTEMPTS = 2  # somebody waits, and calls it again if it was only the network


def fetch_s3(source: S3Source, target: Path) -> None:
    """Into target, which is made. Raises NotFound where nothing is below the prefix, InvalidInput for keys that cannot be files."""
    from storage.s3_objects import S3Objects  # boto3 takes 0.3 s to import

    bucket, _, prefix = source.s3.removeprefix("s3://").partition("/")
    own = settings()
    keys = (own.store_access_key, own.store_secret_key) if source.endpoint == own.store_endpoint else (None, None)
    prefix = prefix.strip("/")
    objects = S3Objects(bucket, f"{prefix}/" if prefix else "", endpoint=source.endpoint, access_key=keys[0], secret_key=keys[1],
                        region=own.store_region, attempts=ATTEMPTS)
    target.mkdir()
    empty = True
    for one in objects.listing():
        empty = False
        place = target / checked(one.key)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("xb") as file:
                for piece in _pieces(objects, one):
                    file.write(piece)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise InvalidInput(f"the object '{one.key}' cannot be a file: another needs a directory there", where=source.s3) from error
        except OSError as error:
            raise HostProblem(f"what was fetched cannot be written: {error.strerror}", where=str(place)) from error
    if empty:
        raise NotFound("there are no objects below that prefix", where=source.s3)


def _pieces(objects: object, one: ObjectInfo) -> Iterator[bytes]:
    from storage.s3_objects import S3Objects

    assert isinstance(objects, S3Objects)
    for start in range(0, one.size_bytes, PIECE_BYTES):
        yield objects.get(one.key, start, min(start + PIECE_BYTES, one.size_bytes))
