"""Ten renderings and four trainings struck at random; `make soak` strikes more (docs/reliability.md)."""

import os

import pytest

from tests.helpers.kills import campaign
from tests.helpers.photos import make_photos
from tests.helpers.training_kills import TRAININGS, training_campaign


@pytest.mark.kill
@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX signals and fork")
def test_renderings_survive_strikes_at_random_moments(tmp_path, pytestconfig, capsys):
    trials = pytestconfig.getoption("--kills")
    tally = campaign(
        make_photos(tmp_path / "in", 10), tmp_path, trials, pytestconfig.getoption("--campaign-seed")
    )
    assert tally.trials == trials
    assert min(tally.strikes.values()) > 0
    assert 2 * tally.strikes.total() > tally.too_late
    assert tally.kept > 0, "some strikes came after a shard was finished"
    with capsys.disabled():
        print(
            f"\n{trials} renderings: {dict(tally.strikes)} strikes, {tally.too_late} too late; all completed"
        )


@pytest.mark.kill
@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX signals and fork")
def test_trainings_survive_strikes_at_random_moments(ten_sketches, tmp_path, pytestconfig, capsys):
    kills = pytestconfig.getoption("--training-kills")
    seed = pytestconfig.getoption("--campaign-seed")
    tally = training_campaign(ten_sketches, tmp_path, kills, seed)
    assert tally.trainings == kills * len(TRAININGS)
    assert tally.strikes.total() > 0
    with capsys.disabled():
        print(
            f"\n{tally.trainings} trainings: {dict(tally.strikes)} strikes, {tally.too_late} too late; all completed; "
            f"the slowest end {tally.slowest:.1f} s after its signal"
        )
