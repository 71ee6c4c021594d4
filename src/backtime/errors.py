"""The one exception that means: the user can mend this, and one line says how."""


class UsageError(ValueError):
    """Bad input: the message names the argument, what came and what was expected, in one line.

    The command line prints the message alone and exits with status 2; a library user catches it as a
    ``ValueError``.
    """


class UnknownValueError(UsageError):
    """Data hold a value (a symbol, a label) that is not among those the model was made with."""
