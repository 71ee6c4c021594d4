"""Named sets of settings for ``backtime train --preset NAME``; options given beside the name override it."""

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    # a small model in about four minutes on two cores
    "demo": {
        "cell": "gru",
        "hidden_size": 128,
        "layers": 1,
        "seq_length": 64,
        "batch_size": 32,
        "optimizer": "adam",
        "lr": 4e-3,
        "minutes": 4.0,
        "log_every": 200,
    },
    # the defaults of Karpathy's char-rnn (2015)
    "char-rnn": {
        "cell": "lstm",
        "hidden_size": 128,
        "layers": 2,
        "seq_length": 50,
        "batch_size": 50,
        "optimizer": "rmsprop",
        "lr": 2e-3,
        "schedule": "exponential",
        "grad_clip": 5.0,
        "epochs": 50,
        "validation_fraction": 0.05,
    },
    # under 1.55 nats a character on the tiny Shakespeare text within ten minutes on two cores
    "shakespeare": {
        "cell": "lstm",
        "hidden_size": 256,
        "layers": 2,
        "seq_length": 64,
        "batch_size": 32,
        "dropout": 0.2,
        "optimizer": "adam",
        "lr": 3e-3,
        "schedule": "cosine",
        "warmup": 100,
        "epochs": 12,
        "minutes": 10.0,
    },
}
