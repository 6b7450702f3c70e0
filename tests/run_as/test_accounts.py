"""Accounts: how they are looked up, which may run servers, and which names are refused."""

import asyncio
import pwd
import time
from typing import Any

import pytest
from support.accounts import ordinary_account

from unispawner.errors import AgentError
from unispawner.run_as.accounts import Account, find_account
from unispawner.submit_host import entries

ODD_NAME = pytest.mark.threat(
    who="user",
    tries="They log in under a name that sudo reads as a uid or an option, such as `#0`.",
    stopped_by="Accounts come from getpwnam, and a name that sudo could misread is refused.",
)
LOW_UID = pytest.mark.threat(
    who="user",
    tries="They log in under a name whose account is root or a system account.",
    stopped_by="Uid 0 and uids below min_uid are refused on both sides.",
)


def entry(name: str, uid: int) -> pwd.struct_passwd:
    return pwd.struct_passwd((name, "x", uid, uid, "", f"/home/{name}", "/bin/sh"))


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch) -> dict[str, pwd.struct_passwd]:
    """A directory service whose entries a test sets."""
    entries: dict[str, pwd.struct_passwd] = {}
    monkeypatch.setattr(pwd, "getpwnam", entries.__getitem__)
    return entries


async def test_an_account_is_found() -> None:
    """An account of this host is found with its uid and home."""
    found = ordinary_account()
    expected = Account(found.pw_name, found.pw_uid, found.pw_dir)
    assert expected == await find_account(found.pw_name, 1000)


@ODD_NAME
@pytest.mark.parametrize("name", ["#0", "#1001", "-x", "", "no such", "a\nb", "a\0b", "%wheel"])
async def test_no_such_account(name: str) -> None:
    """A name that does not exist is refused, also one that sudo reads as a uid or an option."""
    with pytest.raises(AgentError, match="There is no account") as caught:
        await find_account(name, 1000)
    assert "c.UniSpawner.account_name" in caught.value.message
    assert repr(name) in caught.value.message


@pytest.mark.parametrize("name", ["\udcff", "x" * 10_000])
async def test_names_that_no_directory_takes(name: str) -> None:
    """A name that getpwnam itself rejects is an unknown account, not a crash."""
    with pytest.raises(AgentError, match="There is no account"):
        await find_account(name, 1000)


@ODD_NAME
@pytest.mark.parametrize(
    "name",
    [
        "#0",
        "#1001",
        "-x",
        "--",
        "%wheel",
        "+x",
        "1001",
        "007",
        " a",
        "a ",
        "a\\",
        "a\nb",
        "ünï",
        "",
        "!x",
    ],
)
async def test_names_that_sudo_would_misread(
    directory: dict[str, pwd.struct_passwd], name: str
) -> None:
    """A name that sudo could misread is refused, even if the directory service knows it."""
    directory["asked"] = entry(name, 2000)
    with pytest.raises(AgentError, match="can't be used"):
        await find_account("asked", 1000)


@pytest.mark.parametrize(
    "name",
    [
        *("ada", "ada.lovelace", "EXAMPLE\\ada", "ada@example.org", "_a-1$"),
        *("EXAMPLE+ada", "ada lovelace", "EXAMPLE\\ada lovelace", "x" * 256),
    ],
)
async def test_names_as_directories_spell_them(
    directory: dict[str, pwd.struct_passwd], name: str
) -> None:
    """The account has its name as the directory service spells it."""
    directory["Asked"] = entry(name, 2000)
    assert Account(name, 2000, f"/home/{name}") == await find_account("Asked", 1000)


@LOW_UID
async def test_root_is_refused(directory: dict[str, pwd.struct_passwd]) -> None:
    """Uid 0 is refused under every name and with every lower bound."""
    for min_uid in (1000, 1, 0, -1):
        with pytest.raises(AgentError, match="uid 0"):
            directory["toor"] = entry("toor", 0)
            await find_account("toor", min_uid)


async def test_the_real_root_is_refused() -> None:
    """The root account of this host is refused."""
    with pytest.raises(AgentError, match="root has uid 0"):
        await find_account("root", 1)


@LOW_UID
async def test_uids_below_the_lowest_are_refused(
    directory: dict[str, pwd.struct_passwd],
) -> None:
    """An account below min_uid is refused; the one at min_uid is not."""
    directory.update(daemon=entry("daemon", 999), ada=entry("ada", 1000))
    with pytest.raises(AgentError, match="min_uid = 1000"):
        await find_account("daemon", 1000)
    assert 1000 == (await find_account("ada", 1000)).uid


async def test_a_slow_directory_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow directory service ends the look-up with an error that names the cause."""

    def slow(name: str) -> Any:
        time.sleep(0.3)
        raise KeyError

    monkeypatch.setattr(entries, "LOOKUP_TIMEOUT", 0.05)
    monkeypatch.setattr(pwd, "getpwnam", slow)
    with pytest.raises(AgentError, match="directory service may be slow"):
        await find_account("ada", 1000)


async def test_a_fast_directory_takes_no_turn_of_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A directory service that answers at once is waited for, because the event loop of a busy Hub
    may come back only after seconds; the look-up after a slow one is not waited for."""
    monkeypatch.setattr(entries, "LOOP_WAIT", 10.0)
    monkeypatch.setattr(entries._Directory, "slow", False)  # another test may have left it
    monkeypatch.setattr(pwd, "getpwnam", lambda name: entry(name, 2000))
    turns: list[str] = []
    asyncio.get_running_loop().call_soon(turns.append, "turn")
    await find_account("ada", 1000)
    assert [] == turns

    monkeypatch.setattr(entries, "SLOW", -1.0)
    await find_account("ada", 1000)
    assert [] == turns
    await find_account("ada", 1000)
    assert ["turn"] == turns
    monkeypatch.setattr(entries, "SLOW", 10.0)
    await find_account("ada", 1000)
    assert not entries._Directory.slow


async def test_the_lookup_is_off_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look-up runs in another thread than the event loop."""
    import threading

    threads = []

    def note(name: str) -> Any:
        threads.append(threading.current_thread())
        return entry("ada", 2000)

    monkeypatch.setattr(pwd, "getpwnam", note)
    await find_account("ada", 1000)
    assert [threading.main_thread()] != threads


async def test_a_name_that_the_directory_spells_otherwise(
    directory: dict[str, pwd.struct_passwd],
) -> None:
    """With same_name, an account of another name is refused; upper and lower case do not count."""
    ada = entry("ada", 4000)
    directory.update({"ada": ada, "Ada": ada, "ada@other.example": ada})
    assert "ada" == (await find_account("Ada", 1000, same_name=True)).name
    assert "ada" == (await find_account("ada@other.example", 1000)).name
    with pytest.raises(AgentError, match=r"'ada@other\.example' as 'ada'.*account_name"):
        await find_account("ada@other.example", 1000, same_name=True)
