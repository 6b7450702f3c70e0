"""``unispawner doctor --bundle``: what is in it, and that no secret is."""

from __future__ import annotations

import json
import os
import stat
import tarfile
from pathlib import Path

import pytest
from support.doctor import Doctor
from traitlets.config import Config

from unispawner.admin.cli import main
from unispawner.admin.doctor import bundle
from unispawner.admin.doctor.redaction import REDACTED, Redaction

HEX = "4f3c2b1a" * 8
PLANTED = {
    "by the name of a setting": "Zebra-by-name",
    "in a list of services": "Zebra-of-service",
    "as the key of a mapping": "zebrakeyofmapping",
    "in a variable of servers": "Zebra-in-variable",
    "in a URL": "Zebra-in-url",
    "in the URL of the database": "Zebra-in-database",
    "in a prologue": "Zebra-in-prologue",
    "behind an option of a command": "Zebra-in-command",
    "as bytes": "Zebra-as-bytes",
    "in a lambda": "Zebra-in-lambda",
    "of the doctor's own environment": "Zebra-of-environment",
    "a token in the log": HEX,
    "a header in the log": "Zebra1-in-header",
    "a URL in the log": "Zebra-in-log-url",
    "a parameter in the log": "Zebra-in-parameter",
    "a JSON web token in the log": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ6ZWJyYSJ9.c2lnbmF0dXJl",
    "a key in the log": "WmVicmFLZXlPZlRoZUxvZw==",
    "in a message of doctor": "Zebra-in-message",
}
CONFIG = """
c.JupyterHub.spawner_class = "unispawner"
c.JupyterHub.hub_ip = "0.0.0.0"
c.UniSpawner.scheduler = "local"
c.UniSpawner.run_as = "same_user"
c.UniSpawner.agent_python = "/bin/sh"
c.GenericOAuthenticator.client_secret = "Zebra-by-name"
c.JupyterHub.services = [{"name": "cull", "api_token": "Zebra-of-service",
                           "command": ["cull", "--password", "Zebra-in-command"]}]
c.JupyterHub.api_tokens = {"zebrakeyofmapping": "alice"}
c.Spawner.environment = {"ANYTHING": "Zebra-in-variable"}
c.JupyterHub.hub_connect_url = "http://hub:Zebra-in-url@hub.example:80"
c.JupyterHub.db_url = "postgresql://hub:Zebra-in-database@db/hub"
c.UniSpawner.prologue = "export LICENSE_TOKEN=Zebra-in-prologue; module load python"
c.JupyterHub.cookie_secret = b"Zebra-as-bytes"
c.UniSpawner.pre_spawn_hook = lambda spawner, password="Zebra-in-lambda": None
c.UniSpawner.password = "Zebra-in-message"
c.UniSpawner.job_shell = "Zebra-in-message"
"""
LOG = f"""
[I 2026-11-27 10:00:00 JupyterHub] 200 GET /hub/api/users (alice@10.0.0.1) token {HEX}
Authorization: Bearer Zebra1-in-header
connecting to redis://:Zebra-in-log-url@cache:6379/0
GET /hub/oauth_callback?code=Zebra-in-parameter&state=x
Cookie {PLANTED["a JSON web token in the log"]}
-----BEGIN PRIVATE KEY-----
{PLANTED["a key in the log"]}
-----END PRIVATE KEY-----
again Zebra-by-name without a name, and Zebra-of-environment
the end of the log
"""


@pytest.fixture
def packed(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, dict[str, str], str]:
    """Give a bundle in whose sources secrets were planted, its files, and what was printed."""
    monkeypatch.setenv("CONFIGPROXY_AUTH_TOKEN", "Zebra-of-environment")
    log, path = tmp_path / "hub.log", tmp_path / "help.tar.gz"
    log.write_text(LOG)
    _, lines = doctor(CONFIG, "--bundle", str(path), "--log", str(log))
    with tarfile.open(path) as archive:
        files = {one.name: archive.extractfile(one).read().decode() for one in archive}  # type: ignore[union-attr] # all are files
    return path, files, "\n".join(lines[-8:])


@pytest.mark.parametrize("source", ["file", "pipe", "standard input"])
@pytest.mark.parametrize("lines", [3, 100])
def test_the_end_of_a_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, lines: int
) -> None:
    """Only whole lines of the log's end are taken, from a file, a pipe or the standard input."""
    monkeypatch.setattr(bundle, "LOG_BYTES", 95)
    text = "".join(f"line {number:04}\n" for number in range(lines))
    path = str(tmp_path / "hub.log")
    kept = os.dup(0)
    if source == "file":
        Path(path).write_text(text)
    else:
        read, write = os.pipe()
        os.write(write, text.encode())
        os.close(write)
        os.dup2(read, 0)
        path = "/dev/fd/0" if source == "pipe" else "-"
        os.close(read)
    try:
        found = bundle._read_end(path)
    finally:
        os.dup2(kept, 0)
        os.close(kept)
    assert text[-90:] == found


def test_no_planted_secret_is_in_a_bundle(packed: tuple[Path, dict[str, str], str]) -> None:
    """Secrets of each place are taken out, whatever file would have them."""
    _, files, _ = packed
    found = {
        f"{where}: {name}" for where, s in PLANTED.items() for name, t in files.items() if s in t
    }
    assert set() == found


def test_what_is_in_a_bundle(packed: tuple[Path, dict[str, str], str]) -> None:
    """The file is for its owner only; its contents are listed, and what helps is there."""
    path, files, printed = packed
    names = {
        *("versions.txt", "configuration.json", "doctor.txt", "doctor.json", "schedulers.json"),
        "hub.log",
    }
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert {f"unispawner-bundle/{name}" for name in names} == set(files)
    assert all(f" {name} " in printed for name in names)
    settings = json.loads(files["unispawner-bundle/configuration.json"])
    assert "local" == settings["UniSpawner"]["scheduler"]
    assert {"ANYTHING": REDACTED} == settings["Spawner"]["environment"]
    assert "module load python" in settings["UniSpawner"]["prologue"]
    assert f"postgresql://{REDACTED}" == settings["JupyterHub"]["db_url"]
    assert "the end of the log" in files["unispawner-bundle/hub.log"]
    assert "JupyterHub" in files["unispawner-bundle/hub.log"]
    assert "jupyterhub " in files["unispawner-bundle/versions.txt"]


def test_a_bundle_of_a_broken_configuration(doctor: Doctor, tmp_path: Path) -> None:
    """A configuration that can't be read gives a bundle as well, with the error."""
    path = tmp_path / "help.tar.gz"
    status, _ = doctor('c.JupyterHub.x = "Zebra" +', "--bundle", str(path))
    with tarfile.open(path) as archive:
        text = archive.extractfile("unispawner-bundle/doctor.txt").read().decode()  # type: ignore[union-attr] # it is a file
    assert (1, True) == (status, "SyntaxError" in text)


def test_an_existing_file_stays(
    doctor: Doctor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bundle replaces no file, and follows no link."""
    path = tmp_path / "help.tar.gz"
    path.symlink_to(tmp_path / "elsewhere")
    doctor.config.write_text(CONFIG)
    assert 1 == main(["doctor", "-f", str(doctor.config), "--bundle", str(path)])
    assert "exists already" in capsys.readouterr().err
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    "text",
    [
        "Slurm 23.11.4, partition debug, node[1-400]",
        "/opt/hub/bin/unispawner doctor -f /etc/jupyterhub/jupyterhub_config.py --account alice",
        "ok      hub: UniSpawner, the API at 10.77.0.1",
        "[I 2026-11-27 10:00:00.123 JupyterHub app:3346] JupyterHub is now running at http://hub:8000/",
        "job 123456 of alice has ended: OUT_OF_MEMORY",
        "state_dir /home/alice/.unispawner",
        "[W JupyterHub base:1386] User alice server stopped, with exit code: 1",
        "[I JupyterHub log:192] 200 GET /hub/token (alice@127.0.0.1) 25.87ms",
        "slurm: job 1234 in state: PENDING, reason: Priority",
        "http://10.1.2.3:8081/hub/user/alice@example.org/",
        "KeyError: 'queue'",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    """Ordinary lines stay as they are, so that a bundle helps."""
    assert text == Redaction().text(text)


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer zebraWithoutDigit",
        "GET /hub/oauth_callback?code=Zebra&state=x",
        "Created grant {'code': 'Zebra'}",
        "password: |\n  Zebra\n",
        "Authorization: Digest username=a, response=Zebra",
        "Cookie: a=b; session=Zebra; more=Zebra",
        "('Authorization', 'token Zebra')",
        r"{\"client_secret\": \"Zebra\"}",
        "{'cookie_secret': b'Zebra'}",
        "client_secret=SecretStr('Zebra')",
        'password="a\\"Zebra"',
        "password='the Zebra has no end",
        "client_secret%22%3A%22Zebra%22",
        "export DB_PASS=Zebra",
        "BIND_PW=Zebra",
        "AccountKey=Zebra/a+b==;EndpointSuffix=x",
        "X-Auth-Key: Zebra",
        "machine h login u password Zebra1",
        "curl -u alice:Zebra https://hub.example",
        "sshpass -p Zebra ssh node1",
        "https://alice:a/Zebra@hub.example/",
        "https://alice:a@Zebra@hub.example/",
        "https://hooks.example.org/services/T0/Zebra",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYZebraKEY12",
        "alice:$6$rounds=5000$salt$ZebraZebra",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nZebra\n(the end is missing)",
        "Zebra/abc=\n-----END RSA PRIVATE KEY-----\nthe log begins within a key",
    ],
)
def test_secrets_in_odd_forms(text: str) -> None:
    """Quotes, headers, URLs and keys are redacted in each form in which a log has them."""
    found = Redaction().text(text)
    assert (True, False) == (REDACTED in found, "zebra" in found.lower())


def test_a_password_that_is_the_word() -> None:
    """A secret that is the name of secrets hides none of the others."""
    redaction = Redaction()
    redaction.learn(["password", "zebra-token"])
    found = redaction.text("--password=Striped1 password: Striped2 zebra-token")
    assert (False, False) == ("Striped" in found, "zebra" in found)


def test_secrets_of_changed_settings_and_in_other_words() -> None:
    """A setting may be changed instead of set; a log may have its secret as URLs have it."""
    config = Config()
    config.Spawner.environment.update({"ANYTHING": "Zebra-in-variable"})
    config.JupyterHub.api_tokens.update({"zebrakeyofmapping": "alice"})
    config.LDAPAuthenticator.lookup_dn_search_password = 'Zebra & "stripes"'
    config.JupyterHub.db_url = "postgresql://hub:Zebra%2Fin-url@db/hub"
    config.Services.environ = [{"name": "DB_PASSWORD", "value": "Zebra-of-pair"}]
    config.Services.pairs = [("token", "Zebra-in-tuple")]
    redaction = Redaction()
    redaction.learn_config(config)
    settings = redaction.value(dict(config))
    assert "Zebra" not in json.dumps(settings)
    texts = [
        "Zebra-of-pair",
        "Zebra-in-tuple",
        "zebrakeyofmapping",
        "Zebra%20%26%20%22stripes%22",
        r"Zebra & \"stripes\"",
        "Zebra/in-url",
        "Zebra-in-variable",
    ]
    found = [redaction.text(one) for one in texts]
    assert [REDACTED] * len(texts) == found
    assert {"update": {"ANYTHING": REDACTED}} == settings["Spawner"]["environment"]
