"""Tables to forecast from, and small networks."""

from pathlib import Path
from typing import Any

import numpy as np

from shell import backtime

SMALL = ["--task", "forecast", "--hidden-size", 8, "--lookback", 8, "--horizon", 4, "--log-every", 5]
SMALL += ["--quiet", "--season", 6]


def table(name: str, rows: int = 90, future: int = 0, shops: str = "", noise: float = 0.1) -> Path:
    """A season of six days around a level, lifted where ``promotion`` is 1; ``shops`` stand in turn."""
    rng = np.random.default_rng(3)
    lines = ["day,shop,sales,promotion,stock" if shops else "day,sales,promotion,stock"]
    for t in range(rows + future):
        day = np.datetime64("2024-01-01") + t
        for shop in shops or " ":
            promotion = int(rng.random() < 0.3)
            sales = 50 + 10 * np.sin(2 * np.pi * t / 6) + 20 * promotion + noise * rng.standard_normal()
            stock = f"{rng.standard_normal():.3f}"
            cells = [str(day), *([shop] if shops else []), f"{sales:.4f}", str(promotion), stock]
            if t >= rows:
                cells[-3] = cells[-1] = ""
            lines.append(",".join(cells))
    Path(name).write_text("\n".join(lines) + "\n")
    return Path(name)


def trained(*words: Any, data: str = "sales.csv") -> str:
    options = ["--target", "sales", "--known", "promotion", "--past", "stock"]
    backtime("train", data, *SMALL, *options, *words, "--out", "run")
    return "run"
