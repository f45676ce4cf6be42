"""A run that adds images and ends at any step leaves the old folder or the new one; the same command goes on."""

import dataclasses
import json

import pytest

from sketchforge.errors import UsageError
from sketchforge.render import engines
from sketchforge.render.render import render
from sketchforge.shards import appending
from sketchforge.shards import manifest as manifests
from sketchforge.shards.shard_set import open_shards
from sketchforge.shards.verify import verify
from sketchforge.storage.folder import folder_at
from tests.helpers.folders import contents


def interrupt(monkeypatch, module, name: str, calls: int) -> None:
    """Let the function fail at its n-th call from now on."""
    real, left = getattr(module, name), [calls]

    def struck(*arguments):
        left[0] -= 1
        if left[0] <= 0:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(module, name, struck)


def test_shards_that_are_not_all_made_are_not_to_be_seen_and_kept(adding, base, monkeypatch):
    render_some = engines.render_shards

    def interrupted(job, summary, progress):
        half = dataclasses.replace(job.plan, shards=job.plan.shards[:1])
        render_some(dataclasses.replace(job, plan=half), summary, progress)
        raise KeyboardInterrupt

    small = dataclasses.replace(base, shards=adding.shards, samples_per_shard=2, overwrite=True)
    render(small)
    before = contents(adding.shards)
    more = dataclasses.replace(adding, samples_per_shard=None)
    with monkeypatch.context() as patch:
        patch.setattr(engines, "render_shards", interrupted)
        with pytest.raises(KeyboardInterrupt):
            render(more)
    visible = {name: data for name, data in contents(adding.shards).items() if not name.startswith(".")}
    assert visible == before
    report = verify(adding.shards)
    assert (report.problems, report.num_samples, len(report.notes)) == ([], 10, 1)
    assert len(open_shards(adding.shards).keys) == 10
    summary = render(more)
    assert (summary.num_kept, summary.num_images) == (1, 2)
    assert verify(adding.shards).problems == []


STEPS = [("take_file", number) for number in (1, 2, 3)] + [
    ("write_card", 1),
    ("write_manifest", 1),
    ("remove_appending", 1),
    ("remove_folder", 1),
]


@pytest.mark.parametrize(("step", "calls"), STEPS)
def test_a_run_that_ends_at_any_step_leaves_the_old_folder_or_the_new(
    adding, added, monkeypatch, step, calls
):
    with monkeypatch.context() as patch:
        interrupt(patch, appending, step, calls)
        with pytest.raises(KeyboardInterrupt):
            render(adding)
    report = verify(adding.shards)
    expected = 14 if step.startswith("remove") else 10
    assert (report.problems, report.num_samples) == ([], expected)
    assert len(open_shards(adding.shards).keys) == expected
    assert render(adding).num_images == 0  # all are drawn
    assert contents(adding.shards) == contents(added)


def test_other_images_than_those_that_were_begun_are_refused(adding, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt(patch, appending, "take_file", 1)
        patch.setattr(appending, "read_appending", lambda _: None)  # as if it had not come to that yet
        render(dataclasses.replace(adding, limit=12))
    inner = adding.shards / appending.APPENDING
    manifest = json.loads((inner / "manifest.json").read_text())
    manifests.write_manifest(folder_at(inner), manifest | {"complete": False, "shards": [], "outcomes": {}})
    with pytest.raises(UsageError, match="2 images are being added .* now 4 images or other ones; .*remove"):
        render(adding)
    render(dataclasses.replace(adding, limit=12))
    assert len(open_shards(adding.shards).keys) == 12


def test_overwriting_removes_what_was_to_be_added(adding, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt(patch, appending, "take_file", 1)
        with pytest.raises(KeyboardInterrupt):
            render(adding)
    (adding.shards / appending.APPENDING / "mine.txt").write_text("not sketchforge's")
    render(dataclasses.replace(adding, append=False, overwrite=True))
    assert [path.name for path in (adding.shards / appending.APPENDING).iterdir()] == ["mine.txt"]
    assert (verify(adding.shards).problems, len(open_shards(adding.shards).keys)) == ([], 14)
