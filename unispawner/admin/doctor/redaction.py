"""Takes secrets out of what leaves the site: by the names of settings, and by how values look.

No pattern knows every secret. So what a configuration names as one is searched everywhere else,
too, and what can't be judged, such as code, is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from traitlets.config import Config

REDACTED = "[redacted]"
_SECRET_NAME = re.compile(
    r"(?i)secret|token|passw|passphrase|passcode|\bpwd\b|_pwd|key|cred|cookie|salt|private|bearer"
    r"|authorization|signature|licen[cs]e|webhook|dsn|connection_string|\bpin\b"
)
_VARIABLES = frozenset(("environment", "env"))
"""Settings whose values are variables: each of them may be a secret, whatever its name."""
_URL_SETTING = re.compile(r"(?i)(?:^|_)db_url$|database_url$")
_SHORTEST = 4
"""A shorter text may be anywhere by chance, so it is only taken out where its name is."""
_SHORTEST_KEY = 12
"""A shorter key of a mapping is a word rather than a secret."""
_DEEPEST = 20

_WORD = r"[A-Za-z0-9+/_=.-]"
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(
            r"-----BEGIN [A-Z0-9 ]{0,40}-----.{0,20000}?(?:-----END [A-Z0-9 ]{0,40}-----|\Z)", re.S
        ),
        REDACTED,
    ),
    # URLs with credentials; and whole URLs of databases, whose options may have passwords, too.
    (
        re.compile(
            r"(?i)\b((?:postgres|postgresql|mysql|mariadb|oracle|mssql|redis|rediss|amqp|mongodb|"
            r"ldap|ldaps)(?:\+\w{1,20}){0,2}://)[^\s'\"<>]{1,2000}"
        ),
        rf"\1{REDACTED}",
    ),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]{1,20}://)[^\s/@'\"<>]{1,500}@"), rf"\1{REDACTED}@"),
    (
        re.compile(r"(?i)\b(bearer|basic|digest|negotiate|token)(\s+)(?=\S*\d)[^\s'\",;]{8,4000}"),
        rf"\1\2{REDACTED}",
    ),
    # NAME=VALUE, "name": "value", name: value, --name value, and ?name=value in a URL.
    (
        re.compile(
            r"(?i)([\w.-]{0,60}(?:secret|token|passw(?:or)?d|passphrase|pwd|api_?key|access_?key|"
            r"private_?key|crypt_?key|credential|authorization|set-cookie|cookie|_xsrf|\bcode\b|"
            r"\bstate\b)[\w.-]{0,60}[\"']?\]?\s{0,5}(?:=|:|%3D)\s{0,5})"
            r"(?:\"[^\"]{1,4000}\"|'[^']{1,4000}'|[^\s&\"',;)]{1,4000})"
        ),
        rf"\1{REDACTED}",
    ),
    (
        re.compile(
            r"(?i)(--?[\w-]{0,40}(?:secret|token|password|passwd|passphrase|api-?key|credential)"
            r"[\w-]{0,20}\s{1,5})[^\s-][^\s]{0,4000}"
        ),
        rf"\1{REDACTED}",
    ),
    # JSON web tokens, and the tokens of well-known services.
    (re.compile(r"\beyJ[\w-]{8,2000}\.[\w-]{8,4000}(?:\.[\w-]{0,2000})?"), REDACTED),
    (
        re.compile(
            r"\b(?:gh[a-z]_|github_pat_|glpat-|xox[a-z]-|sk-|pk-|hf_|AKIA|ASIA|AIza|npm_|pypi-|"
            r"dckr_pat_|ya29\.)[\w-]{12,500}"
        ),
        REDACTED,
    ),
    # Random text: hexadecimal, such as JupyterHub's tokens, a UUID, or a long mixed word.
    (re.compile(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{24,4096}(?![0-9A-Za-z])"), REDACTED),
    (re.compile(r"\b[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\b"), REDACTED),
    (
        re.compile(
            r"(?<![A-Za-z0-9+/_=.-])(?=[A-Za-z0-9+_=-]{0,39}\d)(?=[A-Za-z0-9+_=-]{0,39}[A-Z])"
            r"(?=[A-Za-z0-9+_=-]{0,39}[a-z])[A-Za-z0-9+_-]{32,4096}={0,2}(?![A-Za-z0-9+/_=-])"
        ),
        REDACTED,
    ),
)


def is_secret_name(name: str) -> bool:
    """Return whether a setting, a key or a variable of this name may be a secret."""
    return bool(_SECRET_NAME.search(name))


class Redaction:
    """Takes secrets out of values and texts; what was taken out of values is known in texts."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def learn(self, value: Any, depth: int = 0) -> None:
        """Take note of a secret, which may be a container of secrets."""
        if depth > _DEEPEST:
            return
        if isinstance(value, bytes):
            self._known |= {value.hex(), value.decode("utf-8", "replace")}
        elif isinstance(value, str):
            self._known |= {value, *value.split("\n")}
        elif isinstance(value, Mapping):
            for key, one in value.items():
                if len(str(key)) >= _SHORTEST_KEY:  # such as c.JupyterHub.api_tokens
                    self.learn(str(key), depth + 1)
                self.learn(one, depth + 1)
        elif isinstance(value, list | tuple | set | frozenset):
            for one in value:
                self.learn(one, depth + 1)

    def learn_variables(self, variables: Mapping[str, str]) -> None:
        """Take note of the values of variables with the names of secrets."""
        for name, value in variables.items():
            if is_secret_name(name) and not value.startswith("/"):  # the path of a file is none
                self.learn(value)

    def learn_config(self, config: Config) -> None:
        """Take note of all secrets of a configuration, before anything of it is shown."""
        self.value(dict(config))

    def value(self, value: Any, name: str = "", depth: int = 0) -> Any:
        """Return a setting's value as JSON-serialisable data without secrets."""
        if depth > _DEEPEST:
            return "(too deep)"
        if value is None or isinstance(value, bool):
            return value
        if is_secret_name(name):
            self.learn(value)
            return REDACTED
        if _URL_SETTING.search(name) and isinstance(value, str):
            self.learn(value)
            return f"{value.partition('://')[0]}://{REDACTED}"
        if isinstance(value, Mapping):
            if name in _VARIABLES:
                self.learn([one for one in value.values() if _is_long(one)])
                return {self.text(str(key)): REDACTED for key in value}
            return {
                self.text(str(key)): self.value(one, str(key), depth + 1)
                for key, one in value.items()
            }
        if isinstance(value, list | tuple | set | frozenset):
            return [
                self.value(one, _flag(before), depth + 1)
                for before, one in zip([None, *value], value, strict=False)
            ]
        if isinstance(value, int | float):
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, type):
            return f"(class {value.__module__}.{value.__qualname__})"
        if hasattr(value, "to_dict") and type(value).__name__ == "LazyConfigValue":
            return self.value(value.to_dict(), "", depth + 1)
        return f"({type(value).__name__})"  # code, or an object: it may contain anything

    def text(self, text: str) -> str:
        """Return a text without known secrets, and without what looks like one."""
        for known in sorted(self._known, key=len, reverse=True):
            if len(known.strip()) >= _SHORTEST and known not in _HARMLESS:
                text = text.replace(known, REDACTED)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return text

    def lines(self, lines: Iterable[str]) -> str:
        """Return lines as one text, without secrets."""
        return self.text("\n".join(lines))


_HARMLESS = frozenset(("None", "True", "False", "null", "true", "false", "name", "admin", "user"))


def _flag(before: object) -> str:
    """Return the name of an option if the next word of a command is its value; else nothing."""
    flag = isinstance(before, str) and before.startswith("-") and "=" not in before
    return str(before) if flag else ""


def _is_long(value: object) -> bool:
    """Return whether a variable's value is long enough to be a secret and is no path or number."""
    return isinstance(value, str) and len(value) >= 8 and not value.startswith("/")
