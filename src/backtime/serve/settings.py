"""What ``backtime serve`` lets one choose."""

from dataclasses import dataclass
from pathlib import Path

from backtime.errors import UsageError
from backtime.fields import check, described

LIMITS = "limits"


@dataclass(frozen=True)
class ServeSettings:
    """Where to listen, and what is allowed."""

    host: str = described("127.0.0.1", "address to listen on")
    port: int = described(8000, "port to listen on; 0 takes a free one", least=0, below=65536)
    token_file: str | None = described(None, "file with a secret that clients must send as a bearer token")
    allow_host: str = described("", "name by which clients may call, beside the address: that of a proxy")
    most_connections: int = described(4096, "open connections", group=LIMITS, least=1)
    most_sessions: int = described(2000, "sessions at a time", group=LIMITS, least=1)
    session_megabytes: float = described(256.0, "memory of all sessions' states", group=LIMITS, above=0)
    idle_seconds: float = described(
        300.0, "a session that says nothing so long is closed", group=LIMITS, above=0
    )
    most_streams: int = described(512, "texts and scores at a time", group=LIMITS, least=1)
    most_rows: int = described(256, "sequences in one step of the engine", group=LIMITS, least=1)
    most_symbols: int = described(100_000, "symbols in one text", group=LIMITS, least=1)
    most_records: int = described(1000, "records in a request", group=LIMITS, least=1)
    body_megabytes: float = described(4.0, "size of a request", group=LIMITS, above=0)
    message_kilobytes: float = described(64.0, "size of a session's message", group=LIMITS, above=0)
    request_seconds: float = described(10.0, "for a request to arrive", group=LIMITS, above=0)
    work_seconds: float = described(30.0, "for a prediction", group=LIMITS, above=0)
    stream_seconds: float = described(600.0, "for a text", group=LIMITS, above=0)
    grace_seconds: float = described(30.0, "for work begun, when asked to stop", group=LIMITS, least=0)

    def __post_init__(self) -> None:
        """Check every value."""
        check(self)

    def token(self) -> str | None:
        """The secret; raises ``UsageError`` where the file has none."""
        if self.token_file is None:
            return None
        try:
            found = Path(self.token_file).read_text("ascii").strip()
        except (OSError, UnicodeError) as error:
            raise UsageError(
                f"--token-file {self.token_file}: {error}; expected a file of ASCII text"
            ) from error
        if len(found) < 16 or not found.isprintable() or " " in found:
            raise UsageError(f"--token-file {self.token_file}: expected one word of 16 characters or more")
        return found
