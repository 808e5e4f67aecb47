"""What holds for each routine before any process starts: its configuration, and the trigger that comes of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipert2.errors import ConfigError, PipeBuildError
from pipert2.graph.parameter import parameters_of
from pipert2.graph.routine import Routine
from pipert2.runtime.configuration.configuration import Configuration, misspelt_variables
from pipert2.runtime.triggers.phrases import trigger
from pipert2.runtime.triggers.schedule import Schedule
from pipert2.runtime.triggers.triggers import AtLeast, Trigger, parts_of, with_interval


@dataclass(frozen=True, slots=True)
class Configured:
    """A routine's configuration, and when it runs; no trigger: again and again."""

    configuration: Configuration
    trigger: Trigger | None


def own_trigger(routine: Routine) -> Trigger | None:
    """The trigger that a routine's class, or whoever made it, gave it.

    Raises:
        ConfigError: it is none.
    """
    if routine.trigger is None:
        return None
    return trigger(routine.trigger, where=f"{type(routine).__name__} {routine.name!r}")


def trigger_of(routine: Routine, configuration: Configuration, *, has_store: bool) -> Trigger | None:
    """When a routine runs: its own trigger, with the interval of its configuration if there is one.

    Raises:
        ConfigError: its own is no trigger, or cannot be in this pipe.
    """
    own, interval = own_trigger(routine), configuration.interval
    found = own if interval is None else with_interval(own, interval)
    if found is None:
        return None
    where = f"{type(routine).__name__} {routine.name!r}"
    try:
        Schedule(found, now=0.0)
    except ValueError as error:
        raise ConfigError(where, "trigger", str(found), f"fewer branches ({error})") from None
    if not has_store and any(isinstance(part, AtLeast) for part in parts_of(found)):
        accepted = 'with records to count: give the pipe a store, as in Pipe(store="run.db")'
        raise ConfigError(where, "trigger", str(found), accepted)
    return found


def configure_all(
    routines: Sequence[Routine], folder: Path | None, environment: Mapping[str, str], *, has_store: bool
) -> tuple[dict[str, Configured], list[ConfigError]]:
    """By name what holds for each routine that is in order, and what is wrong with the others."""
    found: dict[str, Configured] = {}
    errors: dict[str, ConfigError] = {}  # a file of a base class is wrong once, however many routines it is for
    for routine in routines:
        try:
            configuration = Configuration.load(
                folder,
                type(routine).__mro__,
                routine.name,
                environment=environment,
                defaults=_declared(routine),
                parameters=parameters_of(type(routine)),
                interval=own_trigger(routine),
            )
            found[routine.name] = Configured(configuration, trigger_of(routine, configuration, has_store=has_store))
        except ConfigError as error:
            errors.setdefault(str(error), error)
    return found, list(errors.values())


def raise_problems(problems: Sequence[str], errors: Sequence[ConfigError]) -> None:
    """Raise what was found wrong, all of it, if anything was.

    Raises:
        ConfigError: a setting is all that is wrong.
        PipeBuildError: else.
    """
    if len(errors) == 1 and not problems:
        raise errors[0]
    if errors or problems:
        raise PipeBuildError([*problems, *map(str, errors)])


def warnings_of(
    folder: Path | None,
    routines: Sequence[Routine],
    configurations: Collection[Configuration],
    environment: Mapping[str, str],
) -> list[str]:
    """What is most likely not meant, though it is allowed."""
    names = [routine.name for routine in routines] + [cls.__name__ for one in routines for cls in type(one).__mro__]
    warnings = [text for one in configurations for text in one.warnings]
    warnings += misspelt_variables(environment, names)
    if folder is not None and not folder.is_dir():
        warnings.append(f"there is no folder {str(folder)!r} with configuration files: defaults and environment hold")
    elif folder is not None:
        from pipert2.runtime.configuration.files import unused_files

        used = [file for one in configurations for file in one.files]
        warnings += unused_files(folder, used, names)
    return list(dict.fromkeys(warnings))


def _declared(routine: Routine) -> dict[str, Any] | None:
    """The settings that a routine's classes and it itself declare, with defaults; None if none does."""
    places = [vars(cls) for cls in reversed(type(routine).__mro__)] + [vars(routine)]
    own = [place["config_defaults"] for place in places if place.get("config_defaults") is not None]
    if not own:
        return None
    found: dict[str, Any] = {}
    for defaults in own:
        if not isinstance(defaults, Mapping):
            where = f"{type(routine).__name__} {routine.name!r}"
            raise ConfigError(where, "config_defaults", defaults, 'names and values, such as {"threshold": 60}')
        found.update(defaults)
    return found
