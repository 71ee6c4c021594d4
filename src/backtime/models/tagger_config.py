"""What a tagger is made of. No PyTorch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from backtime.data.columns import Places
from backtime.fields import read
from backtime.models.recurrent import RecurrentConfig, Shapes, check_lexicons, column_shapes, layer_shapes


@dataclass(frozen=True, kw_only=True)
class TaggerConfig(RecurrentConfig):
    """Words and their characters in, layers in both directions, a tag out for every word.

    - ``words``, ``characters``, ``tags``: how many there are of each
    - ``word_size``: length of the vector of a word; ``character_size``: of a character;
      ``spelling_size``: units, in each direction, of the layer that reads the characters of a word
    - ``crf``: whether tags that follow each other have a score of their own
    """

    network: ClassVar[str] = "tagger"

    words: int
    characters: int
    tags: int
    word_size: int = 100
    character_size: int = 32
    spelling_size: int = 50
    crf: bool = False
    bidirectional: bool = True

    @property
    def input_size(self) -> int:
        """The length of what stands for a word."""
        return self.word_size + 2 * self.spelling_size

    @property
    def spelling(self) -> RecurrentConfig:
        """The layer that reads the characters of a word."""
        return RecurrentConfig(
            cell=self.cell,
            hidden_size=self.spelling_size,
            bidirectional=True,
            activation=self.activation,
            reset_after=self.reset_after,
            layer_norm=self.layer_norm,
        )

    def shapes(self) -> Shapes:
        """Name and shape of each tensor of the model file."""
        table: Shapes = {
            "words.weight": (self.words, self.word_size),
            "characters.weight": (self.characters, self.character_size),
            **layer_shapes("spelling", self.spelling, self.character_size),
            **layer_shapes("rnn", self, self.input_size),
            **column_shapes(self),
            "head.weight": (self.tags, self.width),
            "head.bias": (self.tags,),
        }
        if self.crf:
            table |= {"crf.first": (self.tags,), "crf.last": (self.tags,)}
            table["crf.transitions"] = (self.tags, self.tags)
        return table

    def check_encoding(self, encoding: Mapping[str, Any]) -> None:
        """Raise ``UsageError`` unless words, characters and tags are as many as the tensors have."""
        sizes = {"words": self.words, "characters": self.characters, "tags": self.tags}
        check_lexicons(encoding, sizes)
        read(Places, encoding.get("columns"), "columns", complete=True)
