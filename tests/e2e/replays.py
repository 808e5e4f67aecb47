"""``pipert2 replay`` as a user calls it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.e2e.blocks import ROOT


def replay(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder, whose modules it finds."""
    return subprocess.run(
        [sys.executable, "-m", "pipert2", "replay", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=200,
    )
