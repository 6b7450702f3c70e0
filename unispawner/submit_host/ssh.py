"""The ssh command that reaches the broker of another host, and what its failures mean.

Everything in the command comes from the configuration: no text of a user's is ever in it.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..errors import InvalidJobError
from ..frames import MAGIC

SshOptions: TypeAlias = Sequence[str] | Mapping[str, Any]

_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253}[A-Za-z0-9])?", re.ASCII)
_ACCOUNT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,255}", re.ASCII)
# ssh takes the first value that it meets of an option: these come before the administrator's, and
# all of them come before those of its configuration files.
_FIXED = {
    "BatchMode": "yes",
    "StrictHostKeyChecking": "yes",
    "NoHostAuthenticationForLocalhost": "no",
    "UpdateHostKeys": "no",
    "ClearAllForwardings": "yes",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "Tunnel": "no",
    "PermitLocalCommand": "no",
    "RemoteCommand": "none",
    "ControlMaster": "no",
    "ControlPath": "none",
    "EscapeChar": "none",
}
# ssh gives up before a look-up of an account does (10 s), so that its error has ssh's reason.
_DEFAULTS = {
    "ConnectTimeout": "8",
    "ServerAliveInterval": "15",
    "ServerAliveCountMax": "3",
    "LogLevel": "INFO",
}
_ALLOWED = (
    *("AddressFamily", "BindAddress", "BindInterface", "CASignatureAlgorithms"),
    *("CertificateFile", "CheckHostIP", "Ciphers", "Compression", "ConnectTimeout"),
    *("ConnectionAttempts", "GSSAPIAuthentication", "GlobalKnownHostsFile", "HostKeyAlgorithms"),
    *("HostKeyAlias", "HostName", "HostbasedAuthentication", "IPQoS", "IdentitiesOnly"),
    *("IdentityAgent", "IdentityFile", "KexAlgorithms", "LogLevel", "MACs", "PKCS11Provider"),
    *("Port", "PreferredAuthentications", "ProxyJump", "PubkeyAcceptedAlgorithms"),
    *("PubkeyAcceptedKeyTypes", "PubkeyAuthentication", "RekeyLimit", "RevokedHostKeys"),
    *("ServerAliveCountMax", "ServerAliveInterval", "TCPKeepAlive", "UserKnownHostsFile"),
)
"""The options of ssh_config(5) that an administrator may set. None of them runs a command."""
_NAMES = {name.lower(): name for name in (*_FIXED, *_ALLOWED)}
_LETTERS = {
    "b": "BindAddress",
    "B": "BindInterface",
    "c": "Ciphers",
    "i": "IdentityFile",
    "I": "PKCS11Provider",
    "J": "ProxyJump",
    "m": "MACs",
    "p": "Port",
}
"""The options of the command line that take a value, and their names in ssh_config(5)."""
_FLAGS = {
    "4": ("AddressFamily", "inet"),
    "6": ("AddressFamily", "inet6"),
    "C": ("Compression", "yes"),
    "v": ("LogLevel", "DEBUG"),
    "T": ("", ""),
    "k": ("", ""),
}
"""The options of the command line without a value; ssh gets the last two in any case."""
_WHY_NOT = {
    "user": "write the account into submit_host, as in hubsvc@login1",
    "proxycommand": "it runs a command in a shell. Use ProxyJump, or an ssh_config(5) file that "
    'you name with ["-F", "/etc/jupyterhub/ssh_config"]',
}


@dataclass(frozen=True)
class Destination:
    """The submit host, and the account there; an empty account is left to ssh."""

    account: str
    host: str

    def __str__(self) -> str:
        return f"{self.account}@{self.host}" if self.account else self.host


def parse_destination(text: str, *, by_root: bool = False) -> Destination:
    """Return what ``submit_host`` names.

    Parameters
    ----------
    by_root
        True if the Hub runs as root: without an account, ssh would log in as root.

    Raises
    ------
    InvalidJobError
        If it is not a host or ACCOUNT@HOST, if ssh or a shell could read it as anything else, or if
        the account is root.
    """
    account, at, host = text.rpartition("@")
    if not _is_host(host):
        raise InvalidJobError(
            f"submit_host: {text!r}: {host!r} is not the name or the address of a host. Write it "
            "as login1 or hubsvc@login1; a port goes into ssh_options: "
            'c.UniSpawner.ssh_options = ["-p", "2222"]'
        )
    if at and not _ACCOUNT.fullmatch(account):
        raise InvalidJobError(
            f"submit_host: {text!r}: {account!r} can't be an account's name: use letters, digits "
            "and _ . @ + -, and no - at the beginning"
        )
    if by_root and not at:
        raise InvalidJobError(
            f"submit_host: {text!r} names no account, so that the Hub, which runs as root, would "
            f'log in as root. Name its account there: c.UniSpawner.submit_host = "hubsvc@{host}". '
            "See docs/hub-elsewhere.md"
        )
    if account == "root":
        raise InvalidJobError(
            f"submit_host: {text!r}: the Hub must not log in as root, since whoever has its key "
            "would be root there. Make an account for it, such as hubsvc, which starts the broker "
            "through sudo: see docs/hub-elsewhere.md"
        )
    return Destination(account, host)


def _is_host(host: str) -> bool:
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return _HOST.fullmatch(host) is not None


def ssh_command(destination: Destination, options: SshOptions, command: Sequence[str]) -> list[str]:
    """Return the command that runs another one on the submit host.

    Parameters
    ----------
    options
        ``c.UniSpawner.ssh_options``: words as at ssh's command line, or names and values as in
        ssh_config(5).
    command
        What runs there. ssh passes it to the account's login shell as one line, in which each word
        is quoted. A key with a command of its own (``command="…"``) runs that one instead.

    Raises
    ------
    InvalidJobError
        For the first option that is wrong or that is not allowed.
    """
    return [
        *("ssh", "-T", "-k"),  # -k: no delegation of Kerberos credentials
        *_as_words(_FIXED.items()),
        *_words(options),
        *_as_words(_DEFAULTS.items()),
        *("--", str(destination), shlex.join(command)),
    ]


def _as_words(options: Iterable[tuple[str, str]]) -> list[str]:
    return [word for name, value in options for word in ("-o", f"{name}={value}")]


# -- the administrator's options ----------------------------------------------------------------


def _words(options: SshOptions) -> list[str]:
    """Return checked options as words for the command line."""
    if isinstance(options, str) or not isinstance(options, Sequence | Mapping):
        raise InvalidJobError(
            f"ssh_options: {options!r} must be a list of words, as in "
            '["-i", "/etc/jupyterhub/key"], or a dictionary, as in '
            '{"IdentityFile": "/etc/jupyterhub/key"}'
        )
    pairs = _pairs_of_names(options) if isinstance(options, Mapping) else _pairs_of_words(options)
    words = []
    for name, value in pairs:
        if name == "IdentityFile":
            words += ["-i", value]  # unlike -o, this prints a warning if there is no such file
        elif name == "-F":
            words += ["-F", value]
        else:
            words += _as_words([(name, value)])
    return words


def _pairs_of_names(options: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for name, given in options.items():
        for value in given if isinstance(given, list | tuple) else [given]:
            text = {True: "yes", False: "no"}[value] if isinstance(value, bool) else value
            yield from _checked(str(name), str(text) if isinstance(text, int) else text)


def _pairs_of_words(words: Sequence[str]) -> Iterable[tuple[str, str]]:
    """Read words as ssh reads its command line: "-p 22", "-p22" and "-oPort=22" mean the same."""
    rest = iter(words)
    for word in rest:
        if not isinstance(word, str) or not re.fullmatch(r"-\w.*", word, re.DOTALL):
            raise InvalidJobError(
                f"ssh_options: {word!r} is not an option. The host goes into submit_host, and the "
                "command is always the broker's"
            )
        letter, value = word[1], word[2:]
        if letter in _FLAGS and not value:
            name, value = _FLAGS[letter]
            yield from [(name, value)] if name else []
            continue
        if letter not in (*_LETTERS, "o", "F"):
            raise InvalidJobError(f"ssh_options: {word!r} can't be set. {_known()}")
        value = value or next(rest, "")
        if not isinstance(value, str) or not value.strip():
            raise InvalidJobError(f"ssh_options: {word!r} has no value behind it")
        if letter == "F":
            yield "-F", _checked_text("-F", value)
        elif letter == "o":
            name, _, value = re.sub(r"^\s*(\w+)(\s*=\s*|\s+)", r"\1=", value).partition("=")
            yield from _checked(name, value)
        else:
            yield from _checked(_LETTERS[letter], value)


def _checked(name: str, value: Any) -> Iterable[tuple[str, str]]:
    """Yield an option with its right name, unless its value is fixed and the same."""
    proper = _NAMES.get(name.lower())
    if proper in _FIXED:
        if value != _FIXED[proper]:
            raise InvalidJobError(
                f"ssh_options: {proper}: {value!r} is not possible: it is always "
                f"{_FIXED[proper]!r}.{_HINTS.get(proper, '')}"
            )
        return
    if proper is None:
        why = _WHY_NOT.get(name.lower())
        raise InvalidJobError(
            f"ssh_options: {name!r} can't be set" + (f": {why}" if why else f". {_known()}")
        )
    yield proper, _checked_text(proper, value)


_HINTS = {
    "StrictHostKeyChecking": " Write the submit host's public key into a file and set "
    "UserKnownHostsFile to its path; ssh-keyscan HOST prints the line, and "
    "`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`, run on the submit host, the fingerprint "
    "to compare it with"
}


def _checked_text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise InvalidJobError(f"ssh_options: {name}: {value!r} must be a text on one line")
    return value


def _known() -> str:
    letters = ", ".join(f"-{letter}" for letter in (*sorted(_LETTERS), "o", "F", *sorted(_FLAGS)))
    return f"Known options: {letters}; with -o or as names: {', '.join(sorted(_ALLOWED))}"


# -- failures -----------------------------------------------------------------------------------

_FAILURES: tuple[tuple[str, str], ...] = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key for .* has changed",
        "the host key of {host} is not the one that the Hub's known_hosts file has, so nothing was "
        "sent. Either the host was installed anew, or another host answers in its place: ask its "
        "administrator for the fingerprint of the key, and only then replace the line in the file.",
    ),
    (
        r"No (\S+ )?host key is known for (\[\S+\]:(?P<port>\d+))?|Host key verification failed",
        "the Hub knows no host key of {host}, so nothing was sent. Write the line that "
        "`ssh-keyscan {scan}` prints into a file, compare its fingerprint with the host's own, and "
        'name the file: c.UniSpawner.ssh_options = ["-o", "UserKnownHostsFile=/etc/jupyterhub/'
        'known_hosts"].',
    ),
    (
        r"Could not resolve hostname (?P<name>\S+): (?P<why>.+)",
        "the Hub's host can't resolve {name} ({why}). Check submit_host and the name service of "
        "the Hub's host or container.",
    ),
    (
        r"connect to (host|address) (?P<name>\S+) port (?P<port>\d+): Connection refused",
        "nothing listens on port {port} of {name}. Check that sshd runs there, and that "
        "ssh_options names its port.",
    ),
    (
        r"connect to (host|address) (?P<name>\S+) port (?P<port>\d+): (?P<why>.+)",
        "{name} can't be reached on port {port} ({why}). Check the network and the firewalls "
        "between the Hub and the host.",
    ),
    (
        r"UNPROTECTED PRIVATE KEY FILE|bad permissions",
        "other accounts can read the private key, so ssh does not use it. Give the file the mode "
        "0400 and the Hub's account as its owner (Kubernetes: defaultMode: 0400).",
    ),
    (
        r"Identity file (?P<file>.+) not accessible: (?P<why>.+)\.",
        "the private key {file} can't be read ({why}). Check ssh_options.",
    ),
    (
        r"Load key \"(?P<file>[^\"]*)\": (?P<why>(?!bad permissions).+)",
        "the private key {file} can't be used ({why}). Check ssh_options.",
    ),
    (
        r"Permission denied \((?P<ways>[^)]*)\)",
        "{destination} does not accept the Hub's key (it offers: {ways}). Write the public key "
        "into the file authorized_keys of that account, and name the private key, which must have "
        'no passphrase: c.UniSpawner.ssh_options = ["-i", "/etc/jupyterhub/key"]. The log of '
        "sshd on {host} has the reason.",
    ),
    (
        r"Too many authentication failures",
        "{destination} ended the connection after too many keys. Name the right one, and "
        '"-o", "IdentitiesOnly=yes", in ssh_options.',
    ),
    (
        r"timed out during banner exchange|Connection to \S+ port \d+ timed out",
        "{host} did not answer in time. Check that sshd runs there, and the firewalls between the "
        "Hub and the host.",
    ),
    (
        r"not responding|Connection to \S+ closed by remote host|client_loop: send disconnect",
        "the connection to {host} was cut.",
    ),
    (
        r"Unable to negotiate with .*?: (?P<why>.+)",
        "the Hub's ssh and sshd on {host} have no common method: {why}",
    ),
    (
        r"No user exists for uid (?P<uid>\d+)",
        "ssh does not start, because the Hub's uid {uid} has no line in /etc/passwd of the Hub's "
        "host or container. Add one, or run the container as an account that its image has.",
    ),
    (
        r"Bad (configuration option|owner or permissions)|bad configuration options"
        r"|Can't open user config file",
        "ssh refuses its configuration. Check ssh_options and the files that ssh reads.",
    ),
    (
        r"(?m)^(Your|This) account (is currently not available|has expired)",
        "the account can't log in on {host}. Give it a login shell such as /bin/sh, and look "
        "whether it has expired.",
    ),
    (
        r"kex_exchange_identification|Connection (closed|reset) by",
        "{host} closed the connection before the log-in. The log of sshd there has the reason, "
        "such as MaxStartups, or a rule for the Hub's address.",
    ),
    (
        r"No module named '?unispawner\.broker",
        "the unispawner of {host} is older than the broker. Install the Hub's version there.",
    ),
    (
        r"No module named '?unispawner",
        "the Python on {host} finds no unispawner. Install the Hub's version there, and set "
        "c.UniSpawner.agent_python to that Python.",
    ),
    (
        r"sudo: .*(password is required|no tty present|terminal is required)"
        r"|not in the sudoers|not allowed to (execute|run)|may not run sudo",
        "sudo on {host} does not let the account run the broker without a password. The line in "
        "sudoers there must have NOPASSWD and the very command that is started; `unispawner doctor "
        "--sudoers` prints the line. If the key has a command of its own in authorized_keys, that "
        "one must be the same, word by word.",
    ),
    (
        r"sudo: (command )?not found|sudo: No such file",
        "there is no sudo on {host}, or it is not on the PATH of the account. Install it, or start "
        'the broker by a command of the key (command="…" in authorized_keys).',
    ),
    (
        r"(?<!\S)(?P<file>/[^\s:]+): ([Cc]ommand not found|not found|No such file)",
        "there is no {file} on {host}. Set c.UniSpawner.agent_python to the Python there that has "
        "unispawner, and correct the line in sudoers and the key's command in authorized_keys.",
    ),
    (
        r"(?<!\S)(?P<file>/[^\s:]+): Permission denied\.?(?m:$)",
        "the account can't run {file} on {host}. Let it read the folder and each folder above it.",
    ),
)
"""What ssh or the far side prints, and what it means; the first that fits counts.

The texts are those of OpenSSH 7 to 10, sudo, and common shells: tests/outputs/ssh.
"""


def explain_failure(
    destination: Destination, exit_status: int | None, stderr: str, began: bytes = b""
) -> str:
    """Return what is wrong with a connection, and what to do about it; empty if that is not known.

    Parameters
    ----------
    exit_status
        How ssh ended; None if it still ran.
    stderr
        What ssh, and the programs on the far side, printed to standard error.
    began
        The beginning of standard output, if it is not a frame.
    """
    printed = f"{stderr}\n{began.decode('utf-8', 'replace')}"
    for pattern, message in _FAILURES:
        if match := re.search(pattern, printed):
            found = {name: value or "" for name, value in match.groupdict().items()}
            host, port = destination.host, found.get("port")
            scan = f"-p {port} {host}" if port else host
            words = {"destination": destination, "host": host, "scan": scan, **found}
            return f"submit_host: {message.format(**words)}"
    if began and not began.startswith(MAGIC):
        return (
            f"submit_host: {destination} printed {_quote(began)} before the broker's greeting. A "
            "start-up file of the account's shell there, such as .bashrc, must print nothing if "
            "the shell is not interactive; or the key's command is not the broker."
        )
    if exit_status is None:
        return ""
    return (
        f"submit_host: ssh to {destination} ended with exit status {exit_status}, and the broker "
        "there has sent nothing."
    )


def _quote(raw: bytes) -> str:
    return repr(raw[:200].decode("utf-8", "replace"))
