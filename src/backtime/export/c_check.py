"""The C file beside the engine: compiled as strictly as can be, run step by step on sequences."""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtime.errors import UsageError
from backtime.export.chain import Chain
from backtime.export.trials import Trial, found
from backtime.interchange.agreement import agreement
from backtime.reference.weights import Array

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")
MAIN = """\
#include "{name}.h"
#include <stdio.h>
int main(void)
{{
    {name}_state state;
    float output[{NAME}_OUTPUTS];
    {declare}
    int n;
    {name}_init(&state);
    while ({read}) {{
        {name}_step(&state, {given}, output);
        for (n = 0; n < {NAME}_OUTPUTS; n++) printf("%.9g ", (double)output[n]);
        printf("\\n");
    }}
    return 0;
}}
"""
SYMBOL = {"declare": "int symbol;", "read": 'scanf("%d", &symbol) == 1', "given": "symbol"}


class Source(NamedTuple):
    """The two files, and how many bytes of constants and of state there are."""

    header: str
    code: str
    constants: int
    state: int


def check(chain: Chain, source: Source, name: str, trials: Sequence[Trial]) -> list[str]:
    """Lines about what was found; raises ``UsageError`` where the compiler or the numbers object."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return ["not tried: there is no C compiler here (cc)"]
    lines = []
    with tempfile.TemporaryDirectory(prefix="backtime-") as folder:
        program = _compiled(chain, source, name, compiler, Path(folder))
        code = _code_size(compiler, Path(folder), name)
        for trial in trials:
            pairs = [(expected(chain, x), _outputs(program, x)) for x in trial.plain()]
            worst, largest = agreement(pairs, f"{trial.told} the C file and the engine")
            lines.append(f"compiled and run {found(trial.told, worst, largest)}")
    return [*lines, *([f"{code:,} bytes of code (-Os)"] if code else [])]


def expected(chain: Chain, x: NDArray[np.generic]) -> Array:
    """The outputs (T, O) after each step, by the engine: of a network that answers at its end too."""
    return replace(chain, every=True).run(x)


def _compiled(chain: Chain, source: Source, name: str, compiler: str, folder: Path) -> Path:
    """A program that reads steps and prints what the file makes of them."""
    texts = {f"{name}.h": source.header, f"{name}.c": source.code, "main.c": _main(chain, name)}
    for file, text in texts.items():
        (folder / file).write_text(text)
    command = [compiler, *STRICT, "-O1", f"{name}.c", "main.c", "-o", "run", "-lm"]
    made = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if made.returncode:
        lines = [line for line in made.stderr.splitlines() if "error" in line] or made.stderr.splitlines()
        raise UsageError(f"the C compiler objects: {lines[0] if lines else made.returncode}")
    return folder / "run"


def _outputs(program: Path, x: NDArray[np.generic]) -> Array:
    """What it prints of a sequence, (T, O)."""
    given = "\n".join(" ".join(f"{v:.9g}" for v in np.atleast_1d(row)) for row in x)
    out = subprocess.run([program], input=given, capture_output=True, text=True, check=True).stdout
    return np.array([line.split() for line in out.splitlines()], np.float64)


def _main(chain: Chain, name: str) -> str:
    if chain.symbols:
        return MAIN.format(name=name, NAME=name.upper(), **SYMBOL)
    reading = (
        f"static int read_all(float *x)\n{{\n    int n;\n"
        f'    for (n = 0; n < {name.upper()}_INPUTS; n++) if (scanf("%f", x + n) != 1) return 0;\n'
        f"    return 1;\n}}\n"
    )
    parts = {"declare": f"float x[{name.upper()}_INPUTS];", "read": "read_all(x)", "given": "x"}
    text = MAIN.format(name=name, NAME=name.upper(), **parts)
    return text.replace("int main(void)", reading + "int main(void)")


def _code_size(compiler: str, folder: Path, name: str) -> int | None:
    """Bytes of machine code without constants, by ``size``."""
    size = shutil.which("size")
    if size is None:
        return None
    command = [compiler, "-std=c99", "-Os", "-c", f"{name}.c", "-o", "code.o"]
    subprocess.run(command, cwd=folder, capture_output=True, check=True)
    out = subprocess.run(
        [size, "-A", "code.o"], cwd=folder, capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split() for line in out.splitlines() if line.startswith(".text")]
    return sum(int(row[1]) for row in rows)
