"""Files of profiles: what they may hold, who may change them, and the lines of errors. No Hub."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

from unispawner import ProfilesSpawner
from unispawner.errors import InvalidJobError
from unispawner.profiles import file_content, profiles_file
from unispawner.profiles.file_places import FileError, Place
from unispawner.profiles.python_file import read_python
from unispawner.profiles.yaml_file import read_yaml
from unispawner.settings import detect

GOOD = """\
# the profiles
- display_name: GPU session
  slug: gpu
  config: {queue_name: gpu}
  options:
    memory: {max: 8G, default: 1G}
    duration:
      max: 24:00:00
      default: 08:00:00
    software:
      choices:
        1: {display_name: "Conda", override: {prologue: module load conda}}
        no: {display_name: "None", override: {prologue: ""}}
- [Here, here, jupyterhub.spawner.LocalProcessSpawner, {ip: 0.0.0.0}]
"""


@pytest.fixture(autouse=True)
def no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test begin without a file that this process has read."""
    monkeypatch.setattr(profiles_file, "_files", {})


def write(folder: Path, text: str, name: str = "profiles.yaml") -> str:
    file = folder / name
    file.write_text(text)
    file.chmod(0o644)
    return str(file)


def config_of(path: str, **more: Any) -> Config:
    config = Config({"UniSpawner": {"scheduler": "slurm"}})
    config.ProfilesSpawner = Config({"profiles_file": path, **more})
    return config


async def error_of(path: str, **more: Any) -> str:
    with pytest.raises(InvalidJobError) as caught:
        await ProfilesSpawner.check_config(config_of(path, **more))
    return caught.value.message


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("display_name: GPU", "displayname: GPU", "unknown key"),
        ("- display_name: GPU session\n  slug", "- slug", "display_name: this key is required"),
    ],
)
async def test_a_key_that_is_missing(tmp_path: Path, old: str, new: str, words: str) -> None:
    """The error is about the profile, not about a key of this name inside; and a misspelt key is
    named."""
    path = write(tmp_path, GOOD.replace(old, new))
    assert f"line 2, column 3: profiles[0] (gpu): {words}" in await error_of(path)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"run_as": "root"}, "The 'run_as' trait"),
        ({"resources": {"memory": "4 gigs"}}, "memory: '4 gigs'"),
    ],
)
async def test_a_fault_that_is_not_in_the_file(
    tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    """A wrong setting of c.UniSpawner is called that; no line of the file is blamed."""
    config = config_of(write(tmp_path, "- {display_name: A, slug: a}"))
    config.UniSpawner.update(settings)
    with pytest.raises(InvalidJobError) as caught:
        await ProfilesSpawner.check_config(config)
    assert f"c.UniSpawner, also without profiles: {words}" in caught.value.message


# -- YAML ---------------------------------------------------------------------------------------


def test_plain_values_are_what_they_look_like() -> None:
    """Times, dates, numbers with a zero in front, yes and no are text, and so is each key."""
    profiles, _ = read_yaml(
        "- {a: 24:00:00, b: 2024-01-31, c: 010, d: no, e: 4, f: 1.5, g: true, h: , i: ~, 1: x, "
        "on: y}"
    )
    expected = {
        "a": "24:00:00",
        "b": "2024-01-31",
        "c": "010",
        "d": "no",
        "e": 4,
        "f": 1.5,
        "g": True,
        "h": None,
        "i": None,
        "1": "x",
        "on": "y",
    }
    assert [expected] == profiles


def test_what_profiles_share() -> None:
    """Aliases and << work, a key of a profile's own counts more than a merged one, and keys with x-
    in front hold what is shared."""
    profiles, places = read_yaml(
        "x-all: &all\n  config: {account: ml}\n  description: D\n"
        "profiles:\n- <<: *all\n  display_name: A\n  description: Own\n"
        "- {<<: [*all], display_name: B}\n"
    )
    assert [
        {"config": {"account": "ml"}, "description": "Own", "display_name": "A"},
        {"config": {"account": "ml"}, "description": "D", "display_name": "B"},
    ] == profiles
    assert Place(7, 3) == places.of_parts[0, "description"]
    assert Place(2, 12) == places.of_parts[1, "config", "account"]


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("", "line 1", "there is nothing in it"),
        ("# only this\n", "line 1", "there is nothing in it"),
        ("- a: [1,\n", "line 2, column 1", "this is not YAML"),
        ("- a: 1\n\tb: 2", "line 2, column 1", "cannot start any token"),
        ("- a: 1\n  b: 2\n  a: 3", "line 3, column 3", "'a' is there twice; it is also in line 1"),
        ("- {a: {b: 1, 'b': 2}}", "line 1, column 14", "'b' is there twice"),
        ("- {'1': a, 1: b}", "line 1, column 12", "'1' is there twice"),
        ("- !!python/object/apply:os.system [id]", "line 1, column 3", "is not allowed"),
        ("- !!binary aGk=", "line 1, column 3", "!!binary is not allowed"),
        ("- a: !!int x", "line 1, column 6", "not of the kind !!int"),
        ("- a: 1" + 5000 * "0", "line 1, column 6", "not of the kind !!int"),
        ("&a [*a]", "line 1, column 1", "this refers to what it is in"),
        ("- &a {<<: *a}", "line 1, column 3", "this refers to what it is in"),
        ("- *nothing", "line 1, column 3", "undefined alias"),
        ("[" * 3000, "", "nested too deeply"),
        ("- a\x00", "line 1", "special characters"),
        ("- a\n---\n- b", "line 2, column 1", "another document"),
        ("text", "line 1, column 1", "must be a list of profiles"),
        ("profile: []", "line 1, column 1", "unknown key 'profile'"),
        ("profiles: {}", "line 1, column 11", "must be a list"),
        ("x-a: 1", "line 1", "'profiles' is missing"),
        ("- {? [a] : b}", "line 1, column 6", "a key must be text"),
    ],
)  # fmt: skip
def test_what_is_not_a_list_of_profiles(text: str, place: str, words: str) -> None:
    """The error says what is wrong, and names line and column."""
    with pytest.raises(FileError) as caught:
        read_yaml(text)
    assert place == str(caught.value.place)
    assert words in caught.value.message


def test_aliases_of_aliases_end() -> None:
    """A few lines that would stand for millions of parts are refused at once."""
    text = "x-0: &x0 [a, a, a, a, a, a, a, a, a, a]\n" + "".join(
        f"x-{one}: &x{one} [{', '.join([f'*x{one - 1}'] * 10)}]\n" for one in range(1, 10)
    )
    with pytest.raises(FileError, match="more than 100000 parts"):
        read_yaml(f"{text}profiles: [*x9]")


# -- Python -------------------------------------------------------------------------------------


def test_merges_of_merges_end() -> None:
    """What is merged again and again counts each time, also if nothing comes of it."""
    lines = ["x-a0: &a0 {cores: 1}"]
    lines += [f"x-a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 25)]
    with pytest.raises(FileError, match="there are more than 100000 parts"):
        read_yaml("\n".join([*lines, "profiles:", "- <<: *a24"]))


def test_a_file_in_python() -> None:
    """It sets the variable profiles; the places of what it writes down are known, also behind
    names."""
    text = (
        "import os\n\nGPU = {\n    'display_name': 'GPU',\n"
        "    'config': dict(\n        queue='x'),\n}\n"
        "profiles = [\n    ('Here', 'here', 'a.B', {'ip': os.sep}),\n    GPU,\n]\n"
    )
    profiles, places = read_python(text, "/p.py")
    assert ["here", "x"] == [profiles[0][1], profiles[1]["config"]["queue"]]
    assert Place(9, 30) == places.of_parts[0, "config", "ip"]
    assert Place(3, 7) == places.of_parts[(1,)]
    assert 6 == places.of_parts[1, "config", "queue"].line
    assert Place(8, 1) == places.whole


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("profiles = [\n  1 2]", "line 2, column 3", "this is not Python"),
        ("x = 1\nprofiles = [y]", "line 2", "NameError: name 'y' is not defined"),
        ("def f():\n  1 / 0\nprofiles = 1\nf()", "line 2", "ZeroDivisionError"),
        ("import sys\nsys.exit(3)", "line 2", "SystemExit: 3"),
        ("x = 1", "", "it sets no variable 'profiles'"),
        ("x = 1\nprofiles = 5", "line 2, column 1", "must be a list, or a function"),
        ("profiles = '\x00'", "", "this is not Python"),
    ],
)
def test_code_that_is_wrong(text: str, place: str, words: str) -> None:
    """The error says what is wrong, and names the line of the file."""
    with pytest.raises(FileError) as caught:
        read_python(text, "/p.py")
    assert words in caught.value.message
    if place:
        assert str(caught.value.place).startswith(place)


# -- the file -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "mode", "words"),
    [
        ("p.py", 0o664, "others than its owner may change the file (mode 0664): `chmod go-w"),
        ("p.py", 0o646, "others than its owner may change the file (mode 0646): `chmod go-w"),
        ("p.yaml", 0o646, "everybody may change the file (mode 0646): `chmod o-w"),
        ("p.yaml", 0o664, ""),
        ("p.py", 0o644, ""),
    ],
)
@pytest.mark.threat(
    who="other user",
    tries="They write code or commands into the file of profiles, which the Hub runs.",
    stopped_by="A file that others may change is refused, and so is one in Python whose folder "
    "others may change.",
)
def test_a_file_that_others_may_change(tmp_path: Path, name: str, mode: int, words: str) -> None:
    """A file in Python is its owner's alone. A group of administrators may write one in YAML."""
    tmp_path.chmod(0o755)
    path = write(tmp_path, "profiles = []", name)
    os.chmod(path, mode)
    try:
        file_content.open_and_read(path)
    except FileError as error:
        assert words
        assert words in error.message
    else:
        assert not words


@pytest.mark.parametrize("name", ["p.py", "p.yaml"])
def test_a_folder_that_others_may_change(tmp_path: Path, name: str) -> None:
    """Whoever may change the folder could put another file in its place: the folder in which the
    file is, and that of a link to it."""
    real, links = tmp_path / "real", tmp_path / "links"
    real.mkdir(mode=0o755)
    links.mkdir(mode=0o755)
    (links / name).symlink_to(write(real, "profiles = []", name))
    file_content.open_and_read(str(links / name))
    for folder in (real, links):
        folder.chmod(0o777)
        with pytest.raises(FileError, match=f"another file in its place .*{folder}"):
            file_content.open_and_read(str(links / name))
        folder.chmod(0o755)


def test_a_file_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code of an account that is neither root nor the Hub's is not run."""
    path = write(tmp_path, "profiles = []", "p.py")
    tmp_path.chmod(0o755)
    found = os.stat(path)
    other = os.stat_result((*found[:4], 4711, *found[5:10]))
    with pytest.raises(FileError, match="belongs to uid 4711"):
        file_content.check_access(path, other)


@pytest.mark.parametrize("name", ["p.py", "p.yaml"])
def test_a_file_in_a_folder_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """In a folder such as /tmp, anybody may have made the file, or the link to it."""
    path = write(tmp_path, "profiles = []", name)
    tmp_path.chmod(0o1777)
    file_content.open_and_read(path)
    found, lstat = os.stat(path), os.lstat
    other = os.stat_result((*found[:4], 4711, *found[5:10]))
    with pytest.raises(FileError, match="belongs to uid 4711"):
        file_content.check_access(path, other)
    monkeypatch.setattr(os, "lstat", lambda at: other if at == path else lstat(at))
    with pytest.raises(FileError, match="belongs to uid 4711"):
        file_content.check_access(path, found)


def test_what_is_not_a_file(tmp_path: Path) -> None:
    """A folder, a pipe that nobody writes, a device and an absent file are errors, at once."""
    os.mkfifo(tmp_path / "pipe.yaml", 0o644)
    for path, words in (
        (str(tmp_path), "can't be read|not a plain file"),
        (str(tmp_path / "pipe.yaml"), "not a plain file"),
        ("/dev/zero", "not a plain file"),
        (str(tmp_path / "absent.yaml"), "No such file or directory"),
        ("/\0", "can't be read"),
    ):
        with pytest.raises(FileError, match=words):
            file_content.open_and_read(path)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("p.yaml", b"- a\n- \xff", "line 2: this is not text in UTF-8"),
        ("p.yaml", b"[]", "line 1, column 1: there are no profiles; add one"),
        ("p.yaml", b"- a" * 400_000, "more than 1000000 bytes"),
        ("p.json", b"[]", "its name must end in .yaml, .yml or .py"),
        ("p.py", b"profiles = []", "line 1, column 1: there are no profiles"),
    ],
)
async def test_content_that_is_wrong(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    """The Hub does not start, and the error begins with the path."""
    tmp_path.chmod(0o755)
    path = write(tmp_path, "", name)
    Path(path).write_bytes(data)
    message = await error_of(path)
    assert message.startswith(path)
    assert words in message


async def test_a_file_system_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Hub's start does not wait for ever, and the error says what to do."""
    monkeypatch.setattr(profiles_file, "READ_SECONDS", 0.05)
    monkeypatch.setattr(profiles_file, "open_and_read", lambda *_: time.sleep(1))
    message = await error_of(write(tmp_path, GOOD))
    assert "does not answer" in message
    assert "keep the file on a disk of the Hub" in message


# -- the lines of what the check of profiles finds -------------------------------------------------


@pytest.fixture
def no_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask no scheduler: a machine may have its commands, and no cluster that answers them."""

    async def check(*_: object, **__: object) -> None:
        """Find nothing wrong."""

    monkeypatch.setattr(detect, "check", check)


@pytest.mark.usefixtures("no_question")
async def test_a_good_file_has_the_vocabulary_of_python(tmp_path: Path) -> None:
    """Each key, wrapspawner's form and the names of classes mean what they mean in the
    configuration."""
    path = write(tmp_path, GOOD)
    await ProfilesSpawner.check_config(config_of(path))
    spawner = ProfilesSpawner(config=config_of(path))
    gpu, here = spawner.offer.get()
    assert ["1", "no"] == list(gpu.options["software"].choices)
    assert 86400 == gpu.options["duration"].read("24:00:00").total_seconds()
    assert "jupyterhub.spawner.LocalProcessSpawner" == here.spawner
    assert 2 == len(spawner.profiles)


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("queue_name: gpu", "quene_name: gpu", 4, "did you mean queue_name?"),
        ("queue_name: gpu", "queue_name: 5", 4, "queue_name"),
        ("slug: gpu", "slug: gpu\n  sluk: x", 4, "unknown key 'sluk'"),
        ("{max: 8G,", "{mex: 8G,", 6, "unknown key 'mex'"),
        ("default: 1G", "default: 9G", 6, "must be at most 8G"),
        ("max: 24:00:00", "max: 24 o'clock", 8, "24 o'clock"),
        ("default: 08:00:00", "default: 99:00:00", 9, "must be at most"),
        ("display_name: GPU session", "display_name: 5", 2, "must be text"),
        ("slug: gpu", "slug: here", 14, "another profile has 'here'"),
        ("prologue: module load conda", "executable: x", 12, "executable"),
        ("jupyterhub.spawner.LocalProcessSpawner", "jupyterhub.spawner.Nobody", 14, "Nobody"),
        ("    memory: {max: 8G, default: 1G}", "    gpu_type: {default: a b}", 6, "gpu_type"),
    ],
)  # fmt: skip
async def test_the_line_of_what_is_wrong(
    tmp_path: Path, old: str, new: str, line: int, words: str
) -> None:
    """A misspelt name, a value beyond a bound and a class that does not exist are refused with
    their own line."""
    assert old in GOOD
    message = await error_of(path := write(tmp_path, GOOD.replace(old, new)))
    assert words in message
    assert message.startswith(f"{path}, line {line}, column "), message


async def test_what_the_scheduler_can_not_serve(tmp_path: Path) -> None:
    """A profile that asks for what the scheduler does not have is refused, with the line of it."""
    text = "- display_name: A\n- display_name: B\n  options:\n    qos: {default: high}\n"
    config = config_of(path := write(tmp_path, text))
    config.UniSpawner.scheduler = "htcondor"
    with pytest.raises(InvalidJobError) as caught:
        await ProfilesSpawner.check_config(config)
    assert caught.value.message.startswith(f"{path}, line 4, column 5: profile 'b': ")


async def test_the_line_in_python(tmp_path: Path) -> None:
    """In a file in Python, too, the line is named."""
    tmp_path.chmod(0o755)
    text = "profiles = [\n  {'display_name': 'A',\n   'config': {\n     'quene_name': 'x'}},\n]\n"
    message = await error_of(path := write(tmp_path, text, "p.py"))
    assert message.startswith(f"{path}, line 4, column 6: profile 'a': config: ")


async def test_both_settings(tmp_path: Path) -> None:
    """Profiles in the configuration and in a file are a contradiction that ends the Hub's start."""
    message = await error_of(write(tmp_path, GOOD), profiles=[{"display_name": "A"}])
    assert "c.ProfilesSpawner.profiles: this is set, and so is profiles_file" in message


async def test_without_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the setting nothing is watched, and SIGHUP does what it does today."""
    before = signal.getsignal(signal.SIGHUP)

    class TheHub:
        config = Config()

    ProfilesSpawner.set_up_hub(TheHub())
    assert {} == profiles_file._files
    assert before == signal.getsignal(signal.SIGHUP)


@pytest.mark.usefixtures("no_question")
async def test_the_example_of_the_documentation(tmp_path: Path) -> None:
    """The file in docs/profiles.md is right, and has the error that the page shows if a name in it
    is misspelt."""
    page = (Path(__file__).parents[2] / "docs" / "profiles.md").read_text(encoding="utf-8")
    example = page.partition("```yaml\n")[2].partition("```")[0]
    await ProfilesSpawner.check_config(config := config_of(path := write(tmp_path, example)))
    offered = ProfilesSpawner(config=config).offer.get_all_now()
    assert ["course", "gpu", "here"] == [one.slug for one in offered]
    assert {"queue_name": "short", "account": "teaching"} == offered[0].config
    wrong = example.replace("queue_name: gpu", "quene_name: gpu")
    shown = (await error_of(write(tmp_path, wrong))).replace(path, "/etc/jupyterhub/profiles.yaml")
    assert shown in " ".join(page.split())
