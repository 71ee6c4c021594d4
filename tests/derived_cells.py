"""The cells whose paths are derived, with their options."""

from typing import Any

import pytest

CELLS: list[tuple[str, dict[str, Any]]] = [
    ("rnn", {}),
    ("rnn", {"activation": "relu"}),
    ("rnn", {"activation": "sigmoid"}),
    ("rnn", {"activation": "identity"}),
    ("gru", {}),
    ("gru", {"reset_after": False}),
    ("lstm", {}),
]
cells = pytest.mark.parametrize(("cell", "options"), CELLS, ids=lambda value: str(value))
