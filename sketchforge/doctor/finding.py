"""What was found out about an installation, a line for each thing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

OK, WARN, FAIL, ABSENT = "ok", "warn", "fail", "absent"  # absent: optional, and not installed


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    status: str  # OK, WARN, FAIL or ABSENT
    name: str
    text: str
    next_step: str = ""  # what to do about it; "" where nothing has to be done

    def describe(self) -> Mapping[str, str]:
        """The finding as JSON has it."""
        return {"status": self.status, "name": self.name, "text": self.text, "next": self.next_step}


Findings = Iterator[Finding]


def hide_home(text: object) -> str:
    """A text that tells nothing of whose machine it is: the home folder becomes ~."""
    home = str(Path.home())
    return str(text).replace(home, "~") if home not in ("", "/") else str(text)


def describe_bytes(count: float) -> str:
    """1500000000 -> "1.5 GB"; below one, in MB."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.0f} MB"
