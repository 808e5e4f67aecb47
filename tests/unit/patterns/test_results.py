"""Results grow row by row, can be read meanwhile, and outlive their writer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipert2 import PipertError
from pipert2.patterns.results.result_file import ResultFile

h5py: Any = pytest.importorskip("h5py")

ROOT = Path(__file__).resolve().parents[3]


def test_rows_come_in_any_order_and_what_has_not_come_is_no_number(tmp_path: Path) -> None:
    rows = {"mean": "f4", "count": int, "curve": ("f4", (3,))}
    with ResultFile(tmp_path / "raw" / "xrd.h5", rows, {"till_x": 3}) as results:
        results.put("mean", 2, 5.0)
        results.put("mean", 0, 1.0)
        results.put("count", 1, 7)
        results.put("curve", 1, [1, 2, 3])
        assert results.path == tmp_path / "raw" / "xrd_processed.h5"
    results.close()
    with h5py.File(results.path) as file:
        np.testing.assert_array_equal(file["mean"][()], np.array([1, np.nan, 5], "f4"))
        assert file["count"][()].tolist() == [0, 7]
        assert (file["curve"].shape, file["curve"].maxshape) == ((2, 3), (None, 3))
        assert (file["till_x"][()], file["till_x"].dtype) == (3, np.int64)


def test_an_empty_name_saves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with ResultFile("", {"mean": "f4"}) as results:
        for number in range(100):
            results.put("mean", number, number)
        assert results.values("mean").tolist() == list(range(100))
    assert list(tmp_path.iterdir()) == []


def test_a_bare_name_is_a_file_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ResultFile("xrd.h5", {"mean": "f4"}).close()
    assert [file.name for file in tmp_path.iterdir()] == ["xrd_processed.h5"]


def test_a_reader_sees_the_rows_while_they_come(tmp_path: Path) -> None:
    with ResultFile(tmp_path / "xrd.h5", {"mean": "f4"}, flush=0.0) as results:
        code = f"import h5py; print(h5py.File({str(results.path)!r}, swmr=True)['mean'][()].tolist())"
        for number in range(3):
            results.put("mean", number, number)
            seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            assert seen.stdout.strip() == str([float(one) for one in range(number + 1)])


def test_a_writer_that_is_killed_leaves_a_file_that_opens(tmp_path: Path) -> None:
    code = (
        "import os, signal\nfrom pipert2.patterns.results.result_file import ResultFile\n"
        f"results = ResultFile({str(tmp_path / 'xrd.h5')!r}, {{'mean': 'f4'}}, flush=0.0)\n"
        "for number in range(50):\n    results.put('mean', number, number)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert killed.returncode == -signal.SIGKILL
    with h5py.File(tmp_path / "xrd_processed.h5", swmr=True) as file:
        assert file["mean"][()].tolist() == list(range(50))


def test_what_does_not_fit_is_refused_with_its_name(tmp_path: Path) -> None:
    for filename in ("", tmp_path / "xrd.h5"):
        with ResultFile(filename, {"mean": "f4"}) as results:
            with pytest.raises(PipertError, match="'sum'"):
                results.put("sum", 0, 1)
            with pytest.raises(PipertError, match="row 0 of 'mean'"):
                results.put("mean", 0, "much")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PipertError, match="cannot be made"):
        ResultFile(tmp_path / "file" / "xrd.h5", {"mean": "f4"})
