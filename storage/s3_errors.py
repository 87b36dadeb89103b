"""What went wrong between boto3 and an S3 server, in words that say what to do."""

from __future__ import annotations

from botocore.exceptions import ClientError, NoCredentialsError, ParamValidationError, PartialCredentialsError

from models.errors import InvalidInput, StoreProblem, StoreUnavailable, SwapbedError
from storage.s3_answers import of_answer


def explained(error: Exception, store: str, key: str) -> SwapbedError:
    """The error to raise for what happened with that key."""
    if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
        return StoreProblem("no credentials", where=store, next="Set SWAPBED_STORE_ACCESS_KEY and SWAPBED_STORE_SECRET_KEY")
    if isinstance(error, ParamValidationError):
        return InvalidInput(str(error).splitlines()[-1], where=store)
    if not isinstance(error, ClientError):
        return StoreUnavailable(f"no answer for '{key}' ({type(error).__name__}: {str(error)[:200]})", where=store,
                                next="Is the store up, and its endpoint right?")
    answer = error.response.get("Error", {})
    code, message = str(answer.get("Code", "")), str(answer.get("Message", ""))
    metadata = error.response.get("ResponseMetadata", {})
    return of_answer(code, message, int(metadata.get("HTTPStatusCode", 0)), metadata.get("HTTPHeaders", {}).get("date"), store, key)
