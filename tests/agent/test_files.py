"""The user's files: private whatever the umask, never through a link, never somebody else's."""

import grp
import os
import pwd
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from unispawner.agent import files
from unispawner.agent.files import StateDir, read_private, write_private
from unispawner.errors import AgentError

MARK = "0123456789abcdef"


@pytest.fixture(params=[0, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def marks(count: int) -> list[str]:
    return [f"{number:016x}" for number in range(count)]


def test_files_are_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    """Directories 0700, files 0600."""
    state = StateDir.open(str(tmp_path / "state"))
    directory = state.create_job(MARK, "export A=1\n")
    assert [0o700] * 4 == [mode(p) for p in (state.path, *state.path.iterdir(), directory)]
    assert 0o600 == mode(directory / "environment")
    assert 0o600 == mode(state.log(MARK))
    assert "export A=1\n" == (directory / "environment").read_text()


def test_directories_that_were_open_are_closed(tmp_path: Path) -> None:
    """One that the user made with mode 0755 earlier becomes 0700."""
    for path in (tmp_path / "state", tmp_path / "state" / "jobs"):
        path.mkdir(mode=0o755)
    state = StateDir.open(str(tmp_path / "state"))
    assert (0o700, 0o700) == (mode(state.path), mode(state.path / "jobs"))


def test_parents_are_made(tmp_path: Path) -> None:
    """A state_dir may lie deeper than what is there."""
    assert StateDir.open(str(tmp_path / "a" / "b" / "c")).path.is_dir()


def test_the_home_may_be_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``~`` is the home; links above the state directory are the administrator's business."""
    (tmp_path / "real").mkdir()
    (tmp_path / "home").symlink_to("real")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert tmp_path / "home" / ".unispawner" == StateDir.open("~/.unispawner").path
    assert (tmp_path / "real" / ".unispawner" / "jobs").is_dir()


@pytest.mark.parametrize("text", ["", "relative", "./x", "$HOME/x"])
def test_a_relative_path_is_refused(text: str) -> None:
    """The agent's current directory means nothing."""
    with pytest.raises(AgentError, match="^state_dir: "):
        StateDir.open(text)


@pytest.mark.parametrize("name", ["", "jobs", "logs"])
def test_a_directory_that_is_a_link_is_refused(tmp_path: Path, name: str) -> None:
    """Another user may have put it where ours is to be; nothing is made behind it."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    state = tmp_path / "state"
    if name:
        state.mkdir()
    (state / name if name else state).symlink_to(elsewhere)
    with pytest.raises(AgentError, match="c.UniSpawner.state_dir"):
        StateDir.open(str(state))
    assert ([], 0o755) == (list(elsewhere.iterdir()), mode(elsewhere))


def test_a_dangling_link_and_a_file_are_refused(tmp_path: Path) -> None:
    """Whatever is there instead of a directory."""
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "file", "fifo", "file/below"):
        with pytest.raises(AgentError, match="c.UniSpawner.state_dir"):
            StateDir.open(str(tmp_path / name))
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.skipif(os.getuid() == 0, reason="root owns everything here; see test_as_root.py")
def test_somebody_elses_directory_is_refused() -> None:
    """The owner of a directory could read what is put there."""
    with pytest.raises(AgentError, match="belongs to uid 0"):
        StateDir.open("/usr")


def test_a_job_is_never_made_over_another(tmp_path: Path) -> None:
    """A directory, a file or a link that is there already is an error."""
    state = StateDir.open(str(tmp_path))
    state.create_job(MARK, "")
    with pytest.raises(FileExistsError):
        state.create_job(MARK, "")
    (tmp_path / "target").mkdir()
    state.job("f" * 16).symlink_to(tmp_path / "target")
    with pytest.raises(FileExistsError):
        state.create_job("f" * 16, "secret")
    assert [] == list((tmp_path / "target").iterdir())


def test_a_log_that_is_a_link_is_not_written(tmp_path: Path) -> None:
    """Nor is what it points at."""
    state = StateDir.open(str(tmp_path))
    (tmp_path / "victim").write_text("untouched")
    state.log(MARK).symlink_to(tmp_path / "victim")
    with pytest.raises(FileExistsError):
        state.create_job(MARK, "")
    assert "untouched" == (tmp_path / "victim").read_text()


def test_private_files_are_made_anew_only(tmp_path: Path) -> None:
    """write_private follows no link and keeps no old mode."""
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "old").write_text("")
    for name in ("link", "old"):
        with pytest.raises(FileExistsError):
            write_private(tmp_path / name, "secret")
    assert not (tmp_path / "target").exists()


def test_private_files_are_read_without_following_links(tmp_path: Path) -> None:
    """And what can't be read, or is too long, is no error."""
    (tmp_path / "real").write_text("123")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "long").write_text("x" * 10_000)
    got = [read_private(tmp_path / name) for name in ("real", "link", "none", "long")]
    assert ["123", "", "", "x" * 4096] == got
    os.mkfifo(tmp_path / "pipe")
    assert "" == read_private(tmp_path / "pipe")


def test_a_directory_is_no_private_file(tmp_path: Path) -> None:
    """The sweep of old jobs reads what is there, and must not fail a submission."""
    assert "" == read_private(tmp_path)


# -- removal ------------------------------------------------------------------------------------


def test_removal_takes_the_secrets_and_leaves_the_log(tmp_path: Path) -> None:
    """And it follows no link; removing what is gone is fine."""
    state = StateDir.open(str(tmp_path / "state"))
    directory = state.create_job(MARK, "secret")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("")
    (directory / "link").symlink_to(tmp_path / "other")
    state.remove_job(MARK)
    state.remove_job(MARK)
    assert not directory.exists()
    assert state.log(MARK).exists()
    assert (tmp_path / "other" / "file").exists()


def test_the_last_twenty_logs_are_kept(tmp_path: Path) -> None:
    """By the time they were written last; other files are left alone."""
    state = StateDir.open(str(tmp_path))
    (tmp_path / "logs" / "notes.txt").write_text("")
    names = marks(files.LOGS_KEPT + 5)
    for age, name in enumerate(names):
        if state.log(name).exists():
            continue
        write_private(state.log(name), "")
        os.utime(state.log(name), (1000 + age, 1000 + age))
    state.create_job(MARK, "")
    kept = {*names[6:], MARK}
    assert files.LOGS_KEPT == len(kept)
    assert kept == {path.stem for path in (tmp_path / "logs").glob("*.log")}
    assert (tmp_path / "logs" / "notes.txt").exists()


def test_a_live_jobs_log_is_kept(tmp_path: Path) -> None:
    """A server may run for days and write little while others of its user come and go."""
    state = StateDir.open(str(tmp_path))
    state.create_job(MARK, "")
    os.utime(state.log(MARK), (1, 1))
    for name in marks(files.LOGS_KEPT + 1):
        state.create_job(name, "")
        state.remove_job(name)
    assert state.log(MARK).exists()


def test_old_jobs_are_found(tmp_path: Path) -> None:
    """By the age of their directories. What a user has put beside them is none, and stays."""
    state = StateDir.open(str(tmp_path))
    (state.path / "jobs" / "mine").mkdir()
    os.utime(state.path / "jobs" / "mine", (1, 1))
    for name in marks(3):
        state.create_job(name, "")
    os.utime(state.job(marks(3)[1]), (1, 1))
    assert [state.job(marks(3)[1])] == list(state.old_jobs(600))


def test_a_job_that_vanishes_meanwhile_is_no_error(tmp_path: Path) -> None:
    """Another agent of the user's may be removing one while this one looks."""
    state = StateDir.open(str(tmp_path))
    for name in marks(3):
        state.create_job(name, "")
        os.utime(state.job(name), (1, 1))
    found = state.old_jobs(600)
    first = next(found)
    for name in marks(3):
        if state.job(name) != first:
            shutil.rmtree(state.job(name))
    assert [] == list(found)


# -- the log's tail -----------------------------------------------------------------------------


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    found = StateDir.open(str(tmp_path))
    found.create_job(MARK, "")
    return found


def test_the_last_lines_are_told(state: StateDir) -> None:
    """No more than asked for; fewer if there are fewer."""
    state.log(MARK).write_text("".join(f"line {i}\n" for i in range(100)))
    assert "line 97\nline 98\nline 99" == state.tail(MARK, 3)
    assert 100 == len(state.tail(MARK, 1000).splitlines())


def test_a_long_log_is_not_read_whole(state: StateDir) -> None:
    """At most TAIL_BYTES, even if that is one line."""
    with state.log(MARK).open("wb") as log:
        log.truncate(10**9)  # a sparse file
        log.seek(0, os.SEEK_END)
        log.write(b"x" * files.TAIL_BYTES + b"the end")
    assert files.TAIL_BYTES == len(state.tail(MARK, 10))
    assert state.tail(MARK, 10).endswith("the end")


def test_bytes_that_are_no_text(state: StateDir) -> None:
    """A job may write what it likes."""
    state.log(MARK).write_bytes(b"\xff\xfe\0 ok\n")
    assert state.tail(MARK, 1).endswith(" ok")
    state.tail(MARK, 1).encode()


@pytest.mark.parametrize("kind", ["link", "fifo", "missing"])
def test_a_log_that_is_no_file(state: StateDir, tmp_path: Path, kind: str) -> None:
    """It is empty, and reading it doesn't hang and follows no link."""
    log = state.log(MARK)
    log.unlink()
    if kind == "link":
        (tmp_path / "secret").write_text("secret")
        log.symlink_to(tmp_path / "secret")
    elif kind == "fifo":
        os.mkfifo(log)
    assert "" == state.tail(MARK, 5)


# -- above ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bits", "group", "fits"),
    [
        (0o755, "staff", True),
        (0o700, "staff", True),
        (0o777, "", False),
        (0o775, "staff", False),
        (0o775, "", True),
    ],
)
def test_nobody_else_may_rename_what_is_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bits: int, group: str, fits: bool
) -> None:
    """Whoever can put a directory of their own in the place of ours has the job run what is in it;
    a group that has the user's name has no other members."""
    name = group or pwd.getpwuid(os.getuid()).pw_name
    entry = grp.struct_group((name, "x", 12345, []))
    monkeypatch.setattr(grp, "getgrgid", lambda gid: entry)
    above = tmp_path / "scratch"
    above.mkdir()
    above.chmod(bits)
    if os.getuid() == 0:
        os.chown(above, -1, 12345)  # root's own group counts as the user's
    if fits:
        assert above / "alice" == StateDir.open(str(above / "alice")).path
    else:
        with pytest.raises(AgentError, match=f"{above} can be changed by others"):
            StateDir.open(str(above / "alice"))
