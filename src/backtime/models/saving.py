"""A network of PyTorch to its model file and back: the same file that ``backtime.runtime`` reads."""

from typing import Any, TypeVar

import torch

from backtime.models.aligned import LanguageModel
from backtime.models.captioner import Captioner
from backtime.models.captioner_config import CaptionerConfig
from backtime.models.config import LanguageConfig
from backtime.models.encoder_decoder import EncoderDecoder
from backtime.models.encoder_decoder_config import EncoderDecoderConfig
from backtime.models.file import ModelFile, PathLike, read_model, write_model
from backtime.models.forecast_config import ForecastConfig
from backtime.models.forecaster import Forecaster
from backtime.models.network import Network
from backtime.models.piano import Piano
from backtime.models.piano_config import PianoConfig
from backtime.models.reader import Reader
from backtime.models.reader_config import ReaderConfig
from backtime.models.recommender import Recommender
from backtime.models.recommender_config import RecommenderConfig
from backtime.models.regressor import Regressor
from backtime.models.regressor_config import RegressorConfig
from backtime.models.similarity import Similarity
from backtime.models.similarity_config import SimilarityConfig
from backtime.models.tagger import Tagger
from backtime.models.tagger_config import TaggerConfig
from backtime.models.transcriber import Transcriber
from backtime.models.transcriber_config import TranscriberConfig

Built = TypeVar("Built", bound=Network)
MODULES: dict[str, type[Any]] = {  # each takes its own configuration
    LanguageConfig.network: LanguageModel,
    TaggerConfig.network: Tagger,
    ReaderConfig.network: Reader,
    RegressorConfig.network: Regressor,
    ForecastConfig.network: Forecaster,
    PianoConfig.network: Piano,
    TranscriberConfig.network: Transcriber,
    EncoderDecoderConfig.network: EncoderDecoder,
    RecommenderConfig.network: Recommender,
    SimilarityConfig.network: Similarity,
    CaptionerConfig.network: Captioner,
}


def save_model(path: PathLike, model: Network, task: str, encoding: dict[str, Any]) -> None:
    """Write ``model``, the ``task`` it was trained for and the ``encoding`` of its data, whole or not at all.

    Raises ``UsageError`` when the encoding does not have the model's sizes or the file cannot be written.
    """
    tied = set(model.tied())
    weights = {
        name: value.detach().cpu().numpy()
        for name, value in model.state_dict().items()
        if name not in tied  # they are written once, under their other name
    }
    write_model(path, ModelFile(task, model.config, encoding, weights))


def load_model(path: PathLike) -> tuple[Any, ModelFile]:
    """The model in a file, or the best one of a run folder, in training mode as PyTorch's modules are born.

    The file comes with it: its task, configuration and encoding. Raises ``UsageError``, in one line, when
    there is none or it is damaged.
    """
    file = read_model(path)
    return build_model(file), file


def build_model(file: ModelFile) -> Any:
    """The network of a model file that was read, of the class that ``MODULES`` names."""
    weights = {name: torch.from_numpy(value) for name, value in file.tensors.items()}
    with torch.random.fork_rng(devices=[]):  # the initial values are overwritten: they must not cost draws
        model: Network = MODULES[file.config.network](file.config)
    for name, other in model.tied().items():
        weights[name] = weights[other]
    model.to(next(iter(weights.values())).dtype).load_state_dict(weights)
    return model


def begun_from(start: ModelFile | None, network: Built) -> Built:
    """The network, with the weights of a model of the same sizes where one is given."""
    if start:
        network.load_state_dict(build_model(start).state_dict())
    return network
