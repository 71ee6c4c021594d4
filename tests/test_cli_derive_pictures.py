"""``backtime derive``: LaTeX and pictures of paths."""

import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from backtime.insight import paths
from backtime.insight.unfolded.notation import Notation
from derive_shell import printed

pytestmark = pytest.mark.usefixtures("own_folder")

# LaTeX and pictures.

CASES = [
    "--names S,Z",
    "--cell lstm --steps 2 --layers 1 --wrt Wh --names E=L,state",
    "--cell gru --steps 12 --layers 3 --at 9",
    "--wrt x_t --hidden-size 7 --input-size 9",
    "--wrt h0:2 --hidden-size 1 --activation relu --seed 4",
    "--wrt x_2 --at 1",
    "--layers 13 --steps 33",
    "--layers 1 --hidden-size 1 --input-size 1 --output-size 1 --steps 5 --wrt b",
]


@pytest.mark.parametrize("words", CASES)
def test_latex_is_well_formed(words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    printed(capsys, *words.split(), "--latex", "paths.tex")
    text = (tmp_path / "paths.tex").read_text(encoding="ascii")
    assert text.startswith(r"\documentclass") and text.endswith("\\end{document}\n")
    assert text.count("{") == text.count("}") and text.count("$") % 2 == 0
    for opening, closing in ((r"\begin{", r"\end{"), (r"\[", r"\]")):
        assert text.count(opening) == text.count(closing)
    assert list(tmp_path.iterdir()) == [tmp_path / "paths.tex"]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex (Debian: texlive-latex-base)")
@pytest.mark.parametrize("words", CASES)
def test_latex_compiles(words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    printed(capsys, *words.split(), "--latex", "paths.tex")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paths.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=60)
    assert done.returncode == 0 and (tmp_path / "paths.pdf").stat().st_size > 1000, done.stdout[-2000:]
    assert "Overfull" not in done.stdout  # nothing runs over the margin


@pytest.mark.parametrize("words", CASES)
def test_pictures(words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    printed(capsys, *words.split(), "--picture", "a.svg", "--picture", "a.png")
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    assert root.tag.endswith("svg") and (tmp_path / "a.svg").stat().st_size < 400_000
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_equal_pictures_have_equal_bytes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("a", "b"):
        printed(capsys, "--path", 1, "--picture", f"{name}.svg", "--picture", f"{name}.png")
    for kind in ("svg", "png"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_a_picture_shows_the_path_it_is_asked_for() -> None:
    pytest.importorskip("matplotlib")
    from backtime.insight import draw
    from backtime.insight.drawing.panel import MARKED

    found = paths("lstm", "Wx", "t", steps=3, layers=1, max_paths=2)
    path = found.first(50)[-1]
    [axes] = draw(found, 50).axes
    labels = [text.get_text().replace(r"\dfrac", r"\frac") for text in axes.texts]
    assert all(f"${factor.latex}$" in labels for factor in path.factors)
    arrows = [patch for patch in axes.patches if patch.get_edgecolor() == hex_rgba(MARKED)]
    assert len(arrows) >= len(path.factors)
    notation: Notation = found.notation
    nodes = {f"${notation.latex(node)}$" for node in path.nodes}
    assert nodes <= set(labels) and axes.get_title().startswith(f"path 50 of {found.count}")


def hex_rgba(colour: str) -> tuple[float, ...]:
    return (*(int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)), 1.0)
