"""Training jobs of other people's libraries, each run by the library's own training routine on made-up data.

Each has ``train(prepare, units)``: it makes the model, with the library's defaults where nothing is said,
hands it to ``prepare`` before the first step, and trains for so many units of ``steps`` gradient steps.
"""

import importlib.metadata
import logging
import random
import tempfile
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks import common

COMPARED = 10  # gradient steps whose losses must agree before anything is timed
Prepare = Callable[[Any], None]


class Job(NamedTuple):
    """A model, and how its library trains it."""

    train: Callable[[Prepare, int], None]
    package: str  # what is installed
    module: str  # what is imported
    steps: int  # gradient steps in a unit

    def installed(self) -> bool:
        """Whether the library is there."""
        return common.installed(self.module)

    def version(self) -> str:
        """Name and version."""
        return f"{self.package} {importlib.metadata.version(self.package)}"


def seed(n: int) -> None:
    """All generators that the libraries draw from."""
    import torch

    random.seed(n)
    np.random.seed(n)
    torch.manual_seed(n)


def recurrent_ppo(one_call: bool) -> Callable[[Prepare, int], None]:
    """CartPole with the defaults of RecurrentPPO, but an LSTM of 64 units each for actor and critic."""

    def train(prepare: Prepare, units: int) -> None:
        from sb3_contrib import RecurrentPPO
        from stable_baselines3.common.env_util import make_vec_env

        cart_poles = make_vec_env("CartPole-v1", n_envs=8, seed=1)
        policy = {"lstm_hidden_size": 64}
        agent = RecurrentPPO("MlpLstmPolicy", cart_poles, policy_kwargs=policy, seed=1, device="cpu")
        prepare(agent.policy)
        if one_call and type(agent.policy.lstm_actor).__module__.startswith("backtime"):
            agent.policy._process_sequence = with_reset(agent.policy._process_sequence)
        agent.learn(units * agent.n_steps * agent.n_envs)

    return train


def with_reset(step_by_step: Callable[..., Any]) -> Callable[..., Any]:
    """One call of the layer for sequences in which episodes begin, where the policy loops over the steps."""

    def process(features: Any, states: Any, starts: Any, lstm: Any) -> Any:
        B = states[0].shape[1]
        if len(starts) == B:  # a single step each
            return step_by_step(features, states, starts, lstm)
        x = features.reshape(B, -1, lstm.input_size).swapaxes(0, 1)
        y, last = lstm(x, states, reset=starts.reshape(B, -1).swapaxes(0, 1) != 0)
        return y.swapaxes(0, 1).flatten(0, 1), last

    return process


def series(n: int, length: int) -> list[dict[str, Any]]:
    """Hourly series with a day, a week and noise in them."""
    import pandas as pd

    draw, hours = np.random.default_rng(1), np.arange(length)
    made = []
    for _ in range(n):
        height, day, week = draw.uniform(5, 50), *draw.uniform(0, 2 * np.pi, 2)
        wave = 2 + np.sin(hours * np.pi / 12 + day) + 0.5 * np.sin(hours * np.pi / 84 + week)
        noise = 0.2 * draw.standard_normal(length)
        made.append({"start": pd.Period("2020-01-01", "h"), "target": height * (wave + noise)})
    return made


def deepar(prepare: Prepare, units: int) -> None:
    """The next day of an hourly series from three days before it: an LSTM of 2 x 40, batches of 32."""
    from gluonts.dataset.common import ListDataset
    from gluonts.torch.model.deepar import DeepAREstimator

    class Prepared(DeepAREstimator):  # the estimator makes its network when it trains
        def create_lightning_module(self) -> Any:
            network = super().create_lightning_module()
            prepare(network)
            return network

    with tempfile.TemporaryDirectory() as folder:
        trainer = {"max_epochs": units, "default_root_dir": folder, "accelerator": "cpu"}
        trainer |= {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        estimator = Prepared("h", 24, context_length=72, trainer_kwargs=trainer)
        estimator.train(ListDataset(series(100, 2000), freq="h"))


PLACES = ["Oslo", "Lima", "Cairo", "Quito", "Hanoi", "Accra", "Tunis", "Riga", "Sofia", "Delhi"]
NAMES = ["Ada", "Alan", "Grace", "Edsger", "Barbara", "Donald", "Frances", "John", "Kathleen", "Tony"]
WORDS = [
    "the",
    "old",
    "small",
    "red",
    "quiet",
    "house",
    "river",
    "market",
    "train",
    "letter",
    "reads",
    "sees",
]


def sentences(n: int) -> list[Any]:
    """Of 6 to 30 words, with names of people and places, some of them of two words."""
    from flair.data import Sentence

    draw = random.Random(1)
    made = []
    for _ in range(n):
        words, spans = [], []
        while len(words) < draw.randint(6, 30):
            for tag, choices in (("PER", NAMES), ("LOC", PLACES)):
                words += draw.choices(WORDS, k=draw.randint(1, 3))
                names = draw.choices(choices, k=draw.randint(1, 2))
                spans.append((len(words), len(words) + len(names), tag))
                words += names
        sentence = Sentence(words)
        for start, end, tag in spans:
            sentence[start:end].add_label("ner", tag)
        made.append(sentence)
    return made


def tagger(rnn_type: str) -> Callable[[Prepare, int], None]:
    """Lample et al. (2016): an LSTM over the letters of a word, one of 256 over the words, and a CRF."""

    def train(prepare: Prepare, units: int) -> None:
        import flair
        from flair.data import Corpus, Dictionary
        from flair.datasets import FlairDatapointDataset
        from flair.embeddings import CharacterEmbeddings, OneHotEmbeddings, StackedEmbeddings
        from flair.models import SequenceTagger
        from flair.trainers import ModelTrainer

        flair.logger.setLevel(logging.WARNING)
        text = sentences(660)
        corpus = Corpus(
            FlairDatapointDataset(text[:640]), FlairDatapointDataset(text[640:]), sample_missing_splits=False
        )
        letters = Dictionary()
        for letter in sorted(set("".join(WORDS + NAMES + PLACES))):
            letters.add_item(letter)
        words = OneHotEmbeddings.from_corpus(corpus, min_freq=1, embedding_length=100)
        embeddings = StackedEmbeddings([words, CharacterEmbeddings(letters)])
        tags = corpus.make_label_dictionary("ner", add_unk=False)
        model = SequenceTagger(embeddings, tags, "ner", rnn_type=rnn_type)
        prepare(model)
        with tempfile.TemporaryDirectory() as folder:
            ModelTrainer(model, corpus).train(
                folder, max_epochs=units, use_final_model_for_eval=True, save_final_model=False
            )

    return train


JOBS = {
    "RecurrentPPO": Job(recurrent_ppo(False), "sb3-contrib", "sb3_contrib", 80),
    "RecurrentPPO, with reset=": Job(recurrent_ppo(True), "sb3-contrib", "sb3_contrib", 80),
    "DeepAR": Job(deepar, "gluonts", "gluonts", 50),
    "tagger, LSTM": Job(tagger("LSTM"), "flair", "flair", 20),
    "tagger, GRU": Job(tagger("GRU"), "flair", "flair", 20),
}


def train(name: str, prepare: Prepare, units: int) -> None:
    """From the same seed every time; the libraries' own warnings and logs are kept quiet."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    seed(1)
    JOBS[name].train(prepare, units)
