"""The training stages are not installed: they are found in the repository, after the installed package."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))
