"""C99: one file and its header. Weights are constants; a step allocates nothing and needs libm alone.

    NAME_init(&state);  NAME_step(&state, symbol or x, output);

With ``int8`` each row of a weight matrix is whole numbers -127 to 127 times one float: a quarter of the size.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from backtime.errors import UsageError
from backtime.export.c_cells import CELLS, COLUMN_OF, COMMON, ROW_OF
from backtime.export.c_check import Source, check
from backtime.export.c_int8 import cost, quantised, rounded
from backtime.export.chain import Chain, chain_of, forward_only
from backtime.export.made import Made
from backtime.export.trials import Trial
from backtime.models.file import ModelFile
from backtime.reference.weights import Array, Weights


def make(model: ModelFile, out: Path, trials: Sequence[Trial], int8: bool = False) -> Made:
    """Make both files, compile and run them where there is a compiler."""
    if out.suffix != ".c":
        raise UsageError(f"--out {out}: expected a name that ends in .c")
    name = _identifier(out.stem)
    chain = chain_of(quantised(model) if int8 else model, "c")
    source = generate(chain, name, int8)
    lines = check(chain, source, name, trials)
    lines.append(f"{source.constants:,} bytes of constants, {source.state:,} bytes of state")
    lines += cost(chain_of(model, "c"), chain, trials) if int8 else []
    files = {out: source.code.encode(), out.with_name(f"{name}.h"): source.header.encode()}
    return Made(files, lines)


def generate(chain: Chain, name: str, int8: bool = False) -> Source:
    """The text of both files."""
    forward_only(chain, "c")
    H, L, cell = chain.config.hidden_size, chain.config.layers, chain.config.cell
    arrays = _arrays(chain)
    parts = [_array(key, value, int8 and value.ndim == 2) for key, value in arrays.items()]
    states = ("h", "c") if cell == "lstm" else ("h",)
    constants = sum(_size(value, int8 and value.ndim == 2) for value in arrays.values())
    step = f"void {name}_step({name}_state *state, {_input(chain)}, float *output)"
    header = HEADER.format(
        NAME=name.upper(), name=name, inputs=chain.inputs, outputs=len(chain.by), step=step,
        fields="\n".join(f"    float {part}[{L}][{H}];" for part in states),
    )  # fmt: skip
    weight = "signed char" if int8 else "float"
    scaled = "#define SCALED\n" if int8 else ""
    rows = len(chain.layers[0][0].Wh)
    defines = {"HIDDEN": H, "ROWS": rows, "WIDEST": max(H, chain.width)}
    code = [
        f'#include "{name}.h"\n\n#include <math.h>\n#include <string.h>\n',
        "\n".join(f"#define {key} {value}" for key, value in defines.items())
        + f"\n{scaled}typedef {weight} weight;\n",
        *parts,
        _shared(chain).replace("@SCALED", " * scale[row]" if int8 else ""),
        f"void {name}_init({name}_state *state) {{ memset(state, 0, sizeof *state); }}\n",
        f"{step}\n{{\n{_body(chain)}}}\n",
    ]
    return Source(header, "\n".join(code), constants, 4 * L * H * len(states))


HEADER = """\
/* A recurrent network: {name}_init once, then {name}_step for each step. Written by backtime. */
#ifndef {NAME}_H
#define {NAME}_H

#define {NAME}_INPUTS {inputs}
#define {NAME}_OUTPUTS {outputs}

typedef struct {{
{fields}
}} {name}_state;

void {name}_init({name}_state *state);

/* output has {outputs} numbers */
{step};

#endif
"""


def _arrays(chain: Chain) -> dict[str, Array]:
    """The constants by name."""
    found: dict[str, Array] = {} if chain.embedding is None else {"embedding": chain.embedding}
    for n, (own,) in enumerate(chain.layers):
        found |= {
            f"Wx{n}": own.Wx,
            f"Wh{n}": own.Wh,
            f"bx{n}": _bias(own, own.bx),
            f"bh{n}": _bias(own, own.bh),
        }
    return found | {"Wy": chain.Wy, "by": chain.by}


def _bias(own: Weights, bias: Array | None) -> Array:
    return np.zeros(len(own.Wx), own.Wx.dtype) if bias is None else bias


def _array(name: str, value: Array, int8: bool) -> str:
    if not int8:
        return (
            f"static const float {name}[] = {{\n{_wrapped([f'{float(v):.8e}f' for v in value.ravel()])}}};\n"
        )
    whole, scale = rounded(value)
    return (
        f"static const weight {name}[] = {{\n{_wrapped([str(v) for v in whole.ravel().tolist()])}}};\n"
        f"{_array(f'{name}_scale', scale, False)}"
    )


def _size(value: Array, int8: bool) -> int:
    return value.size + 4 * len(value) if int8 else 4 * value.size


def _wrapped(words: list[str]) -> str:
    return "".join(f"    {', '.join(words[n : n + 8])},\n" for n in range(0, len(words), 8))


def _cell(chain: Chain) -> str:
    if chain.config.cell == "rnn":
        return f"rnn {chain.config.activation}"
    return "gru before" if chain.config.cell == "gru" and not chain.config.reset_after else chain.config.cell


def _shared(chain: Chain) -> str:
    """Products and the cell; what is not called is not there, for a strict compiler objects to it."""
    pick = "" if not chain.symbols else COLUMN_OF if chain.embedding is None else ROW_OF
    return COMMON + pick + CELLS[_cell(chain)]


def _input(chain: Chain) -> str:
    return "int symbol" if chain.symbols else "const float *x"


def _body(chain: Chain) -> str:
    """The statements of a step; the cells and ``linear`` stand in ``c_cells``."""
    lines, source, width = [], "x", chain.width
    if chain.embedding is not None:
        lines += ["    float x[WIDEST];", f"    row_of(MATRIX(embedding), symbol, {width}, x);"]
    for n in range(chain.config.layers):
        c = f", state->c[{n}]" if chain.config.cell == "lstm" else ""
        if n == 0 and chain.symbols and chain.embedding is None:
            inside = f"column_of(MATRIX(Wx0), symbol, {width}, zx);"
        else:
            inside = f"linear(MATRIX(Wx{n}), 0, {source}, ROWS, {width}, zx);"
        lines += [
            f"    {{ float zx[ROWS]; {inside} cell(zx, MATRIX(Wh{n}), bx{n}, bh{n}, state->h[{n}]{c}); }}"
        ]
        source, width = f"state->h[{n}]", chain.config.hidden_size
    lines.append(f"    linear(MATRIX(Wy), by, {source}, {len(chain.by)}, {width}, output);")
    return "\n".join(lines) + "\n"


def _identifier(stem: str) -> str:
    name = "".join(c if c.isascii() and c.isalnum() else "_" for c in stem)
    return name if name[:1].isalpha() else f"model_{name}"
