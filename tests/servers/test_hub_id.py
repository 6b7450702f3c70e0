"""The Hub's id: its file, its setting, and the marks that have it."""

from __future__ import annotations

import multiprocessing
import os
import re
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.hub_app import FakeSpawner, hub_app, starting_server
from traitlets import TraitError
from traitlets.config import Config

from unispawner import ProfilesSpawner, SlurmSpawner, UniSpawner
from unispawner.errors import InvalidJobError
from unispawner.job import HUB_ID
from unispawner.servers.hub_id import (
    FILE,
    configured_hub_id,
    find_path,
    hub_id_of,
    make_hub_id,
    read_hub_id,
    set_up,
)

HUB = pytest.mark.filterwarnings("ignore:The `version` property of an event schema")


def test_the_file_is_beside_the_cookie_secret(tmp_path: Path) -> None:
    """The file with the Hub's id is in the folder of c.JupyterHub.cookie_secret_file."""
    assert tmp_path / FILE == find_path(f"{tmp_path}/secret")
    assert Path.cwd() / FILE == find_path("jupyterhub_cookie_secret")
    assert Path.home() / FILE == find_path("~/secret")


def test_the_id_is_made_once(tmp_path: Path) -> None:
    """The first Hub makes an id that only its own account can change; it stays as it is."""
    path = tmp_path / FILE
    assert "" == read_hub_id(path)
    made = make_hub_id(path)
    assert re.fullmatch(HUB_ID, made)
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert made == make_hub_id(path) == read_hub_id(path)
    assert [FILE] == os.listdir(tmp_path)


def _make(path: Path, begin: Any, found: Any) -> None:
    begin.wait()
    found.put(make_hub_id(path))


def test_two_hubs_that_start_at_once_have_the_same_id(tmp_path: Path) -> None:
    """Of several processes that make the file at the same time all get one id, and a whole one."""
    context = multiprocessing.get_context("fork")
    begin, found = context.Barrier(8), context.SimpleQueue()
    arguments = (tmp_path / FILE, begin, found)
    processes = [context.Process(target=_make, args=arguments) for _ in range(8)]
    for one in processes:
        one.start()
    ids = {found.get() for _ in processes}
    for one in processes:
        one.join()
    assert {read_hub_id(tmp_path / FILE)} == ids
    assert [FILE] == os.listdir(tmp_path)


@pytest.mark.parametrize("text", ["", "Prod\n", "a-b", "x" * 16, "é", "\0", "a b", "a" * 5000])
def test_a_file_with_something_else_is_refused(tmp_path: Path, text: str) -> None:
    """A file that holds no id is an error and is not replaced: the jobs have the id of before."""
    path = tmp_path / FILE
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(InvalidJobError, match=re.escape(str(path))):
        make_hub_id(path)
    assert text == path.read_text()


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_change_is_refused(tmp_path: Path, mode: int) -> None:
    """Whoever can change the id could have jobs of another Hub ended."""
    path = tmp_path / FILE
    make_hub_id(path)
    path.chmod(mode)
    with pytest.raises(InvalidJobError, match="chmod 600"):
        read_hub_id(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A folder or a FIFO in the place of the file is an error, and does not hang the Hub."""
    (tmp_path / "folder").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "fifo", 0o600)
    for name in ("folder", "fifo"):
        with pytest.raises(InvalidJobError, match="this must be a file"):
            read_hub_id(tmp_path / name)
    with pytest.raises(InvalidJobError, match="can't be written"):
        make_hub_id(tmp_path / "missing" / FILE)


@pytest.mark.parametrize("hub_id", ["Prod", "a-b", "a" * 16, "a b", "ü", "a\n"])
def test_an_odd_hub_id_is_refused(hub_id: str) -> None:
    """The setting takes 1 to 15 lower-case letters and digits: what every scheduler can carry."""
    with pytest.raises(TraitError, match="^hub_id: "):
        UniSpawner(hub_id=hub_id)


def test_which_setting_counts() -> None:
    """The setting of the Hub's own class counts, or of a class that it is made of, or UniSpawner's
    where that is the class of profiles."""
    config = Config()
    config.UniSpawner.hub_id = "prod"
    assert "prod" == configured_hub_id(FakeSpawner, config)
    assert "prod" == configured_hub_id(ProfilesSpawner, config)
    config.FakeSpawner.hub_id = "own"
    assert "own" == configured_hub_id(FakeSpawner, config)
    assert "" == configured_hub_id(FakeSpawner, Config())


@HUB
@pytest.mark.parametrize("configured", ["", "prod7"])
async def test_each_job_has_the_hubs_id(
    tmp_path: Path, configured: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server's job gets a mark with the Hub's id, which is in the file unless it is set."""
    config = Config()
    config.FakeSpawner.hub_id = configured
    async with hub_app(tmp_path, config) as hub, starting_server(hub, monkeypatch) as server:
        await server.submitted()
        hub_id = configured or read_hub_id(tmp_path / FILE)
        (mark,) = FakeSpawner.fake.marks
        assert mark == server.spawner.server_job.state.mark
        assert re.fullmatch(f"{hub_id}-[0-9a-f]{{16}}", mark)
        assert (not configured) == (tmp_path / FILE).exists()
        await server.spawner.stop()


@HUB
async def test_a_hub_without_a_file_works(tmp_path: Path) -> None:
    """If the file is wrong, the Hub starts, and its jobs have marks without an id."""
    (tmp_path / FILE).write_text("Wrong\n")
    (tmp_path / FILE).chmod(0o600)
    async with hub_app(tmp_path) as hub:
        assert "unispawner_hub_id" not in hub.app.tornado_settings


def test_a_legacy_class_needs_no_id(tmp_path: Path) -> None:
    """A Hub whose spawner is a legacy class makes no file: its jobs have no place for a mark."""
    settings: dict[str, Any] = {}
    hub = SimpleNamespace(
        spawner_class=SlurmSpawner,
        config=Config(),
        cookie_secret_file=str(tmp_path / "secret"),
        tornado_settings=settings,
    )
    set_up(hub)
    assert ({}, []) == (settings, os.listdir(tmp_path))
    hub.spawner_class = ProfilesSpawner
    set_up(hub)
    assert [FILE] == os.listdir(tmp_path)
    assert read_hub_id(tmp_path / FILE) == hub_id_of(settings)
