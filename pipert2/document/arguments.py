"""A constructor's arguments as a document has them: plain values, checked against its signature and type hints."""

from __future__ import annotations

import inspect
import json
import math
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError

from pipert2.errors import nearest

_CONFIG = ConfigDict(strict=True)


@dataclass(frozen=True, slots=True)
class Mistake:
    """An option that does not fit; *path* leads to it, empty if it is missing. *is_key*: the key itself is wrong."""

    path: tuple[str | int, ...]
    message: str
    is_key: bool = False


class Constructor:
    """How the instances of a class are made.

    Args:
        cls: the class.
        own: arguments that do not come from the options.
    """

    def __init__(self, cls: type, own: tuple[str, ...] = ()) -> None:
        self.cls = cls
        self._own = own
        init: Any = cls.__init__  # type: ignore[misc]
        self._parameters: dict[str, inspect.Parameter] = {}
        if init is not object.__init__:
            try:
                self._parameters = dict(list(inspect.signature(init).parameters.items())[1:])
            except (TypeError, ValueError):
                self._parameters = {"options": inspect.Parameter("options", inspect.Parameter.VAR_KEYWORD)}
        try:
            self._hints = typing.get_type_hints(init)
        except Exception:  # a name that only type checkers know: nothing to judge by
            self._hints = {}

    def takes(self, name: str) -> bool:
        """Whether there is an argument of this name."""
        parameter = self._parameters.get(name)
        return parameter is not None and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)

    def read(self, options: Mapping[str, Any]) -> tuple[dict[str, Any], list[Mistake]]:
        """The keyword arguments that a document's *options* stand for, and what does not fit."""
        found: dict[str, Any] = {}
        mistakes: list[Mistake] = []
        meant: set[str | None] = set()
        known = [name for name in self._parameters if self.takes(name) and name not in self._own]
        open_ended = any(item.kind is item.VAR_KEYWORD for item in self._parameters.values())
        for name, value in options.items():
            if name in self._own:
                mistakes.append(Mistake((name,), f"write {name!r} beside options, not among them", True))
            elif name not in known and not open_ended:
                close = nearest(name, known)
                meant.add(close)
                hint = (
                    f"did you mean {close!r}?" if close else "known are " + ", ".join(known) if known else "it has none"
                )
                mistakes.append(Mistake((name,), f"{self.cls.__name__} has no option {name!r}: {hint}", True))
            else:
                try:
                    found[name] = _fitted(self._hints.get(name, Any), value)
                except _UnfitError as error:
                    wanted = inspect.formatannotation(self._hints[name])
                    text = f"option {name!r} of {self.cls.__name__} takes {wanted}, not {_brief(error.value)}"
                    mistakes.append(Mistake((name, *error.path), text))
        for name, parameter in self._parameters.items():
            if name in self._own or parameter.default is not parameter.empty or name in (*options, *meant):
                continue
            if self.takes(name):
                mistakes.append(Mistake((), f"{self.cls.__name__} needs the option {name!r}"))
            elif parameter.kind is parameter.POSITIONAL_ONLY:
                mistakes.append(
                    Mistake((), f"{self.cls.__name__} takes {name!r} by position only, which no document can")
                )
        return found, mistakes

    def write(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """The options that a document needs for a call with these arguments, and what cannot be written."""
        signature = inspect.Signature(list(self._parameters.values()))
        options: dict[str, Any] = {}
        problems: list[str] = []
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            parameter = self._parameters[name]
            if parameter.kind is parameter.VAR_KEYWORD:
                options.update({key: item for key, item in value.items() if key not in self._own})
            elif not self.takes(name):
                problems.append(f"its argument {name!r} can be given by position only, which no document can")
            elif name not in self._own:
                options[name] = value
        written: dict[str, Any] = {}
        for name, value in options.items():
            try:
                written[name] = _written(self._hints.get(name, Any), value)
            except _UnfitError as error:
                problems.append(f"its option {name!r} {_place_in(error.path)}is {_brief(error.value)}, {error.reason}")
        return written, problems


class _UnfitError(Exception):
    def __init__(self, value: Any, path: tuple[str | int, ...], reason: str = "") -> None:
        self.value = value
        self.path = path
        self.reason = reason


def _adapter(hint: Any) -> TypeAdapter[Any] | None:
    """What knows a hint's values, None for those that only the user's code can judge."""
    if hint is Any or hint is inspect.Parameter.empty:
        return None
    try:
        return TypeAdapter(hint, config=_CONFIG)
    except PydanticUserError:
        pass  # a class that brings its own configuration
    except (PydanticSchemaGenerationError, TypeError, NameError, AttributeError):
        return None
    try:
        return TypeAdapter(hint)
    except Exception:
        return None


def _fitted(hint: Any, value: Any) -> Any:
    """A document's *value* as the hint wants it: a list becomes a tuple, a text a path, where it says so."""
    adapter = _adapter(hint)
    if adapter is None:
        return value
    try:
        fitted = adapter.validate_json(json.dumps(value))
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        if detail["type"] in ("json_invalid", "is_instance_of", "is_subclass_of"):
            return value
        raise _UnfitError(value, ()) from None
    except Exception:  # of the user's own validators
        return value
    return value if isinstance(fitted, Iterator) else fitted


def _written(hint: Any, value: Any) -> Any:
    """The plain value that stands for *value*, from which :func:`_fitted` makes it again."""
    adapter = _adapter(hint)
    if adapter is not None:
        try:
            again = _fitted(hint, _plain(adapter.dump_python(value, mode="json", warnings=False), ()))
            if _same(again, value):
                return _plain(adapter.dump_python(again, mode="json", warnings=False), ())
        except Exception:
            pass  # then it has to be plain as it is
    return _plain(value, ())


def plain(value: Any) -> Any:
    """*value*, if it is one that a document can hold.

    Raises:
        TypeError: it is not; says what and why.
    """
    try:
        return _plain(value, ())
    except _UnfitError as error:
        raise TypeError(f"{_place_in(error.path)}is {_brief(error.value)}, {error.reason}") from None


def _same(one: Any, other: Any) -> bool:
    alike = type(one) is type(other) or {type(one), type(other)} == {int, float}
    return alike and bool(one == other)


def _plain(value: Any, path: tuple[str | int, ...]) -> Any:
    if value is None or type(value) in (bool, int, str):
        if isinstance(value, str):
            try:
                value.encode("utf-8")
            except UnicodeEncodeError:
                raise _UnfitError(value, path, "which is no text that can be written") from None
        return value
    if type(value) is float:
        if math.isnan(value):
            raise _UnfitError(value, path, "which is no value that can be compared")
        return value
    if type(value) is list:
        return [_plain(item, (*path, number)) for number, item in enumerate(value)]
    if type(value) is dict:
        for key in value:
            if type(key) is not str:
                raise _UnfitError(key, path, "and the keys of a document are texts")
        return {key: _plain(item, (*path, key)) for key, item in value.items()}
    advice = ": give it a type hint, or pass a list" if isinstance(value, tuple) else ""
    raise _UnfitError(value, path, f"which is no plain value{advice}")


def _place_in(path: tuple[str | int, ...]) -> str:
    return "".join(f"[{step!r}]" for step in path) + " " if path else ""


def _brief(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."
