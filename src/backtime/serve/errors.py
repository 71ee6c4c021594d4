"""What a client is told when it does not get what it asked for."""


class Refusal(Exception):  # noqa: N818 - no error of ours
    """An answer with this status and this line, in place of what was asked for."""

    def __init__(self, status: int, message: str, close: bool = False) -> None:
        """With ``close`` the connection ends too."""
        super().__init__(message)
        self.status, self.message, self.close = status, message, close
