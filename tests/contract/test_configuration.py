"""Configuration of pipes: where settings come from, what is refused, and changes while the pipe runs."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipert2 import (
    AtLeast,
    ConfigError,
    DestinationRoutine,
    EndOfStream,
    Every,
    MiddleRoutine,
    Parameter,
    Pipe,
    PipeBuildError,
    SourceRoutine,
    Wire,
)
from pipert2.cli.exit_codes import exit_code_of
from pipert2.testing import CollectingDestination, ListSource, VirtualClock, wait_until

HOUR = 3600.0
MODES = pytest.mark.parametrize("inline", [True, False], ids=["inline", "processes"])


class PeriodicWorker(SourceRoutine):
    trigger: Any = "hourly"

    def main_logic(self) -> Any:
        self.logger.debug("%s is at work", self.name)


class YourAnalysis(PeriodicWorker):
    limit = Parameter(3, minimum=0, maximum=10)


class Strict(PeriodicWorker):
    config_defaults = {"threshold": 60, "names": {}}


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    folder = tmp_path / "configs"
    folder.mkdir()
    return folder


Pipes = Callable[..., Pipe]


@pytest.fixture
def pipes(configs: Path) -> Iterator[Pipes]:
    made: list[Pipe] = []

    def make(*routines: Any, **options: Any) -> Pipe:
        pipe = Pipe(f"configured-{len(made)}", config=configs, **options)
        for routine in routines:
            pipe.create_flow(routine.name, True, routine)
        made.append(pipe)
        return pipe

    yield make
    for pipe in made:
        pipe.join(to_kill=True)
        if pipe.store is not None:
            pipe.store.close()


def write(folder: Path, name: str, **values: Any) -> None:
    (folder / f"{name}.json").write_text(json.dumps(values))


# --- where settings come from


def test_without_a_file_defaults_hold(pipes: Pipes) -> None:
    """B-1: no file."""
    clock = VirtualClock()
    pipe = pipes(YourAnalysis("mine"), inline=True, clock=clock)
    pipe.build()
    trigger = pipe.status().routine("mine").trigger
    assert trigger is not None
    assert trigger.text == "hourly"
    assert pipe.configuration("mine")["log_level"] == "INFO"
    assert pipe.logger.getChild("mine.mine").level == logging.NOTSET, "as the pipe's"


@MODES
@pytest.mark.parametrize("level", ["debug", "DEBUG"])
def test_a_file_of_the_class_sets_interval_level_and_keys_of_ones_own(
    pipes: Pipes, configs: Path, caplog: pytest.LogCaptureFixture, inline: bool, level: str
) -> None:
    """B-1: a file, on the real clock: no more fires than 200 ms allow, missed ticks counted, DEBUG for it alone.

    Fires and missed ticks together are what the clock had time for, however late the one or the other comes.
    """
    write(configs, "YourAnalysis", log_level=level, interval="every 200 ms", new_value="I'm a new configuration!")
    write(configs, "other", interval="every 50 ms")

    class Tells(YourAnalysis):
        def main_logic(self) -> Any:
            self.logger.debug("%s", self.config["new_value"])

    pipe = pipes(Tells("mine"), PeriodicWorker("other"), inline=inline)
    caplog.set_level(logging.DEBUG, pipe.logger.name)
    pipe.logger.setLevel(logging.INFO)
    began = time.monotonic()

    def allowed() -> float:
        return (time.monotonic() - began) / 0.2 + 1

    def said() -> list[logging.LogRecord]:
        ours = [record for record in caplog.records if ".configured-" in record.name]
        return [record for record in ours if record.levelno == logging.DEBUG]

    pipe.notify_event("start")
    wait_until(lambda: _fires(pipe) >= 3)
    wait_until(lambda: _ticks(pipe, "other") > allowed(), what="more ticks of the other one than of 200 ms")
    wait_until(lambda: "I'm a new configuration!" in {record.getMessage() for record in said()})
    pipe.join(to_kill=True)
    assert _ticks(pipe, "mine") <= allowed()
    assert sum(routine.errors for routine in pipe.status().routines) == 0
    assert {record.name for record in said()} == {f"{pipe.logger.name}.mine.mine"}
    assert pipe.logger.getChild("mine.mine").level == logging.NOTSET, "a later pipe of this name begins anew"


def test_layers_are_merged_and_each_value_knows_its_origin(
    pipes: Pipes, configs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B-2: five layers, and where each value is from."""
    write(configs, "PeriodicWorker", interval="1 h", log_level="INFO", limits={"cpu": 2, "mem": "4G"})
    write(configs, "YourAnalysis", limits={"cpu": 4})
    write(configs, "mine", log_level="WARNING")
    monkeypatch.setenv("PIPERT_YOURANALYSIS__INTERVAL", "5 s")
    pipe = pipes(YourAnalysis("mine"), inline=True)
    found = pipe.configuration("mine")
    assert dict(found) == {"interval": "5 s", "log_level": "WARNING", "limits": {"cpu": 4, "mem": "4G"}}
    assert {one.key: Path(one.origin).name for one in found.explain()} == {
        "interval": "environment PIPERT_YOURANALYSIS__INTERVAL",
        "log_level": "mine.json",
        "limits.cpu": "YourAnalysis.json",
        "limits.mem": "PeriodicWorker.json",
    }


def test_a_setting_named_as_a_parameter_is_its_first_value(pipes: Pipes, configs: Path) -> None:
    write(configs, "mine", limit=7)
    routine = YourAnalysis("mine")
    pipe = pipes(routine, inline=True)
    pipe.build()
    assert routine.limit == 7
    assert pipe.parameters("mine")[0].value == 7


def test_an_interval_replaces_the_rhythm_and_keeps_the_condition(pipes: Pipes, configs: Path, tmp_path: Path) -> None:
    write(configs, "mine", interval="15 min")
    routine = PeriodicWorker("mine")
    routine.trigger = Every("1 h") & AtLeast(1000, "elf", within="1 h")
    pipe = pipes(routine, inline=True, store=tmp_path / "run.db")
    pipe.build()
    trigger = pipe.status().routine("mine").trigger
    assert trigger is not None
    assert trigger.text == "every 15 min & at least 1000 elf within 1 h"


def test_a_routine_may_have_an_attribute_of_its_own_called_config(pipes: Pipes) -> None:
    class Own(PeriodicWorker):
        def __init__(self) -> None:
            super().__init__("own")
            self.config = {"its": "own"}

    own = Own()
    pipes(own, inline=True).build()
    assert own.config == {"its": "own"}


@MODES
def test_every_kind_of_routine_has_its_settings(pipes: Pipes, configs: Path, inline: bool) -> None:
    class Adds(MiddleRoutine):
        config_defaults = {"step": 1}

        def main_logic(self, number: int) -> int:
            return int(number + self.config["step"])

    write(configs, "Adds", step=10)
    numbers, adds, seen = ListSource([1, 2], "numbers"), Adds("adds"), CollectingDestination("seen")
    pipe = pipes(inline=inline, lossless=True)
    pipe.create_flow("all", True, numbers, adds)
    pipe.create_flow("end", True, seen)
    pipe.link(Wire(adds, seen))
    assert pipe.run(timeout=60).ok
    assert seen.items() == [11, 12]


# --- what is refused


BAD = [
    ('{"interval": }', None),
    ('{"interval": "evry 5 s"}', "interval"),
    ('{"interval": "every banana"}', "interval"),
    ('{"interval": ""}', "interval"),
    ('{"interval": null}', "interval"),
    ('{"interval": 0}', "interval"),
    ('{"interval": -1}', "interval"),
    ('{"log_level": "verbose"}', "log_level"),
    ('["a list"]', None),
    ('{"limit": 11}', "limit"),
]


@pytest.mark.parametrize(("text", "key"), BAD)
def test_a_bad_setting_is_one_error_before_any_process_starts(
    pipes: Pipes, configs: Path, text: str, key: str | None
) -> None:
    """B-8: see also tests/unit/runtime/test_configuration.py."""
    (configs / "YourAnalysis.json").write_text(text)
    pipe = pipes(YourAnalysis("mine"), YourAnalysis("twin"))
    with pytest.raises(ConfigError) as caught:
        pipe.build()
    assert caught.value.where == str(configs / "YourAnalysis.json")
    assert caught.value.key == key
    assert "accepted: " in str(caught.value)
    assert exit_code_of(caught.value) == 2
    assert pipe.status().flows == ()


def test_a_file_that_cannot_be_read_is_an_error(pipes: Pipes, configs: Path) -> None:
    (configs / "YourAnalysis.json").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        pipes(YourAnalysis("mine")).build()


def test_all_problems_are_one_error(pipes: Pipes, configs: Path) -> None:
    write(configs, "mine", interval="evry 5 s")
    write(configs, "other", log_level="verbose")
    pipe = pipes(YourAnalysis("mine"), PeriodicWorker("other"), DestinationOfNothing("floating"))
    with pytest.raises(PipeBuildError) as caught:
        pipe.build()
    assert len(caught.value.problems) == 3


class DestinationOfNothing(DestinationRoutine):
    def main_logic(self, data: Any) -> None:
        pass


def test_a_key_that_nobody_knows_is_kept_with_a_warning_if_it_looks_misspelt(
    pipes: Pipes, configs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """B-8: `intervall`."""
    write(configs, "mine", intervall="1 h")
    pipe = pipes(YourAnalysis("mine"), inline=True)
    pipe.build()
    assert pipe.configuration("mine")["intervall"] == "1 h"
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "did you mean 'interval'?" in warning


def test_a_routine_that_declares_its_keys_has_no_others(pipes: Pipes, configs: Path) -> None:
    """B-8: `intervall`, where the keys are declared."""
    write(configs, "strict", treshold=1)
    with pytest.raises(ConfigError, match="did you mean 'threshold'"):
        pipes(Strict("strict")).build()


def test_a_file_of_nobody_and_a_missing_folder_are_warnings(
    pipes: Pipes, configs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(configs, "YourAnalisis")
    pipes(YourAnalysis("mine"), inline=True).build()
    pipe = Pipe(config=configs / "nowhere", inline=True)
    pipe.create_flow("flow", True, PeriodicWorker("other"))
    with pipe:
        pipe.build()
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 2
    assert "did you mean 'YourAnalysis.json'?" in warnings[0]
    assert "there is no folder" in warnings[1]


@pytest.mark.parametrize("config", [3, {"interval": 1}])
def test_config_is_the_path_of_a_folder(config: Any) -> None:
    with pytest.raises(TypeError, match="path of a folder"):
        Pipe(config=config)


# --- changes while it runs


def test_a_changed_interval_holds_from_the_next_period_on(pipes: Pipes) -> None:
    """B, extra: reconfigured while it runs, by an event; from each face in tests/contract/test_verbs.py."""
    clock = VirtualClock()
    routine = YourAnalysis("mine")
    routine.trigger = "every 1 h"
    pipe = pipes(routine, inline=True, clock=clock)
    fires: list[float] = []
    routine.main_logic = lambda: fires.append(clock.now() / 60)  # type: ignore[method-assign]
    pipe.notify_event("start")

    def to(minute: float) -> None:
        wait_until(lambda: clock.waiting == 1)
        clock.advance(60 * minute - clock.now())
        wait_until(lambda: clock.waiting == 1)

    to(60)
    to(95)
    pipe.notify_event("configure", {"mine": ["mine"]}, wait=60, interval="10 min")["mine"].unwrap()
    to(99)
    assert fires == [60], "what the new period would have asked for before is made up for by nothing"
    for minute in (100, 110, 120):
        to(minute)
    assert fires == [60, 100, 110, 120]
    assert pipe.status().routine("mine").skipped == 0


@MODES
def test_a_change_outlives_a_restart_of_its_flow(pipes: Pipes, inline: bool) -> None:
    pipe = pipes(YourAnalysis("mine"), inline=inline)
    pipe.notify_event("start", wait=60)
    values = {"interval": "100 ms", "limit": 5, "log_level": "warning", "own": {"a": 1}}
    pipe.notify_event("configure", {"mine": ["mine"]}, wait=60, **values)["mine"].unwrap()
    wait_until(lambda: _fires(pipe) > 2)
    if not inline:
        pipe.restart_flow("mine")
        before = _fires(pipe)
        wait_until(lambda: _fires(pipe) > before + 2, timeout=60)
    found = pipe.configuration("mine")
    assert (found["interval"], found["own"], found["log_level"]) == ("100 ms", {"a": 1}, "WARNING")
    assert pipe.parameters("mine")[0].value == 5
    assert pipe.log_level("mine") == logging.WARNING
    assert {one.origin for one in found.explain() if one.key in ("interval", "own.a")} == {"configure"}


def _fires(pipe: Pipe) -> int:
    trigger = pipe.status().routine("mine").trigger
    assert trigger is not None
    return trigger.fires


def _ticks(pipe: Pipe, name: str) -> int:
    """Those at which it ran, and those that it missed."""
    routine = pipe.status().routine(name)
    assert routine.trigger is not None
    return routine.trigger.fires + routine.skipped


@MODES
@pytest.mark.expects_errors
def test_a_bad_change_changes_nothing_and_is_said(pipes: Pipes, inline: bool, caplog: pytest.LogCaptureFixture) -> None:
    pipe = pipes(YourAnalysis("mine"), inline=inline)
    pipe.notify_event("start", wait=60)
    pipe.notify_event("configure", interval="evry 5 s")
    wait_until(lambda: any("evry 5 s" in record.getMessage() for record in caplog.records))
    error = pipe.notify_event("configure", wait=60, interval="1 s", log_level="verbose")["mine"].error
    assert error is not None
    assert "'log_level' is 'verbose'" in error.reason
    assert pipe.configuration("mine")["interval"] == "hourly"
    assert pipe.status().routine("mine").errors == 2


@MODES
def test_a_source_without_a_trigger_gets_an_interval_while_it_runs(pipes: Pipes, inline: bool, tmp_path: Path) -> None:
    class Free(SourceRoutine):
        def main_logic(self) -> int:
            self.wait(0.001)
            return 1

    free, seen = Free("mine"), CollectingDestination("seen")
    pipe = pipes(inline=inline)
    pipe.create_flow("flow", True, free, seen)
    pipe.notify_event("start", wait=60)
    wait_until(seen.items)
    pipe.notify_event("configure", {"flow": ["mine"]}, wait=60, interval="50 ms")["mine"].unwrap()
    wait_until(lambda: _fires(pipe) > 2)


def test_configuring_the_whole_pipe_reaches_every_routine(pipes: Pipes) -> None:
    numbers, seen = ListSource([1], "numbers"), CollectingDestination("seen")
    pipe = pipes(inline=True)
    pipe.create_flow("flow", True, numbers, seen)
    pipe.build()
    answers = pipe.notify_event("configure", wait=60, log_level="debug")
    assert {name for name, answer in answers.items() if answer.error is None} == {"numbers", "seen"}
    assert pipe.configuration("seen")["log_level"] == "DEBUG"


def test_the_end_of_a_configured_stream_ends_the_pipe(pipes: Pipes, configs: Path) -> None:
    class Once(PeriodicWorker):
        def main_logic(self) -> Any:
            raise EndOfStream

    write(configs, "Once", interval="10 ms")
    assert pipes(Once("once"), inline=True).run(timeout=60).reason == "finished"
