"""The longest silence between two replies in the output of `ping -D`, and how many never came."""

import re
import sys
from itertools import pairwise
from pathlib import Path

text = Path(sys.argv[1]).read_text()
times = [float(stamp) for stamp in re.findall(r"^\[([\d.]+)\] \d+ bytes from", text, re.MULTILINE)]
sent, received = map(int, re.search(r"(\d+) packets transmitted, (\d+) received", text).groups())
if len(times) < 2:
    sys.exit("hardly anything came through")
print(f"RESULT outage_s {max(later - earlier for earlier, later in pairwise(times)):.2f}")
print(f"RESULT lost {sent - received}")
