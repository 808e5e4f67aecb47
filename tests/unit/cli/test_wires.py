"""What `pipert2 link` and `unlink` say."""

from __future__ import annotations

import pytest

from pipert2.cli.wires import _show
from pipert2.control.records import WireReply


@pytest.mark.parametrize(
    ("linked", "changed", "said"),
    [
        (True, True, "linked"),
        (True, False, "linked already"),
        (False, True, "unlinked"),
        (False, False, "not linked anyway"),
    ],
)
def test_they_say_what_is_so_now(linked, changed, said, capsys):
    _show(WireReply("camera", "screen", linked, changed), as_json=False)
    assert capsys.readouterr().out == f"camera -> screen: {said}\n"
