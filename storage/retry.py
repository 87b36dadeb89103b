"""Trying again what may work later: only `StoreUnavailable`, with exponential back-off and full jitter."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from models.errors import StoreUnavailable

Result = TypeVar("Result")
ATTEMPTS = 6
FIRST_DELAY_S = 0.1  # doubled each time: at most some 6 s in all, beside what the attempts themselves take


def with_retries(do: Callable[[], Result], attempts: int = ATTEMPTS, sleep: Callable[[float], None] = time.sleep) -> Result:
    """What `do` returns, once it does. Its last error, if it fails so many times."""
    for attempt in range(attempts - 1):
        try:
            return do()
        except StoreUnavailable:
            sleep(random.uniform(0, FIRST_DELAY_S * 2 ** (attempt + 1)))
    return do()
