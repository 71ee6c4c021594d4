"""The one exception that means: the user can mend this, and one line says how."""


def shown(value: object, most: int = 60) -> str:
    """A value that came from outside, for a message: without control characters, and not at any length."""
    try:
        text = repr(value[: most + 1] if isinstance(value, str) else value)
    except ValueError:  # a whole number of more digits than Python prints
        return "a number of thousands of digits"
    return text if len(text) <= most + 2 else f"{text[:most]}..."


def one_line(text: str, most: int = 1000) -> str:
    """A message in one line that a terminal can show as it is; of a very long one both ends."""
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(text.split()))
    return line if len(line) <= most else f"{line[: most // 2]} ... {line[-most // 2 :]}"


class UsageError(ValueError):
    """Bad input: the message names the argument, what came and what was expected, in one line.

    The command line prints the message alone and exits with status 2; a library user catches it as a
    ``ValueError``.
    """


class UnknownValueError(UsageError):
    """Data hold a value (a symbol, a label) that is not among those the model was made with."""


class DataWarning(UserWarning):
    """Data that can be used, but hardly mean what was meant; the command line shows it as one line."""
