"""What Prometheus is told, under ``/metrics``."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

TIMES = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5, 30)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """Counters of one server. Labels are routes, statuses and models: a client cannot make up new ones."""

    def __init__(self) -> None:
        """All zero."""
        self._all = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self.requests = Counter(
            "backtime_requests", "Answers, by route and status", ["route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "backtime_request_seconds", "From request to answer", ["route"], buckets=TIMES, registry=registry
        )
        self.symbols = Counter(
            "backtime_steps", "Symbols that a model has read", ["model"], registry=registry
        )
        self.rows = Histogram(
            "backtime_tick_rows",
            "Sequences in a step of the engine",
            ["model"],
            buckets=ROWS,
            registry=registry,
        )
        self.ticks = Histogram(
            "backtime_tick_seconds", "A step of the engine and its draws", ["model"], buckets=TIMES,
            registry=registry,
        )  # fmt: skip
        self.records = Histogram(
            "backtime_group_records",
            "Records in a call of a model",
            ["model"],
            buckets=ROWS,
            registry=registry,
        )
        self.sessions = Gauge("backtime_sessions", "Open sessions", ["model"], registry=registry)
        self.messages = Histogram(
            "backtime_message_seconds", "From a session's message to its answer", ["model"], buckets=TIMES,
            registry=registry,
        )  # fmt: skip

    def ticking(self, model: str) -> Callable[[int, float], None]:
        """What is to be called when a model has stepped, with the rows and the seconds."""
        own = self.symbols.labels(model), self.rows.labels(model), self.ticks.labels(model)

        def tick(rows: int, seconds: float) -> None:
            own[0].inc(rows)
            own[1].observe(rows)
            own[2].observe(seconds)

        return tick

    def grouping(self, model: str) -> Callable[[int], None]:
        """What is to be called when records of a model are answered together, with their number."""
        return self.records.labels(model).observe

    def text(self) -> bytes:
        """As Prometheus reads it."""
        return generate_latest(self._all)
