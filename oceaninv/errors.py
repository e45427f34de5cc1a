"""The one error that a user's input can cause."""


class InputError(ValueError):
    """Bad input, told in one line: the file, the field, the value and the mend.

    The command line prints the message and leaves with exit code 2.
    """
