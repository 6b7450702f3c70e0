"""What the agent finds wrong with a path that its user has typed."""

from __future__ import annotations

import os
import pwd
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unispawner.agent import paths
from unispawner.agent.paths import Trusted, check_path, find_problem
from unispawner.errors import AgentError

ME = pwd.getpwuid(os.getuid())
NOBODY = {"problem": "", "where": "", "what": ""}
OTHER_UID = 64000 if ME.pw_uid != 64000 else 64001
THREAT = pytest.mark.threat(
    who="other user",
    tries="They let a path that somebody types lead to files that they can change.",
    stopped_by="The agent looks at each folder and link on the way: all must belong to the user, "
    "root or trusted accounts, and nobody else may be able to change them.",
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder of the user's; the folders above it belong to root or to the user."""
    found = tmp_path / "place"
    found.mkdir(mode=0o755)
    return found


def look(path: Path | str, kind: str = "directory", **trust: list[str]) -> dict[str, Any]:
    request = {"path": str(path), "kind": kind, "owners": [], "groups": [], **trust}
    return check_path(request, ME)


def test_what_is_right(place: Path) -> None:
    """A folder and a file of the user's are right, also behind links of the user's, and so is what
    is root's."""
    file = place / "image.sif"
    file.write_text("")
    file.chmod(0o644)
    (place / "link").symlink_to("../place")
    (place / "absolute").symlink_to(file)
    assert NOBODY == look(place)
    assert NOBODY == look(f"{place}/")
    assert NOBODY == look(f"{place}/./link")
    assert NOBODY == look(file, "file")
    assert NOBODY == look(place / "link" / "absolute", "file")
    assert NOBODY == look("/usr")


def test_what_is_not_there(place: Path) -> None:
    """What is missing is named, and so is a file where a folder has to be."""
    (place / "file").write_text("")
    (place / "file").chmod(0o644)
    (place / "dangling").symlink_to("nowhere")
    assert {"problem": "missing", "where": f"{place}/none", "what": ""} == look(place / "none/x")
    assert f"{place}/nowhere" == look(place / "dangling")["where"]
    assert {"problem": "kind", "where": f"{place}/file", "what": "file"} == look(place / "file/x")
    assert ("kind", "directory") == (look(place, "file")["problem"], look(place, "file")["what"])
    assert "missing" == look(place / ("x" * 200))["problem"]
    assert "error" == look(place / ("x" * 300))["problem"]  # the name is too long


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


@pytest.mark.threat(
    who="user",
    tries="They type the path of a named pipe or a device, so that whoever opens it waits.",
    stopped_by="The agent opens nothing, and only a regular file or a folder is accepted.",
)
@pytest.mark.parametrize("kind", ["file", "directory"])
@pytest.mark.parametrize(("make", "what"), [(make_pipe, "pipe"), (make_socket, "socket")])
def test_what_could_hang(
    tmp_path: Path, kind: str, make: Callable[[Path], None], what: str
) -> None:
    """A named pipe, a socket and a device are refused and not opened."""
    path = tmp_path / "x"
    make(path)
    assert {"problem": "kind", "where": str(path), "what": what} == look(path, kind)
    (tmp_path / "link").symlink_to(path)
    assert what == look(tmp_path / "link", kind)["what"]
    assert "device" == look("/dev/null", kind)["what"]


def test_links_in_a_circle(place: Path) -> None:
    """Links that lead to themselves end the look."""
    (place / "a").symlink_to("b")
    (place / "b").symlink_to("a")
    assert "links" == look(place / "a")["problem"]


@THREAT
def test_what_others_can_change(place: Path) -> None:
    """A folder or a file that others can change is refused, and so is everything below it."""
    below = place / "below"
    below.mkdir(mode=0o755)
    for mode in (0o757, 0o777):
        place.chmod(mode)
        assert {"problem": "writable", "where": str(place), "what": ""} == look(below)
        assert "writable" == look(place)["problem"]
    place.chmod(0o755)
    below.chmod(0o757)
    assert str(below) == look(below)["where"]
    below.chmod(0o1777)  # others could still put files there
    assert "writable" == look(below)["problem"]


@THREAT
def test_a_folder_for_everybody(place: Path) -> None:
    """Things in a folder such as /tmp are right if they are the user's, but the folder is not."""
    assert NOBODY == look(place)
    assert {"problem": "writable", "where": "/tmp", "what": ""} == look("/tmp")


@THREAT
def test_what_a_group_can_change(place: Path) -> None:
    """What a group can change is refused, unless the group has the user's own name or is one that
    the administrator trusts."""
    place.chmod(0o775)
    group = place.stat().st_gid
    trusted = Trusted({0, ME.pw_uid}, {0}, set())
    expected = "" if group == 0 else "writable"
    assert expected == find_problem(str(place), "directory", trusted)["problem"]
    trusted.gids.add(group)
    assert "" == find_problem(str(place), "directory", trusted)["problem"]
    trusted.gids = {group + 1}
    found = find_problem(str(place), "directory", trusted)
    assert ("writable", str(place)) == (found["problem"], found["where"])


@THREAT
def test_what_is_somebody_elses(place: Path) -> None:
    """What belongs to neither the user nor root is refused, and so is a link; an account or the
    members of a group can be trusted with it."""
    (place / "link").symlink_to("/usr")
    stranger = Trusted({0}, {0}, set()) if ME.pw_uid else Trusted({1}, {0}, set())
    found = find_problem(str(place / "link"), "directory", stranger)
    assert "owner" == found["problem"]
    trusted = Trusted({0}, {0}, {ME.pw_gid})
    assert "" == find_problem(str(place), "directory", trusted)["problem"]
    read = Trusted.read(ME, {"owners": ["root", "no such account"], "groups": ["no such group"]})
    assert {0, ME.pw_uid} == read.uids
    assert set() == read.groups


@pytest.mark.skipif(not os.getuid(), reason="root may read everything")
def test_what_the_user_may_not_read(place: Path) -> None:
    """A file or a folder that the user may not read is refused."""
    below = place / "below"
    below.mkdir(mode=0o755)
    below.chmod(0o300)
    assert "denied" == look(below)["problem"]
    place.chmod(0o600)
    assert "denied" == look(below)["problem"]
    place.chmod(0o755)


@pytest.mark.parametrize("path", ["relative", "/a/../b", "~/x", "", "/..", "/a\0b"])
def test_what_is_no_path(path: str) -> None:
    """A path that is not absolute, or has "..", is an error: the Hub would not have sent it."""
    with pytest.raises(AgentError, match="must be an absolute path"):
        look(path)


@pytest.mark.threat(
    who="user",
    tries="They type a path on a file system that does not answer.",
    stopped_by="A process of its own looks, and after some seconds nobody waits for it.",
)
def test_a_file_system_that_hangs(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the file system does not answer, the look ends all the same, and says so."""
    monkeypatch.setattr(paths, "PATIENCE", 0.2)
    monkeypatch.setattr(paths, "find_problem", lambda *_: time.sleep(30))
    assert {"problem": "hangs", "where": str(place), "what": ""} == look(place)
    os.wait()


def test_a_look_without_an_answer(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ends without an answer is an error."""
    monkeypatch.setattr(paths, "find_problem", lambda *_: os._exit(3))
    with pytest.raises(AgentError, match="ended without an answer"):
        look(place)
