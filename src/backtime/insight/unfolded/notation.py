"""Names of quantities and steps, as text and as LaTeX: ``dS_{t+1}/dS_t``."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from backtime.errors import UsageError
from backtime.insight.unfolded.graph import WEIGHTS, Node

LETTERS = ("E", "y", "x", "h", "c", "i", "f", "g", "o", "r", "z", "n", "Wx", "Wh", "bx", "bh", "b")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,15}")
SYMBOLIC = re.compile(r"([A-Za-z])(?:([+-])(\d{1,6}))?")


@dataclass(frozen=True)
class Notation:
    """How to write the nodes of ``layers`` layers.

    ``last`` is the name of step ``at``, the loss's: a number, or a letter with an offset (``t+1``), from
    which the other steps are counted. ``states`` are the names of h in each layer, from the bottom up;
    ``letters`` other names for other quantities.
    """

    layers: int
    at: int
    last: str = "t+1"
    states: Sequence[str] = ()
    letters: Mapping[str, str] = field(default_factory=dict)

    def step(self, step: int) -> str:
        """The name of a step: ``t-1``, or its number."""
        found = SYMBOLIC.fullmatch(self.last)
        if not found:
            return str(step)
        letter, sign, offset = found.groups()
        k = step - self.at + int(f"{sign}{offset}" if sign else 0)
        return f"{letter}{k:+d}" if k else letter

    def state(self, layer: int) -> str:
        """The name of h of a layer, as text."""
        return self.states[layer - 1] if self.states else self._numbered("h", layer)

    def text(self, node: Node) -> str:
        """A node as text: ``S_{t+1}``, ``c2_t``, ``Wx``."""
        if node.letter in WEIGHTS:
            return self._letter(node.letter)
        step = self.step(node.step)
        return f"{self._name(node)}_{step if len(step) == 1 else f'{{{step}}}'}"

    def latex(self, node: Node) -> str:
        """A node as LaTeX: ``S_{t+1}``, ``c^{(2)}_{t}``, ``W_x``."""
        if node.letter in WEIGHTS:
            name = self._letter(node.letter)
            return f"{name[0]}_{{{name[1]}}}" if name == node.letter else _one_word(name)
        return f"{self._latex_name(node)}_{{{self.step(node.step)}}}"

    def factor(self, node: Node, source: Node) -> str:
        """A partial derivative as text."""
        return f"d{self.text(node)}/d{self.text(source)}"

    def latex_factor(self, node: Node, source: Node) -> str:
        r"""A partial derivative as LaTeX: ``\frac{\partial S_{t+1}}{\partial S_{t}}``."""
        return rf"\frac{{\partial {self.latex(node)}}}{{\partial {self.latex(source)}}}"

    def _letter(self, letter: str) -> str:
        return self.letters.get(letter, letter)

    def _numbered(self, letter: str, layer: int) -> str:
        name = self._letter(letter)
        return f"{name}{layer}" if self.layers > 1 and layer else name

    def _name(self, node: Node) -> str:
        return self.state(node.layer) if node.letter == "h" else self._numbered(node.letter, node.layer)

    def _latex_name(self, node: Node) -> str:
        own = self.states[node.layer - 1] if node.letter == "h" and self.states else None
        name = own or self._letter(node.letter)
        written = _one_word(name)
        return written if own or self.layers == 1 or not node.layer else f"{written}^{{({node.layer})}}"


def _one_word(name: str) -> str:
    return name if len(name) == 1 else rf"\mathit{{{name}}}"


def parse_names(names: str | Sequence[str], layers: int) -> tuple[list[str], dict[str, str]]:
    """``S,Z,y=o``: the names of h from the bottom up, and other letters for other quantities."""
    given = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    states, letters = [], {}
    for name in filter(None, given):
        letter, equals, other = name.partition("=")
        if not NAME.fullmatch(other if equals else letter):
            raise UsageError(f"names has {name!r}; expected letters and digits, a letter first")
        if equals and letter not in LETTERS:
            raise UsageError(f"names has {name!r}; expected one of {', '.join(LETTERS)} before the =")
        if equals:
            letters[letter] = other
        else:
            states.append(name)
    if states and len(states) != layers:
        raise UsageError(f"names has {len(states)} names of states; expected {layers}, one for each layer")
    return states, letters
