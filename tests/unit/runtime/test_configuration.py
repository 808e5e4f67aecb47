"""A routine's settings come from layers; a bad one is one clear error, and each can be explained."""

from __future__ import annotations

import logging
import os
import pickle
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from pipert2 import ConfigError, Parameter, SourceRoutine
from pipert2.runtime.configuration.configuration import Configuration, Setting, misspelt_variables
from pipert2.runtime.configuration.files import unused_files
from pipert2.runtime.triggers.triggers import Every

FORMS = {"json": '{"interval": "5 s", "limits": {"cpu": 4}}'}
FORMS["toml"] = 'interval = "5 s"\n[limits]\ncpu = 4\n'
FORMS["yaml"] = FORMS["yml"] = "interval: 5 s\nlimits:\n  cpu: 4\n"


class Periodic(SourceRoutine):
    def main_logic(self) -> None: ...


class YourAnalysis(Periodic): ...


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    folder = tmp_path / "configs"
    folder.mkdir()
    return folder


def load(folder: Path | None, name: str = "first", **options: Any) -> Configuration:
    return Configuration.load(folder, YourAnalysis.__mro__, name, **options)


def refused(folder: Path | None, **options: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(folder, **options)
    assert "\n" not in str(caught.value)
    return caught.value


# --- B-1: defaults and override


@pytest.mark.parametrize("there", [True, False])
def test_without_files_the_routines_own_hold(configs: Path, there: bool) -> None:
    found = load(configs if there else configs / "nowhere", interval=Every("1 h"))
    assert dict(found) == {"log_level": "INFO", "interval": "every 1 h"}
    assert found.log_level == logging.INFO
    assert found.interval is None


@pytest.mark.parametrize("level", ["debug", "DEBUG", "Debug"])
def test_the_file_of_the_class_overrides_them(configs: Path, level: str) -> None:
    text = "I'm a new configuration!"
    (configs / "YourAnalysis.json").write_text(
        f'{{"log_level": "{level}", "interval": "every 200 ms", "new_value": "{text}"}}'
    )
    found = load(configs, interval=Every("1 h"))
    assert found.log_level == logging.DEBUG
    assert found.interval == Every(0.2)
    assert found["new_value"] == text
    assert found.warnings == ()


def test_settings_can_be_reached_as_in_machina(configs: Path) -> None:
    (configs / "YourAnalysis.json").write_text('{"interval": "minutely"}')
    assert load(configs)["worker"]["interval"] == "minutely"


# --- B-2: layers


def layered(configs: Path) -> Configuration:
    (configs / "Periodic.json").write_text(
        '{"interval": "1 h", "log_level": "INFO", "limits": {"cpu": 2, "mem": "4G"}}'
    )
    (configs / "YourAnalysis.json").write_text('{"limits": {"cpu": 4}}')
    (configs / "first.json").write_text('{"log_level": "WARNING"}')
    return load(configs, environment={"PIPERT_YOURANALYSIS__INTERVAL": "5 s", "HOME": "/root"})


def test_layers_are_merged_deeply_and_the_nearest_wins(configs: Path) -> None:
    assert dict(layered(configs)) == {
        "interval": "5 s",
        "log_level": "WARNING",
        "limits": {"cpu": 4, "mem": "4G"},
    }


def test_the_origin_of_each_value_is_explained(configs: Path) -> None:
    files = [str(configs / f"{name}.json") for name in ("Periodic", "YourAnalysis", "first")]
    assert layered(configs).explain() == [
        Setting("interval", "5 s", "environment PIPERT_YOURANALYSIS__INTERVAL", ((files[0], "1 h"),)),
        Setting("limits.cpu", 4, files[1], ((files[0], 2),)),
        Setting("limits.mem", "4G", files[0]),
        Setting("log_level", "WARNING", files[2], (("declared", "INFO"), (files[0], "INFO"))),
    ]


def test_the_file_of_another_instance_does_not_count(configs: Path) -> None:
    (configs / "second.json").write_text('{"log_level": "DEBUG"}')
    assert load(configs).log_level == logging.INFO
    assert load(configs, "second").log_level == logging.DEBUG


def test_the_environment_of_the_instance_is_nearer_than_that_of_the_class(configs: Path) -> None:
    environment = {"PIPERT_FIRST_ONE__N": "3", "PIPERT_YOURANALYSIS__N": "2", "PIPERT_PERIODIC__N": "1"}
    assert load(configs, "first-one", environment=environment)["n"] == 3
    assert load(configs, "second", environment=environment)["n"] == 2


@pytest.mark.parametrize(
    ("text", "value"), [("4", 4), ("true", True), ('["a"]', ["a"]), ("0.5", 0.5), ("5 s", "5 s"), ("", "")]
)
def test_the_environment_says_numbers_and_lists_as_json_does(text: str, value: Any) -> None:
    assert load(None, environment={"PIPERT_YOURANALYSIS__LIMITS__CPU": text})["limits"] == {"cpu": value}


def test_what_is_a_text_stays_one_in_the_environment() -> None:
    found = load(None, environment={"PIPERT_YOURANALYSIS__MEM": "4"}, defaults={"mem": "4G"})
    assert found["mem"] == "4"


def test_the_environment_finds_keys_that_are_written_otherwise() -> None:
    found = load(None, environment={"PIPERT_YOURANALYSIS__MAX_SIZE": "4"}, defaults={"max-Size": 1})
    assert found["max-Size"] == 4


def test_a_bare_number_in_the_environment_is_seconds() -> None:
    assert load(None, environment={"PIPERT_YOURANALYSIS__INTERVAL": "5"}, interval=Every("1 h")).interval == Every(5)


def test_an_event_changes_a_copy_and_is_nearest(configs: Path) -> None:
    before = layered(configs)
    after = before.changed({"interval": "100 ms", "limits": {"mem": "8G"}}, "configure")
    assert after["limits"] == {"cpu": 4, "mem": "8G"}
    assert after.interval == Every(0.1)
    assert before["limits"] == {"cpu": 4, "mem": "4G"}
    assert after.explain()[0].origin == "configure"
    with pytest.raises(ConfigError, match="configure: 'interval' is 'banana'"):
        after.changed({"interval": "banana"})


def test_a_list_is_replaced_as_a_whole() -> None:
    found = load(None, defaults={"ports": [1, 2]}).changed({"ports": [3]})
    assert found["ports"] == [3]


# --- files


@pytest.mark.parametrize("form", sorted(FORMS))
def test_files_are_json_toml_or_yaml(configs: Path, form: str) -> None:
    (configs / f"YourAnalysis.{form}").write_text(FORMS[form])
    assert load(configs)["limits"] == {"cpu": 4}
    assert load(configs).interval == Every(5)


def test_a_file_named_in_other_capitals_counts(configs: Path) -> None:
    (configs / "youranalysis.json").write_text('{"n": 1}')
    assert load(configs)["n"] == 1


def test_two_files_for_one_name_are_refused(configs: Path) -> None:
    (configs / "YourAnalysis.json").write_text("{}")
    (configs / "YourAnalysis.yaml").write_text("")
    error = refused(configs)
    assert "several files for 'YourAnalysis': YourAnalysis.json, YourAnalysis.yaml" in str(error)


def test_an_empty_yaml_file_is_fine_and_a_byte_order_mark_too(configs: Path) -> None:
    (configs / "YourAnalysis.yaml").write_text("")
    (configs / "first.json").write_bytes(b'\xef\xbb\xbf{"n": 1}')
    assert load(configs)["n"] == 1


def test_yaml_does_not_make_on_and_no_of_texts(configs: Path) -> None:
    (configs / "YourAnalysis.yaml").write_text("on: no\nflag: true\n")
    found = load(configs)
    assert (found["on"], found["flag"]) == ("no", True)


def test_files_that_are_nobodys_are_told(configs: Path) -> None:
    for name in ("YourAnalysis.json", "YourAnalisis.json", "zzz.yaml", "notes.txt"):
        (configs / name).write_text("{}")
    found = unused_files(configs, load(configs).files, ["YourAnalysis", "first"])
    assert found == [
        f"{configs / 'YourAnalisis.json'} is used by no routine: did you mean 'YourAnalysis.json'?",
        f"{configs / 'zzz.yaml'} is used by no routine: no class and no routine is called so",
    ]


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("PIPERT_YOURANALISIS__INTERVAL", "PIPERT_YOURANALYSIS__INTERVAL"),
        ("PIPERT2_YOURANALYSIS__LIMITS__CPU", "PIPERT_YOURANALYSIS__LIMITS__CPU"),
        ("PIPERT_FIRST_ONE_INTERVAL", "PIPERT_FIRST_ONE__INTERVAL"),
        ("PIPERT_FIRST_ONE__INTERVAL", None),
        ("PIPERT_CAMERA__RATE", None),
        ("PIPERT2_TOKEN", None),
        ("PIPERT2_WRITE_DOCS", None),
        ("PATH", None),
    ],
)
def test_a_variable_that_looks_like_a_routines_and_is_none_is_told(variable: str, meant: str | None) -> None:
    found = misspelt_variables({variable: "1"}, ["first one", "YourAnalysis", "object"])
    assert found == ([f"environment {variable} is used by no routine: did you mean {meant}?"] if meant else [])


# --- B-8: bad configurations

ACCEPTED_TRIGGERS = "hourly"


@pytest.mark.parametrize(
    ("text", "key", "value", "accepted"),
    [
        ('{"interval": }', None, "cannot be read: Expecting value, line 1, column 14", "a JSON object"),
        ('{"interval": "evry 5 s"}', "interval", "evry 5 s", "hourly"),
        ('{"interval": "every banana"}', "interval", "every banana", "hourly"),
        ('{"interval": ""}', "interval", "", "hourly"),
        ('{"interval": null}', "interval", None, "hourly"),
        ('{"interval": 0}', "interval", 0, "hourly"),
        ('{"interval": -1}', "interval", -1, "hourly"),
        ('{"interval": true}', "interval", True, "hourly"),
        ('{"log_level": "verbose"}', "log_level", "verbose", "DEBUG, INFO, WARNING, ERROR, CRITICAL"),
        ('{"log_level": null}', "log_level", None, "DEBUG"),
        ('{"log_level": 10}', "log_level", 10, "DEBUG"),
        ('["a list"]', None, "holds a list", "a JSON object"),
        ("null", None, "holds nothing", "a JSON object"),
        ("", None, "cannot be read: Expecting value, line 1, column 1", "a JSON object"),
        ('{"a": 1, "a": 2}', None, "cannot be read: 'a' stands there twice", "a JSON object"),
        ('{"a": NaN}', None, "cannot be read: NaN is not JSON", "a JSON object"),
        ("[" * 100_000, None, None, "a JSON object"),
    ],
)
def test_a_bad_value_is_one_error_with_file_key_value_and_what_is_accepted(
    configs: Path, text: str, key: str | None, value: Any, accepted: str
) -> None:
    file = configs / "YourAnalysis.json"
    file.write_text(text)
    error = refused(configs)
    assert (error.where, error.key) == (str(file), key)
    assert error.value == value or (value is None and key is None)
    assert accepted in error.accepted
    assert str(error).startswith(f"{file}: ")


def test_a_misspelt_interval_is_guessed(configs: Path) -> None:
    (configs / "YourAnalysis.json").write_text('{"interval": "evry 5 s"}')
    assert refused(configs).nearest == "every 5 s"


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("YourAnalysis.toml", "a = ", "cannot be read"),
        ("YourAnalysis.toml", "a = 1\na = 2", "cannot be read"),
        ("YourAnalysis.yaml", "a: [1", "line 1, column"),
        ("YourAnalysis.yaml", "a: 1\na: 2", "'a' stands there twice, line 2"),
        ("YourAnalysis.yaml", "- a", "holds a list"),
        ("YourAnalysis.yaml", "7: a", "keys that are texts"),
        ("YourAnalysis.yaml", "limits: {7: a}", "'limits.7' is 7"),
        ("YourAnalysis.yaml", "a: !!python/object/apply:os.system [ls]", "cannot be read"),
    ],
)
def test_a_bad_file_is_named(configs: Path, name: str, text: str, problem: str) -> None:
    (configs / name).write_text(text)
    error = refused(configs)
    assert str(error).startswith(f"{configs / name}: ")
    assert problem in str(error)


def test_a_file_that_cannot_be_read_is_named(configs: Path) -> None:
    (configs / "YourAnalysis.json").mkdir()
    assert "YourAnalysis.json: cannot be read: Is a directory" in str(refused(configs))


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_file_that_may_not_be_read_is_named(configs: Path) -> None:  # pragma: no cover
    (configs / "YourAnalysis.json").write_text("{}")
    (configs / "YourAnalysis.json").chmod(0)
    assert "cannot be read: Permission denied" in str(refused(configs))


def test_a_file_that_is_no_text_is_named(configs: Path) -> None:
    (configs / "YourAnalysis.json").write_bytes(b'{"a": "\xff"}')
    assert "is no text in UTF-8: byte 7" in str(refused(configs))


def test_a_bad_variable_is_named() -> None:
    error = refused(None, environment={"PIPERT_YOURANALYSIS__LOG_LEVEL": "loud"})
    assert str(error).startswith("environment PIPERT_YOURANALYSIS__LOG_LEVEL: 'log_level' is 'loud'; ")


def test_a_bad_default_is_the_routines_own() -> None:
    assert refused(None, defaults={"interval": "banana"}).where == "declared"


# --- what the routine declares


def test_an_unknown_key_is_kept_with_a_warning_if_it_looks_like_a_known_one(configs: Path) -> None:
    (configs / "YourAnalysis.json").write_text('{"intervall": "1 h", "passwords": []}')
    found = load(configs)
    assert found["intervall"] == "1 h"
    assert found.warnings == (
        f"{configs / 'YourAnalysis.json'}: nothing here knows 'intervall': did you mean 'interval'?",
    )


def test_a_routine_that_declares_its_keys_has_no_others(configs: Path) -> None:
    (configs / "YourAnalysis.json").write_text('{"treshold": 50}')
    error = refused(configs, defaults={"threshold": 60})
    assert (error.key, error.nearest) == ("treshold", "threshold")
    assert error.accepted == "one of log_level, interval, threshold (no other key)"


def test_declared_defaults_hold_until_something_else_is_said(configs: Path) -> None:
    defaults = {"threshold": 60, "limits": {"cpu": 1, "mem": "1G"}}
    (configs / "YourAnalysis.json").write_text('{"limits": {"cpu": 2}}')
    found = load(configs, defaults=defaults)
    assert dict(found) == {"log_level": "INFO", "threshold": 60, "limits": {"cpu": 2, "mem": "1G"}}
    assert defaults == {"threshold": 60, "limits": {"cpu": 1, "mem": "1G"}}


@pytest.mark.parametrize(
    ("default", "value", "accepted"),
    [
        (60, "sixty", "a whole number, such as its default 60"),
        (60, 60.5, "a whole number"),
        (60, True, "a whole number"),
        (0.5, "x", "a number"),
        ("a", 1, "a text"),
        (True, 1, "true or false"),
        ([], {}, "a list"),
        ({"a": 1}, 3, "keys and values"),
        (60, None, "a whole number"),
    ],
)
def test_values_are_of_the_kind_of_their_defaults(default: Any, value: Any, accepted: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, defaults={"x": default}).changed({"x": value})
    assert caught.value.accepted.startswith(accepted)


@pytest.mark.parametrize(
    ("default", "value"), [(60, 50), (60, 60.0), (0.5, 1), (None, "anything"), ((1, 2), [3]), ({}, {"any": 1})]
)
def test_values_that_fit_are_taken(default: Any, value: Any) -> None:
    assert load(None, defaults={"x": default}).changed({"x": value})["x"] == value


def test_a_nested_key_is_checked_too() -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, defaults={"limits": {"cpu": 1}}).changed({"limits": {"cpo": 2}})
    assert (caught.value.key, caught.value.nearest) == ("limits.cpo", "cpu")
    with pytest.raises(ConfigError, match=r"'limits\.cpu' is 'two'"):
        load(None, defaults={"limits": {"cpu": 1}}).changed({"limits": {"cpu": "two"}})


class Mode(Enum):
    FAST = "fast"
    SLOW = "slow"


def declared() -> dict[str, Parameter[Any]]:
    class Camera(YourAnalysis):
        gain = Parameter(1.0, minimum=0, maximum=8)
        mode = Parameter(Mode.FAST)
        label = Parameter("a")

    return {"gain": Camera.gain, "mode": Camera.mode, "label": Camera.label}


def test_parameters_are_set_and_checked_by_what_they_are(configs: Path) -> None:
    (configs / "YourAnalysis.json").write_text('{"gain": 2, "mode": "slow"}')
    found = load(configs, parameters=declared(), environment={"PIPERT_FIRST__LABEL": "7"})
    assert found.parameters == {"gain": 2.0, "mode": Mode.SLOW, "label": "7"}
    (configs / "YourAnalysis.json").write_text('{"gain": 9}')
    error = refused(configs, parameters=declared())
    assert (error.key, error.value, error.accepted) == ("gain", 9, "is at most 8")


# --- as a mapping


def test_a_setting_that_is_not_there_says_what_may_be_meant() -> None:
    found = load(None, defaults={"threshold": 60})
    with pytest.raises(KeyError, match="no setting 'treshold': did you mean 'threshold'"):
        found["treshold"]
    assert found.get("treshold", 7) == 7
    assert "worker" not in found


def test_a_configuration_travels_to_another_process(configs: Path) -> None:
    found = layered(configs)
    arrived = pickle.loads(pickle.dumps(found))
    assert dict(arrived) == dict(found)
    assert arrived.explain() == found.explain()


def test_secrets_are_not_shown() -> None:
    found = load(None, environment={"PIPERT_YOURANALYSIS__DB__PASSWORD": "hunter2", "PIPERT_FIRST__API_KEY": "k"})
    assert found["db"]["password"] == "hunter2"
    assert "hunter2" not in str(found.explain())
    assert "'k'" not in repr(found)
    assert "hunter2" not in repr(found)


def test_a_mapping_that_replaces_a_value_and_a_value_that_replaces_a_mapping_are_explained() -> None:
    found = load(None).changed({"a": 1}, "one").changed({"a": {"b": 2}}, "two")
    (first, _) = found.explain()
    assert (first.key, first.value, first.origin) == ("a.b", 2, "two")
    found = found.changed({"a": 3}, "three")
    assert found["a"] == 3
    (first, _) = found.explain()
    assert (first.key, first.value, first.origin) == ("a", 3, "three")


def test_a_variable_for_a_class_and_a_routine_of_the_same_name_counts_once() -> None:
    found = Configuration.load(None, ["Similarity"], "similarity", environment={"PIPERT_SIMILARITY__THRESHOLD": "70"})
    (setting,) = [one for one in found.explain() if one.key == "threshold"]
    assert (setting.value, setting.hides) == (70, ())
