"""The user's files: always private, never behind a symbolic link, never another user's."""

import grp
import os
import pwd
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.attacks import LISTED_SECRET

from unispawner.agent import files
from unispawner.agent.files import StateDir, read_private, write_private
from unispawner.errors import AgentError

FALSE_FILE = pytest.mark.threat(
    who="other user",
    tries="They put a link or a file of theirs in the place of a private file or folder.",
    stopped_by="Files are made anew and opened without following links.",
)
FOLDER_ABOVE = pytest.mark.threat(
    who="other user",
    tries="They own, or can change, a folder above the user's private files.",
    stopped_by="Every folder and link on the way is checked, at its own place, before each"
    " use; only root and the user may be able to change it.",
)

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


@pytest.mark.threat(**LISTED_SECRET)
def test_files_are_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    """Directories have mode 0700 and files 0600, whatever the umask is."""
    state = StateDir.open(str(tmp_path / "state"))
    directory = state.create_job(MARK, "export A=1\n")
    assert [0o700] * 4 == [mode(p) for p in (state.path, *state.path.iterdir(), directory)]
    assert 0o600 == mode(directory / "environment")
    assert 0o600 == mode(state.log(MARK))
    assert "export A=1\n" == (directory / "environment").read_text()


def test_directories_that_were_open_are_closed(tmp_path: Path) -> None:
    """A directory that the user made with mode 0755 gets mode 0700."""
    for path in (tmp_path / "state", tmp_path / "state" / "jobs"):
        path.mkdir(mode=0o755)
    state = StateDir.open(str(tmp_path / "state"))
    assert (0o700, 0o700) == (mode(state.path), mode(state.path / "jobs"))


def test_parents_are_made(tmp_path: Path) -> None:
    """Missing parent directories of state_dir are created."""
    assert StateDir.open(str(tmp_path / "a" / "b" / "c")).path.is_dir()


def test_the_home_may_be_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``~`` is the home, and symbolic links above the state directory are followed."""
    (tmp_path / "real").mkdir()
    (tmp_path / "home").symlink_to("real")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert tmp_path / "home" / ".unispawner" == StateDir.open("~/.unispawner").path
    assert (tmp_path / "real" / ".unispawner" / "jobs").is_dir()


@pytest.mark.parametrize("text", ["", "relative", "./x", "$HOME/x"])
def test_a_relative_path_is_refused(text: str) -> None:
    """A relative path is refused, because the agent's current directory has no meaning."""
    with pytest.raises(AgentError, match="^state_dir: "):
        StateDir.open(text)


@FALSE_FILE
@pytest.mark.parametrize("name", ["", "jobs", "logs"])
def test_a_directory_that_is_a_link_is_refused(tmp_path: Path, name: str) -> None:
    """A symbolic link in place of a directory is refused, and nothing is created behind it."""
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
    """A dangling link or a file in place of a directory is refused."""
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "file", "fifo", "file/below"):
        with pytest.raises(AgentError, match="c.UniSpawner.state_dir"):
            StateDir.open(str(tmp_path / name))
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.skipif(os.getuid() == 0, reason="root owns everything here; see test_as_root.py")
def test_somebody_elses_directory_is_refused() -> None:
    """Another user's directory is refused: its owner could read its files."""
    with pytest.raises(AgentError, match="belongs to uid 0"):
        StateDir.open("/usr")


def test_a_job_is_never_made_over_another(tmp_path: Path) -> None:
    """An existing directory, file or link is an error when a job's directory is created."""
    state = StateDir.open(str(tmp_path))
    state.create_job(MARK, "")
    with pytest.raises(FileExistsError):
        state.create_job(MARK, "")
    (tmp_path / "target").mkdir()
    state.job("f" * 16).symlink_to(tmp_path / "target")
    with pytest.raises(FileExistsError):
        state.create_job("f" * 16, "secret")
    assert [] == list((tmp_path / "target").iterdir())


@FALSE_FILE
def test_a_log_that_is_a_link_is_not_written(tmp_path: Path) -> None:
    """A log that is a symbolic link is not written, and neither is its target."""
    state = StateDir.open(str(tmp_path))
    (tmp_path / "victim").write_text("untouched")
    state.log(MARK).symlink_to(tmp_path / "victim")
    with pytest.raises(FileExistsError):
        state.create_job(MARK, "")
    assert "untouched" == (tmp_path / "victim").read_text()


@FALSE_FILE
def test_private_files_are_made_anew_only(tmp_path: Path) -> None:
    """write_private follows no link, and refuses an existing file."""
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "old").write_text("")
    for name in ("link", "old"):
        with pytest.raises(FileExistsError):
            write_private(tmp_path / name, "secret")
    assert not (tmp_path / "target").exists()


def test_private_files_are_read_without_following_links(tmp_path: Path) -> None:
    """read_private returns nothing for links and unreadable files, and the beginning of long
    ones.
    """
    (tmp_path / "real").write_text("123")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "long").write_text("x" * 10_000)
    got = [read_private(tmp_path / name) for name in ("real", "link", "none", "long")]
    assert ["123", "", "", "x" * 4096] == got
    os.mkfifo(tmp_path / "pipe")
    assert "" == read_private(tmp_path / "pipe")


def test_a_directory_is_no_private_file(tmp_path: Path) -> None:
    """read_private returns nothing for a directory, so that the sweep does not fail."""
    assert "" == read_private(tmp_path)


# -- removal ------------------------------------------------------------------------------------


def test_removal_takes_the_secrets_and_leaves_the_log(tmp_path: Path) -> None:
    """Removing a job removes its secrets and keeps its log; it follows no link, and may be
    repeated.
    """
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
    """The twenty logs that were written last are kept; other files are not touched."""
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
    """The log of a job that still has a directory is kept, however old it is."""
    state = StateDir.open(str(tmp_path))
    state.create_job(MARK, "")
    os.utime(state.log(MARK), (1, 1))
    for name in marks(files.LOGS_KEPT + 1):
        state.create_job(name, "")
        state.remove_job(name)
    assert state.log(MARK).exists()


def test_old_jobs_are_found(tmp_path: Path) -> None:
    """Old jobs are found by the age of their directories; other files there are ignored."""
    state = StateDir.open(str(tmp_path))
    (state.path / "jobs" / "mine").mkdir()
    os.utime(state.path / "jobs" / "mine", (1, 1))
    for name in marks(3):
        state.create_job(name, "")
    os.utime(state.job(marks(3)[1]), (1, 1))
    assert [state.job(marks(3)[1])] == list(state.old_jobs(600))


def test_a_job_that_vanishes_meanwhile_is_no_error(tmp_path: Path) -> None:
    """A directory that another agent removes at the same time is not an error."""
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


def test_the_last_lines_of_a_log(state: StateDir) -> None:
    """A log's tail has as many lines as asked for, or fewer if there are fewer."""
    state.log(MARK).write_text("".join(f"line {i}\n" for i in range(100)))
    assert ("line 97\nline 98\nline 99", 790) == state.tail(MARK, 3)
    assert 100 == len(state.tail(MARK, 1000)[0].splitlines())


def test_a_long_log_is_not_read_whole(state: StateDir) -> None:
    """At most TAIL_BYTES of a log are read, even if that is one line."""
    with state.log(MARK).open("wb") as log:
        log.truncate(10**9)  # a sparse file
        log.seek(0, os.SEEK_END)
        log.write(b"x" * files.TAIL_BYTES + b"the end")
    assert files.TAIL_BYTES == len(state.tail(MARK, 10)[0])
    assert state.tail(MARK, 10)[0].endswith("the end")


def test_bytes_that_are_no_text(state: StateDir) -> None:
    """Bytes in a log that are not text are replaced."""
    state.log(MARK).write_bytes(b"\xff\xfe\0 ok\n")
    assert state.tail(MARK, 1)[0].endswith(" ok")
    state.tail(MARK, 1)[0].encode()


@pytest.mark.parametrize("kind", ["link", "fifo", "missing"])
def test_a_log_that_is_no_file(state: StateDir, tmp_path: Path, kind: str) -> None:
    """A log that is a pipe or a link reads as empty, without waiting and without following it."""
    log = state.log(MARK)
    log.unlink()
    if kind == "link":
        (tmp_path / "secret").write_text("secret")
        log.symlink_to(tmp_path / "secret")
    elif kind == "fifo":
        os.mkfifo(log)
    assert ("", 0) == state.tail(MARK, 5)


# -- above ---------------------------------------------------------------------------------------


@FOLDER_ABOVE
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
    """A directory in which others could rename the user's is refused.

    A group that has the user's name has no other members, and so may have write access.
    """
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


# -- other places -------------------------------------------------------------------------------


def test_logs_in_a_folder_of_their_own(tmp_path: Path) -> None:
    """log_dir is made for its user; what else is in it is neither removed nor hidden."""
    logs = tmp_path / "a" / "logs"
    state = StateDir.open(str(tmp_path / "state"), log_dir=str(logs), logs_kept=2)
    (logs / "mine.log").write_text("")
    for number, name in enumerate(marks(5)):
        state.create_job(name, "")
        state.remove_job(name)
        os.utime(state.log(name), (number, number))
    assert {"mine.log", *(f"{name}.log" for name in marks(5)[-2:])} <= {
        path.name for path in logs.iterdir()
    }
    assert 4 >= len(list(logs.iterdir()))
    assert not (tmp_path / "state" / "logs").exists()
    assert 0o700 == stat.S_IMODE(logs.stat().st_mode)


def test_a_log_folder_that_others_may_read_stays_so(tmp_path: Path) -> None:
    """A user may let others read the folder of logs, but not write into it."""
    logs = tmp_path / "logs"
    for before, after in ((0o755, 0o755), (0o777, 0o700)):
        logs.mkdir(exist_ok=True)
        logs.chmod(before)
        StateDir.open(str(tmp_path / "state"), log_dir=str(logs))
        assert after == stat.S_IMODE(logs.stat().st_mode)


def test_a_log_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """A folder for logs that belongs to somebody else is refused; the error names the setting."""
    folder = Path("/usr")
    if os.getuid() == 0:  # /usr is root's own
        folder = tmp_path / "logs"
        folder.mkdir()
        os.chown(folder, 1, -1)
    with pytest.raises(AgentError, match=rf"log_dir: {folder} belongs to uid [01]\b"):
        StateDir.open(str(tmp_path / "state"), log_dir=str(folder))


@FOLDER_ABOVE
def test_a_parent_that_a_group_may_change_needs_trust(tmp_path: Path) -> None:
    """A directory above that others may change is refused, unless the administrator trusts it."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    path = str(shared / "own" / "state")
    with pytest.raises(AgentError, match=r"c\.UniSpawner\.trusted_parents"):
        StateDir.open(path)
    assert not (shared / "own").exists()
    with pytest.raises(AgentError):
        StateDir.open(path, trusted_parents=[str(tmp_path)])
    assert Path(path) == StateDir.open(path, trusted_parents=[str(shared)]).path


@FOLDER_ABOVE
def test_a_link_on_the_way_is_checked_at_its_own_place(tmp_path: Path) -> None:
    """A link in a directory that others may change is refused, although its target is safe."""
    (tmp_path / "home").mkdir()
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "ada").symlink_to(tmp_path / "home")
    StateDir.open(str(shared / "ada" / "state"))
    shared.chmod(0o777)
    with pytest.raises(AgentError, match="shared can be changed by others"):
        StateDir.open(str(shared / "ada" / "state"))
    (tmp_path / "way").symlink_to(shared / "ada")  # the link behind the link counts, too
    with pytest.raises(AgentError, match="shared can be changed by others"):
        StateDir.open(str(tmp_path / "way" / "state"))


@FOLDER_ABOVE
def test_a_link_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link in a sticky directory may belong to another user, who can let it point elsewhere."""
    (tmp_path / "home").mkdir()
    link = tmp_path / "ada"
    link.symlink_to(tmp_path / "home")
    real = Path.lstat

    def lstat(path: Path) -> os.stat_result:
        found = real(path)
        if path != link:
            return found
        return os.stat_result((*found[:4], os.getuid() + 1, *found[5:]))

    monkeypatch.setattr(Path, "lstat", lstat)
    with pytest.raises(AgentError, match="is a link that belongs to uid"):
        StateDir.open(str(link / "state"))
    StateDir.open(str(link / "state"), trusted_parents=[str(link)])


def test_links_in_a_circle_are_an_error(tmp_path: Path) -> None:
    """Links that lead to each other end in an error, and not in an endless search."""
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(AgentError, match="Too many levels of symbolic links"):
        StateDir.open(str(tmp_path / "a" / "state"))
