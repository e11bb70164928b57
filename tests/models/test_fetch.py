"""A download resumes, is checked, and never puts a wrong file under the right name."""

import errno
import hashlib
import os

import loopback
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cput.errors import SetupError
from cput.models import fetch as fetching
from cput.models.fetch import Remote, Unreachable, fetch

BODY = bytes(range(256)) * 40
DIGEST = hashlib.sha256(BODY).hexdigest()


def remote(site, **options):
    site.files.setdefault("/x.bin", BODY)
    return Remote(url=f"{site.url}/x.bin", name="x.bin", **{"sha256": DIGEST, **options})


def test_a_broken_transfer_goes_on_where_it_stopped(site, tmp_path):
    site.cut_after = [1000, 2000]
    fetch(remote(site), tmp_path / "x", wait_s=0)
    assert (tmp_path / "x").read_bytes() == BODY
    assert [asked[1] for asked in site.asked] == [None, "bytes=1000-", "bytes=3000-"]


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, len(BODY)), max_size=3))
def test_any_breaks_give_the_same_bytes(cuts, tmp_path_factory):
    with loopback.serve() as site:
        site.cut_after = list(cuts)
        target = tmp_path_factory.mktemp("cuts") / "x"
        fetch(remote(site), target, wait_s=0)
        assert target.read_bytes() == BODY


def test_a_later_call_goes_on_from_what_an_earlier_one_kept(site, tmp_path):
    site.cut_after = [100] * fetching.TRIES
    with pytest.raises(Unreachable, match=r"connection closed after 400 of 10,240 bytes"):
        fetch(remote(site), tmp_path / "x", wait_s=0)
    assert not (tmp_path / "x").exists()
    site.asked.clear()
    fetch(remote(site), tmp_path / "x", wait_s=0)
    assert (tmp_path / "x").read_bytes() == BODY
    assert site.asked[0][1] == "bytes=400-"


def test_a_server_without_ranges_starts_again(site, tmp_path):
    site.cut_after, site.ranges = [1000], False
    fetch(remote(site), tmp_path / "x", wait_s=0)
    assert (tmp_path / "x").read_bytes() == BODY


def test_a_wrong_digest_names_both_and_touches_nothing_that_worked(site, tmp_path):
    (tmp_path / "x").write_bytes(b"an older file that works")
    wrong = "0" * 64
    with pytest.raises(SetupError, match=rf"sha256 {DIGEST}, expected {wrong}"):
        fetch(remote(site, sha256=wrong), tmp_path / "x", wait_s=0)
    assert (tmp_path / "x").read_bytes() == b"an older file that works"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_part_longer_than_the_file_is_dropped(site, tmp_path):
    (tmp_path / "x.part").write_bytes(BODY + b"more")
    fetch(remote(site, bytes=len(BODY)), tmp_path / "x", wait_s=0)
    assert (tmp_path / "x").read_bytes() == BODY
    (tmp_path / "x").unlink()
    (tmp_path / "x.part").write_bytes(BODY + b"more")  # and where the size is not known, the server says so (416)
    fetch(remote(site), tmp_path / "x", wait_s=0)
    assert (tmp_path / "x").read_bytes() == BODY


def test_a_file_that_is_there_is_not_asked_for(site, tmp_path):
    (tmp_path / "x").write_bytes(BODY)
    fetch(remote(site), tmp_path / "x")
    assert site.asked == []


def test_a_missing_file_is_not_tried_again(site, tmp_path):
    site.status["/x.bin"] = 404
    with pytest.raises(SetupError, match=r"answered 404"):
        fetch(remote(site), tmp_path / "x", wait_s=0)
    assert len(site.asked) == 1


def test_an_overloaded_server_is_tried_again(site, tmp_path):
    site.status["/x.bin"] = 503
    with pytest.raises(Unreachable, match=r"503"):
        fetch(remote(site), tmp_path / "x", wait_s=0)
    assert len(site.asked) == fetching.TRIES


def test_no_connection_is_a_sentence_with_the_address(tmp_path):
    with pytest.raises(Unreachable, match=r"'x' could not be downloaded from http://127.0.0.1:9/x"):
        fetch(Remote(url="http://127.0.0.1:9/x", name="x"), tmp_path / "x", wait_s=0)


def test_only_http_addresses_are_opened(tmp_path):
    with pytest.raises(SetupError, match=r"not an http or https address"):
        fetch(Remote(url="file:///etc/hostname", name="x"), tmp_path / "x", wait_s=0)


def test_a_full_disk_says_so_and_leaves_no_file(site, tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(fetching.os, "fsync", full)
    with pytest.raises(SetupError, match=r"the disk is full.*CPUT_HOME"):
        fetch(remote(site), tmp_path / "x", wait_s=0)
    assert not (tmp_path / "x").exists()


def test_progress_ends_at_the_whole_size(site, tmp_path):
    seen = []
    fetch(remote(site), tmp_path / "x", lambda *report: seen.append(report), wait_s=0)
    assert seen[-1] == ("x.bin", len(BODY), len(BODY))
