"""A network that is trained: what the tasks of all recurrent networks have alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from numpy.typing import NDArray

from backtime.data.batching.buckets import Buckets
from backtime.models.file import ModelFile
from backtime.tasks.base import Data
from backtime.training.settings import Settings
from backtime.training.task import Task

if TYPE_CHECKING:
    from backtime.models.network import Network

    Built = TypeVar("Built", bound=Network)


class NetworkTask(Task):
    """A network and its data. A subclass narrows both to its own types; ``name`` is that of the task."""

    name: ClassVar[str]
    network: Network
    data: Data

    def __init__(self, network: Network, data: Data) -> None:
        """Keep both."""
        self.network, self.data = network, data

    @property
    def model(self) -> Network:
        """The network."""
        return self.network

    def save_model(self, path: Path) -> None:
        """Write the model file."""
        from backtime.models.saving import save_model

        save_model(path, self.network, self.name, self.data.encoding)


class BucketTask(NetworkTask):
    """A network and its records, in batches of records about as long as each other."""

    settings: Any

    def __init__(
        self, network: Network, data: Data, settings: Settings, lengths: Sequence[int] | NDArray[Any]
    ) -> None:
        """Lay the batches out; ``lengths`` are those of the records, in steps."""
        super().__init__(network, data)
        self.settings = settings
        self.buckets = Buckets(lengths, settings.batch_size, settings.seed)
        self.steps_per_epoch = len(self.buckets)


def begun(network: Built, start: ModelFile | None, settings: Settings) -> Built:
    """The network on the settings' device, with the weights of a model to begin with where there is one."""
    from backtime.models.saving import begun_from
    from backtime.training.devices import on_device

    return on_device(begun_from(start, network), settings.device)
