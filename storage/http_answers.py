"""What a plain HTTP client makes of an error answer, from our gate (JSON) or from an S3 server (XML), without boto3."""

from __future__ import annotations

import json
import re

from urllib3 import BaseHTTPResponse

from models.errors import Denied, StoreUnavailable, SwapbedError
from storage.s3_answers import of_answer

XML_FIELD = re.compile(rb"<(Code|Message)>([^<]*)</")


def of_http_answer(answer: BaseHTTPResponse, where: str) -> SwapbedError:
    """The error to raise for it."""
    try:
        return SwapbedError.from_json(json.loads(answer.data))
    except (ValueError, AttributeError, TypeError):
        fields = {name: value.decode(errors="replace") for name, value in XML_FIELD.findall(answer.data)}
    code, message = fields.get(b"Code", ""), fields.get(b"Message", "")
    if answer.status == 403 and "expired" in message.lower():
        return StoreUnavailable("the permission for this request is over", where=where)
    if answer.status == 403 and code in ("SignatureDoesNotMatch", "AccessDenied"):
        return Denied(f"the store does not permit this request ({code}: {message[:100]})", where=where)
    return of_answer(code, message, answer.status, answer.headers.get("date"), where, where)
