"""Errors for users to read: one line that says what, where, found versus expected, and what to do next."""


class SketchforgeError(Exception):
    """An error that the user can understand and act on; the command line exits with `exit_code`."""

    exit_code = 1


class UsageError(SketchforgeError):
    """The request itself cannot be carried out (wrong path, wrong option value); exit code 2."""

    exit_code = 2


class WrongFormatError(UsageError):
    """A file or record is of another kind than the one that was asked for."""
