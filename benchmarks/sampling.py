"""Characters a second that a language model writes without PyTorch, one character at a time."""

import itertools
import string
import time
from statistics import median

import numpy as np

from backtime.data.text.vocabulary import Vocabulary
from backtime.models.file import ModelFile
from backtime.runtime import LanguageConfig, Model
from benchmarks import common

SIZES = ((1, 128), (2, 512))  # layers, hidden units
HEAD = ["char lstm, V = 65", "threads", "characters/s", "us a character"]
NOTES = """\
`backtime.runtime.Model.sample` at temperature 1, random weights, one-hot input; median of {rounds} runs of
{length} characters, after a check that all numbers of threads give the same text. Loading is not counted."""


def random_model(layers: int, hidden_size: int) -> Model:
    config = LanguageConfig("lstm", hidden_size, layers, 65)
    vocabulary = Vocabulary("char", sorted(string.ascii_letters + string.digits + " \n."))
    random, bound = np.random.default_rng(1), hidden_size**-0.5
    tensors = {
        name: random.uniform(-bound, bound, shape).astype(np.float32)
        for name, shape in config.shapes().items()
    }
    return Model(ModelFile("language", config, {"vocabulary": vocabulary.to_json()}, tensors))


def write(model: Model, threads: int, length: int) -> tuple[str, float]:
    """The text, and the characters a second."""
    common.use_threads(threads)
    time.sleep(common.PAUSE)
    start = time.perf_counter()
    text = "".join(model.sample(length=length, seed=1))
    return text, len(text) / (time.perf_counter() - start)


def main() -> None:
    args = common.parser(__doc__).parse_args()
    rounds, length = (3, 500) if args.quick else (9, 5000)
    threads = (args.threads,) if args.threads else (1, 2)
    rows = []
    for layers, hidden_size in SIZES:
        model = random_model(layers, hidden_size)
        if len({write(model, n, 300)[0] for n in (1, *threads)}) != 1:
            raise SystemExit(f"{layers} x {hidden_size}: the text depends on the number of threads")
        speeds: dict[int, list[float]] = {n: [] for n in threads}
        for _, n in itertools.product(range(rounds), threads):
            speeds[n].append(write(model, n, length)[1])
        for n, found in speeds.items():
            rows.append(
                [f"{layers} x {hidden_size}", n, f"{median(found):,.0f}", f"{1e6 / median(found):.1f}"]
            )
    common.report(
        "Sampling", NOTES.format(rounds=rounds, length=length), common.table(HEAD, rows), args.write
    )


if __name__ == "__main__":
    main()
