"""Encoder and decoder beside the engine: the state that is read, and the scores of each step of writing."""

from collections.abc import Callable
from typing import Any

import numpy as np

from backtime.export.onnx.layers import names
from backtime.export.trials import lengths_of, padded
from backtime.models.file import ModelFile
from backtime.models.writer_config import WriterConfig
from backtime.reference.weights import Array
from backtime.runtime.captioner import Captioner
from backtime.runtime.translator import Translator

Run = Callable[[dict[str, Any]], dict[str, Any]]
Pairs = list[tuple[Array, Array]]
WRITERS: dict[str, Callable[[ModelFile], Translator | Captioner]] = {
    "encoder-decoder": Translator,
    "captioner": Captioner,
}


def compare_writer(model: ModelFile, encode: Run, decode: Run, batch: list[Any]) -> Pairs:
    """All steps of known texts in one call, and the same a step at a time with the state handed over."""
    own, config = WRITERS[model.config.network](model), model.config
    assert isinstance(config, WriterConfig)
    sources, texts = zip(*batch, strict=True)
    begun = _encoded(own, encode, sources)
    each = [np.concatenate([[config.end], text]) for text in texts]
    tokens = padded(each)
    found = [decode({"tokens": tokens, **begun})["output"], _stepped(decode, tokens, begun)]
    pairs: Pairs = []
    for b, source in enumerate(sources):
        read, state = own.look(source)
        for n, name in enumerate(names(config)):
            first = np.concatenate(state[n :: len(names(config))])
            pairs.append((first, begun[f"{name}_0"][:, b]))
        ours = np.concatenate([own.scores([symbol], state, read)[0] for symbol in each[b]])
        pairs += [(ours, theirs[: len(each[b]), b]) for theirs in found]
    return pairs


def _encoded(own: Translator | Captioner, encode: Run, sources: tuple[Any, ...]) -> dict[str, Any]:
    """What the decoder is given beside the tokens."""
    if isinstance(own, Captioner):
        return _handed(encode({"x": np.stack(sources)}))
    lengths = lengths_of(list(sources))
    return {"lengths": lengths, **_handed(encode({"tokens": padded(list(sources)), "lengths": lengths}))}


def _stepped(decode: Run, tokens: Array, begun: dict[str, Any]) -> Array:
    """The scores of each step, one call a step."""
    given, found = begun, []
    for token in tokens:
        out = decode({"tokens": token[None], **given})
        found.append(out["output"])
        given = {**given, **_handed(out)}
    return np.concatenate(found)


def _handed(out: dict[str, Any]) -> dict[str, Any]:
    """Outputs as the inputs of what comes next: h_n as h_0, and so on."""
    return {name.replace("_n", "_0"): value for name, value in out.items()}
