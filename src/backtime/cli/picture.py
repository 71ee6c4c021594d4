"""The picture of predictions, for the tasks whose predictions can be drawn."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backtime.errors import UsageError
from backtime.files import atomic_write
from backtime.runtime.predictor import Predictor

KINDS = (".svg", ".png", ".pdf")


def save_picture(path: Path, predictor: Predictor, records: Sequence[Any]) -> None:
    """Write what the predictor draws of the records, whole or not at all; raises ``UsageError``."""
    draw = getattr(predictor, "draw", None)
    if draw is None:
        raise UsageError("--picture: the predictions of this task cannot be drawn")
    if path.suffix.lower() not in KINDS:
        raise UsageError(f"--picture {path}: expected a name that ends in {', '.join(KINDS)}")
    try:
        import matplotlib
    except ModuleNotFoundError as error:
        raise UsageError("--picture needs matplotlib: pip install 'backtime[plots]'") from error
    matplotlib.use("agg")  # no window
    picture = io.BytesIO()
    draw(records).savefig(picture, format=path.suffix.lower()[1:], dpi=120)
    with atomic_write(path) as file:
        file.write(picture.getvalue())
