"""``unispawner doctor`` reports mail that can't be sent, and settings that contradict others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.doctor import Doctor

import unispawner

BASE = f"""
c.JupyterHub.spawner_class = "unispawner.ProfilesSpawner"
c.JupyterHub.hub_ip = "0.0.0.0"
c.JupyterHub.template_paths = [{unispawner.template_path!r}]
c.UniSpawner.scheduler = "local"
c.UniSpawner.run_as = "sudo"
c.UniSpawner.agent_python = "/bin/sh"
c.ProfilesSpawner.profiles = [{{"display_name": "One", "options": {{"duration": {{}}}}}}]
first = c.ProfilesSpawner.profiles[0]
"""
MAIL = """
c.JupyterHub.public_url = "https://hub.example.org/"
mail = c.UniSpawner.mail = {
    "host": "smtp.example.org", "from": "hub@example.org", "to": "{username}@example.org",
    "user": "hub", "password_file": PASSWORD,
}
"""


def line_of(lines: list[str], name: str) -> str:
    """Return what doctor says in the line of a check."""
    (line,) = [line for line in lines if line[8:].startswith(f"{name}:")]
    return line


def test_settings_without_a_contradiction(doctor: Doctor) -> None:
    """Nothing is reported of a usual configuration, and nothing of mail without mail."""
    status, lines = doctor(BASE)
    assert (0, "ok      settings: none contradicts another") == (status, line_of(lines, "settings"))
    assert not [line for line in lines if line[8:].startswith("mail")]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (
            "c.JupyterHub.allow_named_servers = True\n"
            "first.update(max_servers=2, max_servers_per_user=5)",
            "profile one: max_servers_per_user: 5 is more than max_servers, 2, so that nobody can",
        ),
        (
            "first.update(max_servers=0)",
            "profile one: max_servers: 0 lets nobody start this",
        ),
        (
            "first.update(max_servers_per_user=3)",
            "max_servers_per_user: 3 has no effect, because without c.JupyterHub.allow_named_serv",
        ),
        (
            "c.UniSpawner.report_timeout = c.UniSpawner.start_timeout = 300",
            "report_timeout: 300 s is never reached, because the whole start has start_timeout",
        ),
        (
            "c.UniSpawner.continue_window = 0\nc.UniSpawner.extend_hook = lambda spawner, more: 0",
            "extend_hook: it is never called, because continue_window is 0",
        ),
        (
            'c.UniSpawner.scheduler = "slurm"\nc.UniSpawner.duration = "00:05:00"\n'
            "c.UniSpawner.signal_before_end = 600",
            "signal_before_end: 600 s is not less than the job's time limit, 00:05:00",
        ),
        ("c.JupyterHub.template_paths = []", "template_paths: it has not unispawner's pages"),
        (
            'c.JupyterHub.template_paths = ["/nonexistent", *c.JupyterHub.template_paths]',
            "template_paths: /nonexistent is not a folder of this host",
        ),
    ],
)
def test_settings_that_contradict_each_other(doctor: Doctor, line: str, text: str) -> None:
    """doctor names the settings that contradict each other and says what to do; the Hub starts all
    the same."""
    _, lines = doctor(f"{BASE}\n{line}")
    found = line_of(lines, "settings")
    assert found.startswith("look at ")
    assert text in found
    assert 1 == found.count(text)  # not once for each choice


def test_pages_that_are_appended(doctor: Doctor) -> None:
    """The list of the folders of pages may be written with append."""
    config = BASE.replace("c.JupyterHub.template_paths =", "folders =")
    _, lines = doctor(f"{config}\nc.JupyterHub.template_paths.extend(folders)")
    assert "ok      settings: none contradicts another" == line_of(lines, "settings")


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("secret-word\n")
    path.chmod(0o600)
    return path


def run(doctor: Doctor, password: object, more: str = "") -> tuple[int, str]:
    """Return doctor's status, and its line about mail."""
    status, lines = doctor(f"PASSWORD = {str(password)!r}\n{BASE}\n{MAIL}\n{more}")
    assert not [line for line in lines if "secret-word" in line]
    return status, line_of(lines, "mail")


def test_mail_that_can_be_sent(doctor: Doctor, password: Path) -> None:
    """doctor's line about mail names the mail server, and does not promise more than was looked
    at."""
    expected = "ok      mail: by smtp.example.org; whether it takes mail was not tried"
    assert (0, expected) == run(doctor, password)


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ("mail['password_file'] = ''", "password_file: it is not set, so the Hub can't log in as"),
        ("mail['password_file'] = '/nonexistent/x'", "can't read /nonexistent/x (No such file or"),
        ("mail['password_file'] = '/'", "/ is not a file"),
        ("mail['password_file'] = '/dev/null'", "/dev/null is not a file"),
        ("mail['password_file'] = 'a\\0b'", "so no mail can be sent"),
        ("open(PASSWORD, 'w').close()", "is empty; write the password into it"),
        ("mail['password_file'] = PASSWORD + '.fifo'", ".fifo is not a file"),
    ],
)
def test_mail_that_can_not_be_sent(doctor: Doctor, password: Path, more: str, text: str) -> None:
    """doctor's line about mail says why none can be sent, and what to do. A named pipe does not
    make it wait."""
    os.mkfifo(f"{password}.fifo")
    status, line = run(doctor, password, more)
    assert (1, "WRONG   mail: ") == (status, line[:14])
    assert text in line


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ("import os; os.chmod(PASSWORD, 0o640)", "others than its owner may use"),
        ("import os; os.chmod(PASSWORD, 0o604)", "(mode 0604); `chmod 600 "),
        ("mail['user'] = ''", "password_file: it is not used, because user is not set"),
        ("mail['tls'] = 'none'", 'tls: "none" sends the password over the network as plain text'),
        ("c.JupyterHub.public_url = ''", "c.JupyterHub.public_url: it is not set, so mail has no"),
    ],
)
def test_mail_that_is_doubtful(doctor: Doctor, password: Path, more: str, text: str) -> None:
    """doctor's line about mail says what an administrator should look at; mail is sent all the
    same."""
    status, line = run(doctor, password, more)
    assert (0, "look at mail: ") == (status, line[:14])
    assert text in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read every file")
def test_a_password_that_can_not_be_read(doctor: Doctor, password: Path) -> None:
    """A file of another account is reported with the account that can't read it."""
    password.chmod(0)
    assert "(Permission denied), so no mail can be sent" in run(doctor, password)[1]
