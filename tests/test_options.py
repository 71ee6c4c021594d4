"""The options of the cells: numeric differentiation of each, and what they must come to in plain cases."""

import math
from typing import Any

import numpy as np
import pytest

from agreement import (
    assert_chunks_are_the_whole,
    assert_close,
    check_layer,
)
from backtime import kernels
from backtime.reference import norm
from backtime.reference.weights import Array
from cases import OPTION_CASES, STATE, Case, dot, make, pack, train_step
from numeric import check_gradients

REVERSES = [False, True]
OPTIONED = pytest.mark.parametrize("name", OPTION_CASES)


def build(name: str, *sizes: int, **more: Any) -> tuple[str, Case, dict[str, Any]]:
    option = OPTION_CASES[name]
    return option.cell, *option.build(*sizes, **more)


@OPTIONED
@pytest.mark.parametrize("reverse", REVERSES)
@pytest.mark.parametrize("one_hot", [False, True])
def test_gradient_is_the_numeric_one(name: str, one_hot: bool, reverse: bool) -> None:
    cell, case, options = build(name, 4, 2, 2, 3, one_hot=one_hot)
    check_layer(cell, case, "reference", reverse=reverse, **options)


@OPTIONED
@pytest.mark.parametrize("reverse", REVERSES)
def test_gradient_of_packed_rows_is_the_numeric_one(name: str, reverse: bool) -> None:
    cell, case, options = build(name, 4, 4, 2, 3)
    packed, own = pack(case, options, [2, 0, 4, 2])
    check_layer(cell, packed, "reference", reverse=reverse, **own)


@OPTIONED
def test_chunks_are_the_whole(name: str) -> None:
    cell, case, options = build(name, 7, 3, 4, 5)
    assert_chunks_are_the_whole(cell, case, **options)
