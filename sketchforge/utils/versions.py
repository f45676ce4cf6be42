"""Versions of installed distributions, for records of what something was computed with."""

from __future__ import annotations


def installed_version(distribution: str, missing: str = "unknown") -> str:
    """The version of a distribution, such as "opencv-python-headless"; `missing` where none is installed."""
    from importlib import metadata  # reads mail headers, and takes as long to import as click does

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return missing
