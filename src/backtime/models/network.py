"""What every network is to the file that keeps it."""

from torch import nn

from backtime.models.config import Config


class Network(nn.Module):
    """A PyTorch module that is made from its configuration, as ``NETWORK(config)``, and written with it."""

    config: Config

    def tied(self) -> dict[str, str]:
        """Names in ``state_dict`` that are another name's tensor, and which: they are not written twice."""
        return {}
