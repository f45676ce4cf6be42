"""JSON with a digest of itself: written piece by piece, the same bytes as at once."""

import hashlib
import json

import pytest

from sketchforge.utils.files import checksum_holds, checksummed_json

VALUES = [
    {},
    {"a": 1},
    {"z": [], "a": {}, "m": None},
    {"shards": [{"name": "0", "sidecar": {"bytes": 1}}, {"name": "1", "sidecar": {}}], "b": "é\n\u2028", "zz": [1]},
    {"list": [[1, [2, {}]], [], {"deep": [{"er": [1]}]}], "text": "a\nb", "true": True, "number": 1.5},
]  # fmt: skip


def at_once(value) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


@pytest.mark.parametrize("value", VALUES)
def test_the_bytes_are_those_of_the_whole_text(value):
    digest = hashlib.sha256(at_once(value)).hexdigest()
    assert checksummed_json(value) == at_once(value | {"checksum": digest})


@pytest.mark.parametrize("value", VALUES)
def test_a_digest_holds_for_these_bytes_and_no_others(value):
    data = checksummed_json(value)
    assert checksum_holds(data)
    others = [data[:-1], data + b"\n", data.replace(b": ", b":  ", 1), data.replace(b"\n", b"\n\n", 1)]
    assert not any(map(checksum_holds, others))


@pytest.mark.parametrize("data", [b"", b"[]", b"7", b"{", b'{"a": "\\ud800", "checksum": "0"}'])
def test_a_digest_does_not_hold_for_what_was_never_written(data):
    assert not checksum_holds(data)
