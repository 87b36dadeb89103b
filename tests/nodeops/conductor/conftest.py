from __future__ import annotations

import sys
from pathlib import Path

for directory in (Path(__file__).parent, Path(__file__).parents[1]):
    sys.path.insert(0, str(directory))
