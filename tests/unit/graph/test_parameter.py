"""Parameters: what they take, what they refuse and how they say it, and whose they are."""

from __future__ import annotations

import math
import pickle
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from typing import Any

import cloudpickle
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipert2 import MiddleRoutine, ParameterError, SourceRoutine
from pipert2.graph.parameter import Parameter, parameters_of, plain_value


class Mode(Enum):
    FAST = "fast"
    EXACT = "exact"


class Crossed(Enum):
    """Names and values that are each other's."""

    LEFT = "RIGHT"
    RIGHT = "LEFT"


class Size(IntEnum):
    SMALL = 1
    LARGE = 2


class Place(Enum):
    HERE = (0, 0)
    THERE = (1, 1)


class Brighten(MiddleRoutine):
    gain = Parameter(1.0, minimum=0.0, maximum=8.0, unit="dB", help="Factor for each pixel.")
    steps = Parameter(3, minimum=1, maximum=10)
    on = Parameter(True)
    title = Parameter("none")
    mode = Parameter(Mode.FAST)
    colours = Parameter("grey", choices=["grey", "rgb"])

    def main_logic(self, data: Any) -> Any:
        return data


@pytest.fixture
def brighten() -> Brighten:
    return Brighten("brighten")


def taken(parameter: Parameter[Any], value: Any) -> Any:
    return parameter.check("routine", value)


def refused(parameter: Parameter[Any], value: Any) -> str:
    with pytest.raises(ParameterError) as error:
        parameter.check("routine", value)
    return str(error.value)


# ------------------------------------------------------------------------------------------------ values and types


def test_a_parameter_has_its_default_until_another_value_is_set(brighten: Brighten) -> None:
    assert (brighten.gain, brighten.mode) == (1.0, Mode.FAST)
    brighten.gain = 2.5
    assert brighten.gain == 2.5


def test_each_object_has_values_of_its_own(brighten: Brighten) -> None:
    brighten.gain = 4.0
    assert Brighten("other").gain == 1.0


def test_a_class_shows_the_declaration() -> None:
    assert isinstance(Brighten.gain, Parameter)
    assert (Brighten.gain.name, Brighten.gain.unit, Brighten.gain.type) == ("gain", "dB", float)


@pytest.mark.parametrize(
    ("parameter", "value", "kept"),
    [
        (Parameter(1.0), 2, 2.0),
        (Parameter(1.0), np.float32(0.5), 0.5),
        (Parameter(1.0), np.int64(7), 7.0),
        (Parameter(1.0), np.array(7), 7.0),
        (Parameter(1.0), 1e308, 1e308),
        (Parameter(1), 2.0, 2),
        (Parameter(1), np.int8(-3), -3),
        (Parameter(1), np.float64(4.0), 4),
        (Parameter(1), 2**70, 2**70),
        (Parameter(True), np.bool_(False), False),
        (Parameter("a"), np.str_("text"), "text"),
        (Parameter("a"), "", ""),
        (Parameter(Mode.FAST), Mode.EXACT, Mode.EXACT),
        (Parameter(Mode.FAST), "EXACT", Mode.EXACT),
        (Parameter(Mode.FAST), "exact", Mode.EXACT),
        (Parameter(Size.SMALL), 2, Size.LARGE),
        (Parameter(Place.HERE), "THERE", Place.THERE),
        (Parameter(Crossed.LEFT), Crossed.RIGHT, Crossed.RIGHT),
    ],
)
def test_a_fitting_value_is_kept_as_the_parameters_type(parameter: Parameter[Any], value: Any, kept: Any) -> None:
    found = taken(parameter, value)
    assert found == kept
    assert type(found) is type(kept)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        *((Parameter(1.0), value) for value in (math.nan, math.inf, -math.inf, np.float32("nan"), np.float64("inf"))),
        *((Parameter(1.0), value) for value in ("1.0", None, True, 1j, [1.0], 10**400, -(10**400))),
        *((Parameter(1.0), value) for value in (Decimal("1.5"), Fraction(1, 2), np.array([1.0, 2.0]), b"1")),
        *((Parameter(1), value) for value in (1.5, math.nan, math.inf, "1", None, True, False, np.bool_(True))),
        *((Parameter(1), value) for value in (np.float32(1.5), np.datetime64("2020"), np.array([1]))),
        *((Parameter(True), value) for value in (0, 1, "true", None, np.int8(1), 1.0)),
        *((Parameter("a"), value) for value in (1, None, b"a", ["a"], np.array(["a", "b"]))),
        *((Parameter(Mode.FAST), value) for value in ("fst", None, 1, Size.SMALL, np.array([1, 2]), ["fast"], {})),
        *((Parameter(Size.SMALL), value) for value in (3, True, 1.5, None, np.array([1, 2]))),
        *((Parameter(Place.HERE), value) for value in ("here", 0, [0, 0])),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_value_of_another_kind_is_refused(parameter: Parameter[Any], value: Any) -> None:
    assert "takes" in refused(parameter, value)


@settings(deadline=None)
@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_number_is_a_float(value: float) -> None:
    assert taken(Parameter(1.0), value) == value


@settings(deadline=None)
@given(
    value=st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(),
        st.binary(),
        st.lists(st.integers()),
        st.complex_numbers(),
    )
)
@pytest.mark.parametrize("default", [1.0, 1, True, "a", Mode.FAST, Size.SMALL], ids=repr)
def test_any_value_at_all_is_taken_as_the_type_or_a_parameter_error(default: Any, value: Any) -> None:
    try:
        found = taken(Parameter(default), value)
    except ParameterError:
        return
    assert type(found) is type(default)
    assert found == found


@pytest.mark.parametrize("member", [*Mode, *Crossed, *Size, *Place])
def test_every_member_of_an_enumeration_survives_the_way_through_json(member: Enum) -> None:
    assert taken(Parameter(member), plain_value(member)) is member


# ------------------------------------------------------------------------------------------------ limits


@pytest.mark.parametrize("value", [0.0, 8.0, 0, 8])
def test_limits_themselves_are_allowed(value: float) -> None:
    assert taken(Brighten.gain, value) == value


@pytest.mark.parametrize("value", [-1e-12, -1, 8.0001, 1e300])
def test_a_value_beyond_a_limit_is_refused(value: float) -> None:
    refused(Brighten.gain, value)


def test_the_error_names_routine_parameter_limit_unit_and_value() -> None:
    assert refused(Brighten.gain, 9) == "parameter 'gain' of 'routine' is at most 8 dB, not 9"
    assert refused(Brighten.gain, -0.5) == "parameter 'gain' of 'routine' is at least 0 dB, not -0.5"


def test_the_error_names_the_choices() -> None:
    assert refused(Brighten.colours, "blue").endswith("takes one of 'grey', 'rgb', not 'blue'")
    assert refused(Brighten.mode, "slow").endswith("takes one of 'fast', 'exact', not 'slow'")


def test_the_error_shows_a_large_limit_in_full() -> None:
    assert "at least 123456789" in refused(Parameter(123456789, minimum=123456789), 123456788)


def test_a_very_long_value_is_cut_in_the_error() -> None:
    assert len(refused(Parameter(1), "x" * 100_000)) < 400


def test_a_refused_value_changes_nothing(brighten: Brighten) -> None:
    brighten.gain = 3.0
    with pytest.raises(ParameterError):
        brighten.gain = 9.0
    assert brighten.gain == 3.0


def test_the_error_is_a_value_error_and_can_be_pickled() -> None:
    with pytest.raises(ValueError, match="at most") as error:
        taken(Brighten.steps, 11)
    again = pickle.loads(pickle.dumps(error.value))
    assert (str(again), again.parameter, again.value) == (str(error.value), "steps", 11)


# ------------------------------------------------------------------------------------------------ declarations


@pytest.mark.parametrize(
    "declare",
    [
        lambda: Parameter(None),
        lambda: Parameter([1]),
        lambda: Parameter(1j),
        lambda: Parameter(b"bytes"),
        lambda: Parameter("a", minimum=0),
        lambda: Parameter(True, maximum=1),
        lambda: Parameter(Mode.FAST, minimum=0),
        lambda: Parameter(1, type=dict),  # type: ignore[arg-type]
    ],
)
def test_a_type_that_cannot_be_a_parameter_is_a_type_error(declare: Any) -> None:
    with pytest.raises(TypeError, match="Parameter"):
        declare()


@pytest.mark.parametrize(
    "declare",
    [
        lambda: Parameter(1, minimum=3, maximum=2),
        lambda: Parameter(5, maximum=2),
        lambda: Parameter("c", choices=["a", "b"]),
        lambda: Parameter("a", choices=[]),
        lambda: Parameter(1, minimum=0, maximum=3, choices=[1, 9]),
        lambda: Parameter(1.0, minimum=math.nan),
        lambda: Parameter(math.nan),
        lambda: Parameter("a", type=int),  # type: ignore[arg-type]
    ],
)
def test_a_declaration_that_contradicts_itself_is_a_value_error(declare: Any) -> None:
    with pytest.raises(ValueError):  # a ParameterError is one
        declare()


def test_an_int_default_with_type_float_is_a_float() -> None:
    parameter: Parameter[float] = Parameter(1, type=float)
    assert (type(parameter.default), taken(parameter, 2.5)) == (float, 2.5)


def test_choices_of_an_enumeration_may_be_some_of_its_members() -> None:
    parameter = Parameter(Mode.FAST, choices=[Mode.FAST])
    assert "'fast'" in refused(parameter, Mode.EXACT)


# ------------------------------------------------------------------------------------------------ classes


def test_parameters_are_inherited_and_those_of_the_base_come_first() -> None:
    class More(Brighten):
        extra = Parameter(0)

    assert list(parameters_of(More)) == [*parameters_of(Brighten), "extra"]


def test_a_subclass_may_declare_a_parameter_anew(brighten: Brighten) -> None:
    class Wider(Brighten):
        gain = Parameter(20.0, maximum=100.0)

    assert Wider("wider").gain == 20.0
    assert brighten.gain == 1.0
    assert parameters_of(Wider)["gain"].maximum == 100.0


def test_a_subclass_may_make_a_plain_value_of_it() -> None:
    class Fixed(Brighten):
        gain = 2.0  # type: ignore[assignment]

    assert "gain" not in parameters_of(Fixed)
    assert Fixed("fixed").gain == 2.0


def test_a_parameter_may_come_from_a_mixin() -> None:
    class Named:
        label = Parameter("x")

    class Both(Named, SourceRoutine):
        own = Parameter(1)

        def main_logic(self) -> None: ...

    both = Both()
    both.label = "y"  # type: ignore[assignment]
    assert (set(parameters_of(Both)), both.label) == ({"label", "own"}, "y")


def test_a_parameter_can_be_set_in_init_without_calling_the_base_class() -> None:
    class Careless(SourceRoutine):
        gain = Parameter(1.0, maximum=8.0)

        def __init__(self, gain: float) -> None:
            self.gain = gain

        def main_logic(self) -> None: ...

    assert Careless(3.0).gain == 3.0
    with pytest.raises(ParameterError, match="at most 8"):
        Careless(9.0)


def test_values_travel_with_a_pickled_routine(brighten: Brighten) -> None:
    brighten.gain, brighten.mode = 5.0, Mode.EXACT
    again = pickle.loads(pickle.dumps(brighten))
    assert (again.gain, again.mode, again.steps) == (5.0, Mode.EXACT, 3)


def test_a_class_of_the_users_script_travels_with_its_parameters() -> None:
    class Kind(Enum):
        A = "a"
        B = "b"

    class Local(SourceRoutine):
        kind_of_it = Parameter(Kind.A)
        gain = Parameter(1.0, maximum=8.0)

        def main_logic(self) -> None: ...

    local = Local()
    local.gain = 2.0
    again = pickle.loads(cloudpickle.dumps(local))
    again.kind_of_it = "b"
    assert (again.gain, again.kind_of_it.name) == (2.0, "B")
    with pytest.raises(ParameterError):
        again.gain = 9
