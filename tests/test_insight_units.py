"""What units do: properties of characters, and the unit that was planted to follow one."""

import io
import re

import numpy as np
import pytest
import torch

from backtime import UsageError
from backtime.insight.units.following import Unit, Units, correlations, look, properties
from backtime.insight.units.shown import page, shown
from backtime.models import LanguageConfig, LanguageModel

TEXT = 'f("a (b", x)\n  g[1]\n'


def test_properties_of_a_text_are_those_a_reader_sees() -> None:
    found = properties(list(TEXT))
    inside = "".join("q" if v else "." for v in found["inside quotes"])
    assert inside == "..qqqqq" + "." * (
        len(TEXT) - 7
    )  # with the mark that opens, without the one that closes
    assert found["position in line"].tolist() == [*range(13), *range(7)]
    assert found["indentation"].tolist() == [0.0] * 13 + [1.0] + [2.0] * 6
    assert found["inside brackets"][1] == 1 and found["inside brackets"][-1] == 1


def test_correlation_is_numpys() -> None:
    values = np.random.default_rng(0).normal(size=(50, 3))
    wanted = np.random.default_rng(1).normal(size=50)
    right = [np.corrcoef(values[:, n], wanted)[0, 1] for n in range(3)]
    np.testing.assert_allclose(correlations(values, wanted), right, atol=1e-12)
    assert correlations(np.ones((5, 1)), wanted[:5])[0] == 0


class Letters:
    """A vocabulary of the characters of a text."""

    def __init__(self, text: str) -> None:
        self.symbols = sorted(set(text))

    def decode(self, tokens: list[int]) -> str:
        return "".join(self.symbols[n] for n in tokens)

    def encode(self, text: str) -> torch.Tensor:
        return torch.tensor([self.symbols.index(c) for c in text])


@pytest.fixture
def letters() -> Letters:
    return Letters(TEXT)


def planted(letters: Letters) -> LanguageModel:
    """Unit 5 turns round at each quotation mark: h' = -h there, h elsewhere, nearly."""
    torch.manual_seed(0)
    model = LanguageModel(LanguageConfig("lstm", 8, 1, len(letters.symbols)))
    with torch.no_grad():
        for p in model.rnn.parameters():
            p.mul_(0.01)
        Wx, b, H, mark = model.rnn.weight_ih_l0, model.rnn.bias_ih_l0, 8, letters.symbols.index('"')
        b[5], b[H + 5], b[3 * H + 5] = -9.0, 9.0, 9.0  # shut, keeps, shows
        Wx[5, mark], Wx[2 * H + 5, mark] = 18.0, 3.0  # a mark opens the input gate and writes 1
        model.rnn.weight_hh_l0[2 * H + 5, 5] = -9.0  # or -1, where 1 stood
    return model


def test_the_unit_that_was_planted_is_found(letters: Letters) -> None:
    found = look(planted(letters), letters, letters.encode(TEXT), count=3)
    assert found.units[0].number == 5 and found.units[0].follows == "inside quotes"
    assert found.units[0].correlation > 0.9
    assert len(found.following) == len(TEXT) and len(found.following[0]) == 3


def test_units_are_shown(letters: Letters) -> None:
    from rich.console import Console

    found = look(planted(letters), letters, letters.encode(TEXT), part="f")
    console = Console(record=True, width=80, file=io.StringIO())
    console.print(shown(found))
    assert "inside quotes" in console.export_text() or "position" in console.export_text()
    text = page("model", found)
    assert text.count("<span") == len(TEXT) * 8 and "next: " in text


def test_a_part_that_is_not_there_is_said(letters: Letters) -> None:
    with pytest.raises(UsageError, match="part is 'r'; expected one of h, c, i, f, g, o"):
        look(planted(letters), letters, letters.encode(TEXT), part="r")
    with pytest.raises(UsageError, match="layer is 3"):
        look(planted(letters), letters, letters.encode(TEXT), layer=3)


def test_the_names_of_steps_have_a_space_between_them_and_symbols_of_a_text_have_not() -> None:
    values = np.array([0.5, -0.5, 0.1])
    numbers = Units("h", None, ["100", "200", "300\n"], [Unit(0, "x", 1.0, values)])
    text = Units("h", 0, ["if ", "not ", "x\n"], numbers.units, [[("a", 0.5)]] * 3)
    plain = [re.sub("<[^>]*>", "", page("m", own)) for own in (numbers, text)]
    assert "100 200 300\n" in plain[0] and "if not x\n" in plain[1]
