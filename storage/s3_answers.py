"""What an S3 server answers, by its error codes, in words that say what to do. Needs no S3 library: hosts use it too."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from time import time

from models.errors import NotFound, StoreProblem, StoreUnavailable, SwapbedError
from storage.objects import NEXT_IF_FULL

MISSING = {"NoSuchKey", "404", "NoSuchVersion", "NotFound"}
FULL = {"XMinioStorageFull", "QuotaExceeded", "InsufficientStorage", "StorageFull", "507"}
BAD_CREDENTIALS = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "AuthorizationHeaderMalformed", "401"}
FORBIDDEN = {"AccessDenied", "AllAccessDisabled", "AccountProblem", "403"}
SKEWED = {"RequestTimeTooSkewed", "RequestExpired"}
PASSING = {"SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "ThrottlingException", "BadDigest", "IncompleteBody"}
SKEW_ALLOWED_S = 15 * 60  # of SigV4 servers, as AWS documents it
SERVER_FAULT = 500



def of_answer(code: str, message: str, status: int, date: str | None, store: str, key: str) -> SwapbedError:
    """The error for an error answer of that code and HTTP status. date: the server's Date header."""
    if code in MISSING:
        return NotFound(f"no object '{key}'", where=store)
    if code == "NoSuchBucket":
        return StoreProblem("there is no such bucket", where=store, next="`swapbed store create-bucket` makes it")
    skew_s = abs(parsedate_to_datetime(date).timestamp() - time()) if date else 0.0
    if code in SKEWED or (status in (400, 401, 403) and skew_s > SKEW_ALLOWED_S):
        return StoreProblem(f"this host's clock and the store's are {skew_s / 60:.0f} min apart, so it refuses signatures", where=store,
                            next="Set the clock (NTP)")
    if code in BAD_CREDENTIALS:
        return StoreProblem(f"it does not accept these credentials ({code})", where=store,
                            next="Check SWAPBED_STORE_ACCESS_KEY and SWAPBED_STORE_SECRET_KEY")
    if code in FULL or status == 507:
        return StoreProblem(f"no space left for '{key}' ({code})", where=store, next=NEXT_IF_FULL)
    if code in FORBIDDEN:
        return StoreProblem(f"these credentials may not do this to '{key}' ({code})", where=store,
                            next="They need to put, get, list and delete objects of this bucket")
    if code in PASSING or status >= SERVER_FAULT:
        return StoreUnavailable(f"it refused '{key}' for now ({status} {code})", where=store,
                                next="Try again in a while: what has arrived is not sent again")
    return StoreProblem(f"it refused '{key}' ({status} {code}: {message[:200]})", where=store)
