"""Settings by name: ``backtime train --preset NAME``."""

from __future__ import annotations

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
    # the small network of Zaremba, Sutskever and Vinyals (arXiv 1409.2329), for words
    "zaremba-small": {
        "level": "word",
        "cell": "lstm",
        "hidden_size": 200,
        "layers": 2,
        "embedding_size": 200,
        "seq_length": 20,
        "batch_size": 20,
        "init_range": 0.1,
        "optimizer": "sgd",
        "lr": 1.0,
        "lr_decay": 0.5,
        "lr_decay_after": 4,
        "grad_clip": 5.0,
        "loss_sum_over_time": True,
        "epochs": 13,
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
