"""The networks, built of the layers of ``backtime.nn``, and the file that keeps one.

- ``config``   what a network is made of: sizes and options, the tensors that follow from them; no PyTorch
- ``file``     the model file as arrays; no PyTorch
- ``aligned``  an output at every step
- ``tagger``   a tag for every word, with a conditional random field (``crf``) above it
- ``reader``, ``regressor``   one label, one number for a whole sequence
- ``similarity``  how alike two texts are
- ``recurrent``, ``layers``   what networks of recurrent layers share: configuration, module
- ``forecaster``  the next steps of series from their past
- ``piano``  at each frame of a piano roll, the keys of the next one
- ``network``  what every network is to its file
- ``saving``   a PyTorch model to its file and back

What needs PyTorch loads when it is asked for, so that the runtime can take ``config`` and ``file`` alone.
"""

from typing import TYPE_CHECKING, Any

from backtime.models.config import LanguageConfig

if TYPE_CHECKING:
    from backtime.models.aligned import LanguageModel
    from backtime.models.saving import load_model, save_model

__all__ = ["LanguageConfig", "LanguageModel", "load_model", "save_model"]


def __getattr__(name: str) -> Any:
    """The parts that need PyTorch."""
    if name == "LanguageModel":
        from backtime.models import aligned as part
    elif name in ("load_model", "save_model"):
        from backtime.models import saving as part  # type: ignore[no-redef]
    else:
        raise AttributeError(f"module 'backtime.models' has no attribute {name!r}")
    return getattr(part, name)
