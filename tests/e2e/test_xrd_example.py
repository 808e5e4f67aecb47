"""The example of a detector's analysis gives the same results replayed and live."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.e2e.blocks import ROOT
from tests.ports import free_port

h5py: Any = pytest.importorskip("h5py")
EXAMPLE = ROOT / "examples" / "xrd"
SAID = "40 images, 3.00 counts in the corner, brightest ring at 2.13/A\n"


LIKE_AZINT = """
import types

class Poni:
    def __init__(self, det, dist, poni1, poni2, rot1, rot2, rot3, wavelength):
        assert (det.shape, poni1, poni2, rot1, rot2, rot3) == ((64, 64), 32 * 75e-6, 32 * 75e-6, 0, 0, 0)
        assert abs(wavelength - 1e-10) < 1e-15 and abs(dist - 60 * 75e-6) < 1e-12

class Detector:
    def __init__(self, pixel1, pixel2, shape):
        self.shape = shape

detector = types.SimpleNamespace(Detector=Detector)

class AzimuthalIntegrator:
    def __init__(self, poni, n_splitting, radial_bins, unit, solid_angle):
        from analysis import Rings
        assert (n_splitting, radial_bins, unit, solid_angle) == (4, 16, "q", True)
        self.rings = Rings(64)
        self.radial_axis = self.rings.axis

    def integrate(self, image):
        print("azint integrates")
        return self.rings.integrate(image), None, None, None
"""


def run(folder: Path, *command: object) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(EXAMPLE), str(folder)])},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def curves(folder: Path) -> Any:
    with h5py.File(folder / "output" / "xrd_processed.h5") as file:
        assert file["curve"].shape == (41, 16)
        return file["curve"][1:]


def test_a_capture_that_it_makes_is_replayed(tmp_path: Path) -> None:
    run(tmp_path, EXAMPLE / "detector.py", "xrd.cbors")
    replay = ("-m", "pipert2", "replay", "-w", "analysis:Worker", "-r", "analysis:Reducer", "-f", "xrd.cbors")
    assert run(tmp_path, *replay).startswith(SAID)
    found = curves(tmp_path)
    assert np.isfinite(found).all()
    assert np.argmax(found[-1]) > np.argmax(found[0])  # the ring grows


def test_azint_integrates_where_it_is_installed(tmp_path: Path) -> None:
    (tmp_path / "azint.py").write_text(LIKE_AZINT)
    run(tmp_path, EXAMPLE / "detector.py", "xrd.cbors")
    replay = ("-m", "pipert2", "replay", "-w", "analysis:Worker", "-r", "analysis:Reducer", "-f", "xrd.cbors")
    said = run(tmp_path, *replay)
    assert said.count("azint integrates") == 40
    assert SAID in said
    assert np.isfinite(curves(tmp_path)).all()


def test_it_analyses_what_a_detector_sends(tmp_path: Path) -> None:
    pytest.importorskip("zmq")
    out = run(tmp_path, EXAMPLE / "live.py", f"tcp://127.0.0.1:{free_port()}", free_port())
    assert out == SAID + "{'state': 'done', 'events': 42, 'done': 42, 'lost': 0}\n"
    assert np.isfinite(curves(tmp_path)).all()
