"""Classification to the trainer."""

from backtime.data.classes import Examples
from backtime.tasks.classify.measuring import predicted, scores_of
from backtime.tasks.shared.examples import MEASURED_AT_ONCE, ExampleTask


class ClassifyTask(ExampleTask):
    """A reader and its examples; the loss is in nats an example."""

    name = "classify"

    def measure(self, examples: Examples) -> dict[str, float]:
        """Accuracy, macro F1, loss."""
        return scores_of(
            examples.labels, *predicted(self.network, examples, self.data.encoder, MEASURED_AT_ONCE)
        )
