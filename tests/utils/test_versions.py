"""The one look-up of distributions' versions."""

from importlib import metadata

from sketchforge.utils.versions import installed_version


def test_installed_distributions_have_their_version():
    assert installed_version("torch") == metadata.version("torch")


def test_missing_distributions_are_said_to_be_missing():
    assert installed_version("no-such-distribution") == "unknown"
    assert installed_version("no-such-distribution", missing="none") == "none"
