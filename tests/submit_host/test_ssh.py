"""The ssh command, and what ssh's real output means (tests/outputs/ssh: OpenSSH 9.2, sudo 1.9)."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
from support import OUTPUTS

from unispawner.errors import InvalidJobError
from unispawner.frames import MAGIC
from unispawner.submit_host.ssh import (
    Destination,
    explain_failure,
    parse_destination,
    ssh_command,
)

FAR = Destination("hubsvc", "127.0.0.1")
BROKER = ["sudo", "-n", "/opt/my python/bin/python", "-I", "-m", "unispawner.broker"]


@pytest.mark.parametrize(
    ("text", "account", "host"),
    [
        ("login1", "", "login1"),
        ("hubsvc@login1.cluster.example", "hubsvc", "login1.cluster.example"),
        ("hub-svc@10.0.0.1", "hub-svc", "10.0.0.1"),
        ("hubsvc@ad.example@login_1", "hubsvc@ad.example", "login_1"),
        ("hubsvc@fd00::7", "hubsvc", "fd00::7"),
    ],
)
def test_destination(text: str, account: str, host: str) -> None:
    """A submit host is a name or an address, with an account in front or without one."""
    destination = parse_destination(text)

    assert Destination(account, host) == destination
    assert text == str(destination)


@pytest.mark.parametrize(
    "text",
    [
        *("", "@login1", "hubsvc@", "-oProxyCommand=id", "hubsvc@-oProxyCommand=id", "-l@login1"),
        *("login1 id", "login1;id", "$(id)", "login1\n", "login1:2222", "ssh://login1", "login1/x"),
        *("hub svc@login1", "hub'svc@login1", "login\N{LATIN SMALL LETTER O WITH DIAERESIS}1"),
        *("login1-", ".login1", "%h", "[fd00::7]", "a" * 300),
    ],
)
def test_destination_is_refused(text: str) -> None:
    """What ssh or a shell could read as an option, a command or a port is refused, with words."""
    with pytest.raises(InvalidJobError, match=r"^submit_host: "):
        parse_destination(text)


def test_command() -> None:
    """The host stands behind "--", and the command is one word in which the shell finds its own."""
    command = ssh_command(FAR, [], BROKER)

    assert ["ssh", "-T"] == command[:2]
    assert ["--", "hubsvc@127.0.0.1"] == command[-3:-1]
    assert BROKER == shlex.split(command[-1])
    for option in (
        *("BatchMode=yes", "StrictHostKeyChecking=yes", "ServerAliveInterval=15"),
        *("ClearAllForwardings=yes", "ForwardAgent=no", "ForwardX11=no", "PermitLocalCommand=no"),
        *("ControlMaster=no", "ControlPath=none", "ConnectTimeout=8"),
    ):
        assert "-o" == command[command.index(option) - 1]


def options_of(options: Any) -> list[str]:
    """Return the words that options add to the command."""
    plain, command = ssh_command(FAR, [], BROKER), ssh_command(FAR, options, BROKER)
    start = plain.index("ConnectTimeout=8") - 1
    assert plain == [*command[:start], *command[start + len(command) - len(plain) :]]
    return command[start : start + len(command) - len(plain)]


KEY_AND_PORT = ["-i", "/etc/jupyterhub/my key", "-o", "Port=2222"]


@pytest.mark.parametrize(
    "options",
    [
        ["-i", "/etc/jupyterhub/my key", "-p", "2222"],
        ["-i/etc/jupyterhub/my key", "-p2222"],
        ["-o", "IdentityFile=/etc/jupyterhub/my key", "-oport 2222"],
        {"IdentityFile": "/etc/jupyterhub/my key", "Port": 2222},
        {"identityfile": ["/etc/jupyterhub/my key"], "port": "2222"},
        {"IdentityFile": "/etc/jupyterhub/my key", "Port": 2222, "BatchMode": True},
    ],
)
def test_options(options: Any) -> None:
    """Options may be words as at ssh's command line, or names and values of ssh_config(5)."""
    assert KEY_AND_PORT == options_of(options)


def test_options_come_before_our_defaults_and_after_what_is_fixed() -> None:
    """ssh takes the first value of an option: the site's time-out counts, not ours."""
    command = ssh_command(FAR, ["-o", "ConnectTimeout=3", "-F", "/etc/jupyterhub/ssh"], BROKER)

    assert command.index("ConnectTimeout=3") < command.index("ConnectTimeout=8")
    assert command.index("StrictHostKeyChecking=yes") < command.index("ConnectTimeout=3")
    assert "/etc/jupyterhub/ssh" == command[command.index("-F") + 1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-o", "StrictHostKeyChecking=no"], "StrictHostKeyChecking: 'no' is not possible"),
        (["-ostricthostkeychecking accept-new"], "StrictHostKeyChecking: 'accept-new'"),
        (["-o", " StrictHostKeyChecking = no"], "StrictHostKeyChecking: 'no'"),
        ({"StrictHostKeyChecking": False}, "StrictHostKeyChecking: 'no'"),
        ({"NoHostAuthenticationForLocalhost": "yes"}, "is always 'no'"),
        (["-o", "ProxyCommand=nc %h %p"], "'ProxyCommand' can't be set: it runs a command"),
        ({"LocalCommand": "id"}, "'LocalCommand' can't be set. Known options"),
        ({"PermitLocalCommand": True}, "PermitLocalCommand: 'yes' is not possible"),
        ({"KnownHostsCommand": "/bin/echo"}, "'KnownHostsCommand' can't be set"),
        (["-o", "User=root"], "write the account into submit_host"),
        (["-A"], "'-A' can't be set"),
        (["-R", "8000:localhost:8000"], "'-R' can't be set"),
        (["-M"], "'-M' can't be set"),
        (["-i"], "'-i' has no value behind it"),
        (["login1"], "'login1' is not an option"),
        (["--", "login1"], "'--' is not an option"),
        (["-vA"], "'-vA' can't be set"),
        ({"IdentityFile": "key\nProxyCommand id"}, "must be a text on one line"),
        (["-o", "IdentityFile=key\nProxyCommand=id"], "must be a text on one line"),
        ({"Port": None}, "Port: None must be a text"),
        ("-i key", "must be a list of words"),
    ],
)
def test_options_are_refused(options: Any, words: str) -> None:
    """No option loosens the check of host keys, runs a command, forwards, or is unknown."""
    with pytest.raises(InvalidJobError, match=re.escape(words)) as caught:
        ssh_command(Destination("", "login1"), options, ["broker"])

    assert str(caught.value).startswith("ssh_options: ")


def saved(name: str) -> tuple[int, str, bytes]:
    """Return the exit status, standard error and standard output of a saved command."""
    text = (OUTPUTS / "ssh" / name).read_text()
    body, _, status = text.rpartition("--- exit status ")
    parts = re.split(r"^--- (stdout|stderr)\n", body, flags=re.MULTILINE)
    streams = dict(zip(parts[1::2], parts[2::2], strict=True))
    return int(status), streams.get("stderr", ""), streams.get("stdout", "").encode()


MEANINGS = {
    "algorithms": "have no common method: no matching host key type found",
    "bad-option": "ssh refuses its configuration",
    "changed-key": "the host key of 127.0.0.1 is not the one",
    "cut": "the connection to 127.0.0.1 was cut",
    "denied": "does not accept the Hub's key (it offers: publickey)",
    "denied-no-such-account": "does not accept the Hub's key (it offers: publickey)",
    "denied-passphrase": "which must have no passphrase",
    "denied-password": "does not accept the Hub's key (it offers: publickey,password)",
    "expired": "whether it has expired",
    "false-shell": "ended with exit status 1",
    "hung": "the connection to 127.0.0.1 was cut",
    "no-answer": "127.0.0.1 did not answer in time",
    "no-config-file": "ssh refuses its configuration",
    "no-key-file": "key /etc/jupyterhub/key can't be read (No such file or directory)",
    "no-python": "there is no /opt/unispawner/bin/python on 127.0.0.1",
    "no-python-dash": "there is no /opt/unispawner/bin/python on 127.0.0.1",
    "no-python-sudo": "there is no /opt/unispawner/bin/python on 127.0.0.1",
    "no-python-tcsh": "there is no /opt/unispawner/bin/python on 127.0.0.1",
    "no-route": "10.77.0.99 can't be reached on port 2298 (No route to host)",
    "no-such-name": "the Hub's host can't resolve login1.invalid (Name or service not known)",
    "no-sudo": "there is no sudo on 127.0.0.1",
    "no-uid": "the Hub's uid 54321 has no line in /etc/passwd",
    "no-unispawner": "the Python on 127.0.0.1 finds no unispawner",
    "nologin": "the account can't log in on 127.0.0.1",
    "not-a-key": "the private key sshd_config can't be used (error in libcrypto)",
    "older-unispawner": "the unispawner of 127.0.0.1 is older than the broker",
    "open-key-file": "other accounts can read the private key",
    "refused": "nothing listens on port 2298 of 127.0.0.1",
    "startup-text": "printed 'Welcome to login1!\\n' before the broker's greeting",
    "sudo-other-command": "sudo on 127.0.0.1 does not let the account run the broker",
    "sudo-password": "sudo on 127.0.0.1 does not let the account run the broker",
    "unknown-key": "the line that `ssh-keyscan -p 2299 127.0.0.1` prints",
    "unreadable-python": "the account can't run /opt/site/closed/python on 127.0.0.1",
}


def test_every_saved_output_is_explained() -> None:
    """No output that was collected is without its meaning here."""
    assert sorted(MEANINGS) == sorted(path.name for path in (OUTPUTS / "ssh").iterdir())


@pytest.mark.parametrize("name", MEANINGS)
def test_explanation(name: str) -> None:
    """The explanation names the setting, says what is wrong, and what to do."""
    status, stderr, stdout = saved(name)

    message = explain_failure(FAR, status, stderr, stdout)

    assert MEANINGS[name] in message
    assert message.startswith("submit_host: ")


def test_nothing_was_printed() -> None:
    """A far side that says nothing, or only a greeting, is explained by how ssh ended."""
    assert "" == explain_failure(FAR, None, "")
    assert "ended with exit status 3" in explain_failure(FAR, 3, "", MAGIC)


def test_what_ended_the_connection_comes_first() -> None:
    """A missing key is only a warning of ssh's if the host can't be reached at all."""
    stderr = saved("no-key-file")[1].partition("\n")[0] + "\n" + saved("no-such-name")[1]

    assert "can't resolve login1.invalid" in explain_failure(FAR, 255, stderr)


@pytest.mark.parametrize("text", ["{host}", "{0}", "{", "%s"])
def test_braces_in_a_text_are_only_text(text: str) -> None:
    """What the far side prints can't change the explanation's own words."""
    stderr = f"ssh: Could not resolve hostname {text}: Name or service not known"

    assert f"can't resolve {text} (Name" in explain_failure(FAR, 255, stderr)
