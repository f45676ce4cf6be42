"""Standard input, output and error that are closed when the program begins, as daemons may have them."""

from __future__ import annotations

import os
import sys

_NAMES = ("stdin", "stdout", "stderr")  # by descriptor


def open_standard_streams() -> None:
    """Open the null device for those of the three that are closed; to be called before anything is opened.

    Else the next file or pipe would take the number: what is printed would end in it, and worker processes,
    which close their stdin, would close it. A stream that is open stays as it is.
    """
    for number, name in enumerate(_NAMES):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:  # another thread took it, or freed a lower one
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
            if getattr(sys, name) is None:
                mode = "w" if number else "r"
                setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))
