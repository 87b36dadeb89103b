"""What programs report is found in whatever they print."""

import pytest

from models.recorded import reported


@pytest.mark.parametrize(("output", "values"), [
    (b"RESULT speed 42\nRESULT speed 43\n", {"speed": "43"}), (b"RESULT a 1 2 \r\n  RESULT b 2\nRESULTS c 3", {"a": "1 2"}),
    (b"RESULT  a \t 5\t\n", {"a": "5"}), (b"RESULT a\nRESULT b \nRESULT\n", {}), (b"RESULT a \0\xff\n", {"a": "\ufffd\ufffd"}),
    ("RESULT größe 1µs".encode(), {"größe": "1µs"}), (b"RESULT a " + b" " * (1 << 20) + b"x" + b" " * (1 << 20), {"a": "x"}), (b"", {})])
def test_values_that_a_program_reported(output: bytes, values: dict[str, str]) -> None:
    assert reported(output) == values
