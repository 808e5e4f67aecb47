"""One suite of verbs over every face of a running pipe: they do the same, reply the same, refuse the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from pipert2.errors import ControlError
from pipert2.testing import wait_until
from tests.contract.faces import FACES, ClientFace, Face, Stage, stage


@pytest.fixture(scope="module")
def there() -> Iterator[Stage]:
    with stage() as found:
        yield found


@pytest.fixture(params=FACES)
def face(request: pytest.FixtureRequest, there: Stage) -> Iterator[Face]:
    with closing(ClientFace(there)) as quick:
        quick.call("start", wait=60.0)
    made = FACES[request.param](there)
    yield made
    made.close()


def state_of(face: Face, routine: str) -> str:
    return next(one["state"] for one in face.call("status")["routines"] if one["name"] == routine)


def flow_of(face: Face, name: str) -> dict[str, Any]:
    return next(flow for flow in face.call("status")["flows"] if flow["name"] == name)


def wires(face: Face) -> set[tuple[str, str]]:
    found = face.call("status")["wires"]
    return {(wire["source"], wire["destination"]) for wire in found if not wire["unlinked"]} - {("jobs", "work")}


class Workshop:
    """Prepares dead letters, by the quickest face."""

    def __init__(self, there: Stage) -> None:
        self._face = ClientFace(there)

    def give_up(self, *jobs: Any) -> list[dict[str, Any]]:
        """Have these jobs, which say that they are bad, and no others as dead letters."""
        self._face.call("start", wait=60.0)
        self._face.call("drop_dead_letters")
        self.refuse("bad")
        for job in jobs:
            self._face.call("event", name="JOB", routine="jobs", params={"job": job}, wait=60.0)
        wait_until(lambda: self._face.call("dead_letters")["total"] == len(jobs), 60)
        return self.letters()

    def letters(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._face.call("dead_letters")["letters"]
        return found

    def refuse(self, text: str) -> None:
        self._face.call("event", name="REFUSE", routine="work", params={"text": text}, wait=60.0)

    def close(self) -> None:
        self._face.close()


@pytest.fixture
def workshop(there: Stage) -> Iterator[Workshop]:
    made = Workshop(there)
    yield made
    made.close()


def test_the_status_tells_what_runs(face: Face) -> None:
    status = face.call("status")
    assert (status["name"], status["state"]) == ("stage", "running")
    assert {one["name"]: one["flow"] for one in status["routines"]} == {
        "camera": "cameras",
        "screen": "screens",
        "wall": "walls",
        "jobs": "offices",
        "work": "workshops",
        "answers": "services",
        "hours": "clocks",
    }


def test_a_routine_is_stopped_and_started(face: Face) -> None:
    assert face.call("stop", routine="screen", wait=60.0)["ok"]
    assert state_of(face, "screen") == "idle"
    assert face.call("start", routine="screen", wait=60.0)["routines"] == ["screen"]
    assert state_of(face, "screen") == "running"


def test_what_runs_already_can_be_started_again(face: Face) -> None:
    reply = face.call("start", wait=60.0)
    assert reply["ok"]
    assert set(reply["routines"]) == {"camera", "screen", "wall", "jobs", "work", "answers", "hours"}


def test_a_handler_returns_its_result(face: Face) -> None:
    reply = face.call("event", name="ADD", routine="camera", params={"a": 3, "b": 4}, wait=60.0)
    assert reply["results"]["camera"]["value"] == 7


def test_a_running_source_is_configured(face: Face) -> None:
    """B, extra: reconfigured while it runs, from each face."""
    face.call("event", name="configure", routine="hours", params={"interval": "50 ms", "log_level": "DEBUG"}, wait=60.0)

    def trigger() -> dict[str, Any]:
        found: dict[str, Any] = next(one for one in face.call("status")["routines"] if one["name"] == "hours")
        return found["trigger"]  # type: ignore[no-any-return]

    assert trigger()["text"] == "every 50 ms"
    before = trigger()["fires"]
    wait_until(lambda: trigger()["fires"] > before + 1, 60)
    face.call("event", name="configure", routine="hours", params={"interval": "1 h"}, wait=60.0)


def test_an_event_is_sent_without_waiting(face: Face) -> None:
    assert face.call("event", name="ADD", params={"a": 1})["routines"] == ["camera"]


def test_a_handler_that_raises_is_told(face: Face) -> None:
    if type(face).__name__ == "CliFace":
        with pytest.raises(ControlError, match="ValueError: no") as caught:
            face.call("event", name="FAIL", wait=60.0)
        assert caught.value.code == "1"
        return
    reply = face.call("event", name="FAIL", wait=60.0)
    assert not reply["ok"]
    assert reply["results"]["camera"]["error"] == "ValueError: no"


def test_an_unknown_event_names_the_nearest(face: Face) -> None:
    with pytest.raises(ControlError, match="did you mean 'ADD'"):
        face.call("event", name="AD", routine="camera")


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"a": 1, "bb": 2}, "event 'ADD' of 'camera' has no argument 'bb': did you mean 'b'"),
        ({"b": 1}, "event 'ADD' of 'camera' needs 'a'"),
    ],
)
def test_arguments_that_no_handler_takes_are_refused_before_anything_is_sent(
    face: Face, params: dict[str, int], said: str
) -> None:
    errors = face.call("status")["routines"][0]["errors"]
    with pytest.raises(ControlError, match=said):
        face.call("event", name="ADD", params=params)
    assert face.call("status")["routines"][0]["errors"] == errors


@pytest.mark.parametrize(
    ("origin", "said"),
    [({"flow": "camera"}, "has no flow 'camera': did you mean 'cameras'"), ({"routine": "scren"}, "mean 'screen'")],
)
def test_the_log_of_nobody_is_not_waited_for(face: Face, origin: dict[str, str], said: str) -> None:
    with pytest.raises(ControlError, match=said):
        face.call("logs", **origin)


def test_an_unknown_routine_names_the_nearest(face: Face) -> None:
    with pytest.raises(ControlError, match="did you mean 'screen'"):
        face.call("stop", routine="scren")


def test_a_parameter_is_set(face: Face) -> None:
    face.call("set_parameters", routine="camera", values={"gain": 2.5})
    status = face.call("status")["routines"][0]
    assert status["parameters"][0]["value"] == 2.5
    assert status["parameters"][0]["changes"][-1]["value"] == 2.5


def test_a_wrong_value_names_the_limit_and_changes_nothing(face: Face) -> None:
    before = face.call("status")["routines"][0]["parameters"]
    with pytest.raises(ControlError, match="'gain' of 'camera' is at most 8 dB, not 9"):
        face.call("set_parameters", routine="camera", values={"gain": 9.5})
    assert face.call("status")["routines"][0]["parameters"] == before


def test_a_wire_goes_and_comes(face: Face) -> None:
    face.call("unlink", source="camera", destination="wall")
    assert wires(face) == {("camera", "screen")}
    face.call("link", source="camera", destination="wall")
    assert wires(face) == {("camera", "screen"), ("camera", "wall")}
    face.call("start", routine="wall", wait=60.0)


def test_a_wire_that_cannot_be_is_refused(face: Face) -> None:
    with pytest.raises(ControlError, match="destination but a wire leads out of it"):
        face.call("link", source="screen", destination="wall")


def test_the_log_is_read_and_its_level_set(face: Face) -> None:
    face.call("log_level", routine="camera", level="INFO")
    face.call("event", name="ADD", routine="camera", params={"a": 100, "b": 23}, wait=60.0)

    wait_until(lambda: face.call("logs", routine="camera", text="adding 100 and 23")["records"])
    face.call("log_level", routine="camera", level="error")
    face.call("event", name="ADD", routine="camera", params={"a": 7, "b": 1007}, wait=60.0)
    assert not face.call("logs", routine="camera", text="1007")["records"]


def test_a_call_returns_what_the_routine_returned(face: Face) -> None:
    asked = {"name": "Ünal", "sizes": [1, 2.5, None], "all": True}
    reply = face.call("call", routine="answers", data=asked)
    assert reply == {"routine": "answers", "value": {"question": asked}, "lost": []}
    assert face.call("call", routine="answers")["value"] == {"question": None}


def test_a_call_says_what_json_could_not_carry(face: Face) -> None:
    reply = face.call("call", routine="answers", data="show", timeout=60.0)
    assert reply["value"] == {"frame": "<array 480 x 640 of uint8>", "size": [480, 640], "mean": 0.5}
    assert reply["lost"] == ["value.frame: an array is sketched as text"]


def test_a_source_cannot_be_called(face: Face) -> None:
    errors = face.call("status")["routines"][0]["errors"]
    with pytest.raises(ControlError, match="'camera' is a source, which is given nothing"):
        face.call("call", routine="camera", data=1, timeout=10.0)
    assert face.call("status")["routines"][0]["errors"] == errors


def test_a_call_that_fails_is_told(face: Face) -> None:
    with pytest.raises(ControlError, match="the call of routine 'answers' failed: ValueError: not that") as caught:
        face.call("call", routine="answers", data="refuse")
    if isinstance(face, ClientFace):
        assert caught.value.code == "handler_failed"
        assert "in main_logic" in str(caught.value.traceback)


def test_a_call_that_takes_too_long_is_told(face: Face) -> None:
    try:
        with pytest.raises(ControlError, match="'answers' failed: it did not answer in time") as caught:
            face.call("call", routine="answers", data="think", timeout=0.3)
        if isinstance(face, ClientFace):
            assert caught.value.code == "timeout"
    finally:
        face.call("stop", routine="answers", wait=60.0)  # which ends its thinking


def test_parameters_of_the_pipe_reach_its_routines(face: Face) -> None:
    value = {"by": type(face).__name__}
    assert face.call("set_shared_parameters", values={"workload": 0.01, "who": value})["values"]["who"] == value
    assert face.call("shared_parameters") == {"values": {"workload": 0.01, "who": value}, "missing": []}
    assert face.call("parameters")["shared"]["values"]["who"] == value
    wait_until(lambda: face.call("call", routine="answers", data="parameters")["value"].get("who") == value, 60)


def test_a_flow_gets_more_replicas_and_fewer(face: Face, there: Stage) -> None:
    def count() -> int:
        flows = face.call("status")["flows"]
        return sum((flow["replica_of"] or flow["name"]) == "workshops" for flow in flows if flow["state"] == "running")

    def grows() -> bool:
        try:
            return bool(face.call("set_replicas", flow="workshops", replicas=2) == {"flow": "workshops", "replicas": 2})
        except ControlError as error:
            if "is still ending: try again in a moment" in str(error):
                return False  # the one that another face has had
            raise

    wait_until(grows)
    wait_until(lambda: count() == 2, 60)
    assert face.call("event", name="REFUSE", params={"text": ""})["routines"] == ["work"]
    with closing(ClientFace(there)) as client:
        assert client.call("structure")["replicas"] == {"workshops": 2}
    face.call("set_replicas", flow="workshops", replicas=1)
    wait_until(lambda: count() == 1, 60)
    with pytest.raises(ControlError, match="'cameras' has no replicas: make it with"):
        face.call("set_replicas", flow="cameras", replicas=2)
    with pytest.raises(ControlError, match="did you mean 'workshops'"):
        face.call("set_replicas", flow="workshop", replicas=2)


def test_dead_letters_are_listed_and_counted(face: Face, workshop: Workshop) -> None:
    first, second = workshop.give_up({"bad": [1, 2.5, None]}, "bad")
    assert (first["routine"], first["data"], first["attempts"]) == ("work", {"bad": [1, 2.5, None]}, 1)
    assert first["reason"] == "ValueError: no {'bad': [1, 2.5, None]}"
    assert "main_logic" in first["traceback"]
    assert not first["earlier"]
    assert face.call("dead_letter", number=second["number"]) == second
    assert face.call("dead_letters", routine="work", after=first["number"]) == {"total": 2, "letters": [second]}
    status = face.call("status")
    assert status["dead_letters"] == 2
    assert next(one["dead_letters"] for one in status["routines"] if one["name"] == "work") == 2


def test_a_dead_letter_is_requeued_and_kept_if_it_fails_again(face: Face, workshop: Workshop) -> None:
    (letter,) = workshop.give_up("bad job")
    with pytest.raises(ControlError, match=r"'work' failed on event 'dead letter \d+': .*no bad job"):
        face.call("requeue_dead_letter", number=letter["number"])
    assert workshop.letters() == [letter]
    workshop.refuse("")
    reply = face.call("requeue_dead_letter", number=letter["number"], wait=60.0)
    assert reply == {"requeued": 1, "failed": [], "left": 0, "ok": True}
    assert workshop.letters() == []


def test_all_dead_letters_are_requeued_and_those_that_fail_are_told(face: Face, workshop: Workshop) -> None:
    _, second, _ = workshop.give_up("bad", "bad and worse", "bad too")
    workshop.refuse("worse")
    if type(face).__name__ == "CliFace":
        with pytest.raises(ControlError, match="no bad and worse") as caught:
            face.call("requeue_dead_letters", routine="work")
        assert caught.value.code == "1"
    else:
        reply = face.call("requeue_dead_letters", routine="work")
        assert (reply["requeued"], reply["left"], reply["ok"]) == (2, 0, False)
        assert [one["number"] for one in reply["failed"]] == [second["number"]]
    assert workshop.letters() == [second]


def test_dead_letters_are_dropped(face: Face, workshop: Workshop) -> None:
    first, second, third = workshop.give_up("bad 1", "bad 2", "bad 3")
    assert face.call("drop_dead_letter", number=second["number"]) == {"dropped": 1}
    assert workshop.letters() == [first, third]
    assert face.call("drop_dead_letters", routine="camera") == {"dropped": 0}
    assert face.call("drop_dead_letters", routine="work") == {"dropped": 2}


def test_a_dead_letter_that_there_is_not_names_the_nearest(face: Face, workshop: Workshop) -> None:
    (letter,) = workshop.give_up("bad")
    known = f"(did you mean|known are) '{letter['number']}'"
    for verb in ("dead_letter", "requeue_dead_letter", "drop_dead_letter"):
        with pytest.raises(ControlError, match=f"no dead letter '{10 * letter['number']}': {known}"):
            face.call(verb, number=10 * letter["number"])
    for verb in ("dead_letters", "requeue_dead_letters", "drop_dead_letters"):
        with pytest.raises(ControlError, match="did you mean 'work'"):
            face.call(verb, routine="wokr")


@pytest.mark.parametrize("name", FACES)
def test_a_flow_is_restarted_and_a_pipe_is_killed(name: str) -> None:
    with stage() as there:
        face = FACES[name](there)
        try:
            face.call("start", wait=60.0)
            before = flow_of(face, "walls")
            assert face.call("restart_flow", flow="walls")["restarts"] == 0
            wait_until(lambda: flow_of(face, "walls")["pid"] not in (before["pid"], None), 60)
            wait_until(lambda: state_of(face, "wall") == "running", 60)
            face.call("kill")
            wait_until(lambda: face.call("status")["state"] == "ended", 60)
        finally:
            face.close()


@pytest.mark.parametrize("name", [name for name in FACES if name != "pipert2"])
def test_a_picture_is_had_while_its_preview_is_on(there: Stage, name: str) -> None:
    face = FACES[name](there)
    try:
        face.call("start", wait=60.0)
        assert face.call("preview", routine="camera", side="output", on=True, rate=20.0, size=32)["on"]

        def seen() -> bool:
            try:
                return bool(face.call("frame", routine="camera", side="output")["width"] == 30)
            except ControlError:
                return False

        wait_until(seen)
        assert not face.call("preview", routine="camera", side="output", on=False)["on"]
        with pytest.raises(ControlError, match="is its preview on"):
            face.call("frame", routine="camera", side="output")
    finally:
        face.close()


@pytest.mark.parametrize("name", [name for name in FACES if name != "pipert2"])
def test_what_a_routine_shows_is_had_and_later_only_what_is_newer(there: Stage, name: str) -> None:
    face = FACES[name](there)
    try:
        face.call("start", wait=60.0)
        gains = face.call("parameters", routine="camera")["routines"]["camera"]
        gain = next(one["value"] for one in gains if one["name"] == "gain")  # another test may have set it just now

        def shown() -> Any:
            found = face.call("results", routine="camera")
            kept = {one["name"]: one for one in found["values"]}
            return len(kept) == 4 and kept["brightness"]["values"][-1] == 10 * gain and found

        first = wait_until(shown)
        values = {one["name"]: one for one in first["values"]}
        assert values["brightness"]["kind"] == "number"
        assert (values["lost"]["text"], values["lost"]["values"][-1]) == ("nan", None)
        assert list(values["profile <b>"]["values"]) == list(range(60))
        assert (values["rows/first"]["kind"], list(values["rows/first"]["shape"])) == ("image", [40, 60])
        assert face.call("results", routine="wall")["values"] in ([], ())
        later = face.call("results", routine="camera", after=first["last"])
        assert all(
            at > first["last"] / 1e6 - 0.001 for one in later["values"] if one["kind"] == "number" for at in one["at"]
        )
        with pytest.raises(ControlError, match="did you mean 'camera'"):
            face.call("results", routine="camra")
    finally:
        face.close()


def test_a_join_that_takes_too_long_says_so(face: Face) -> None:
    if type(face).__name__ == "CliFace":
        with pytest.raises(ControlError):
            face.call("join", timeout=0.2)
    else:
        assert face.call("join", timeout=0.2) == {"ended": False}
    assert face.call("status")["state"] == "running"


def test_what_has_happened_is_told_to_who_asks_and_waits(face: Face, workshop: Workshop) -> None:
    if type(face).__name__ == "CliFace":
        pytest.skip("the command line has the logs for that")
    before = face.call("notices", limit=10_000)["last"]
    (letter,) = workshop.give_up("bad job")
    page = face.call("notices", after=before, wait=30.0)
    (told,) = page["notices"]
    assert (told["number"], told["name"], page["last"], page["missed"]) == (before + 1, "dead_letter", before + 1, 0)
    values = {"routine": "work", "flow": "workshops", "number": letter["number"], "attempts": 1}
    assert told["values"] == {**values, "reason": "ValueError: no bad job"}
    assert face.call("notices", after=page["last"], wait=0.01)["notices"] in ([], ())
    with pytest.raises(ControlError, match="less than or equal to 30"):
        face.call("notices", wait=31)
