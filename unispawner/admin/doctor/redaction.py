"""Takes secrets out of what leaves the site: by the names of settings, and by how values look.

No pattern knows every secret. So what a configuration names as one is searched everywhere else,
too, and what can't be judged, such as code, is left out.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote

from traitlets.config import Config
from traitlets.config.loader import LazyConfigValue

REDACTED = "[redacted]"
_SECRET_NAME = re.compile(
    r"(?i)secret|token|passw|passphrase|passcode|pwd|key|cred|cookie|salt|private|bearer"
    r"|authorization|signature|licen[cs]e|webhook|dsn|connection_string|kennwort|mot_de_passe"
    r"|pass(?:$|[_\W\d])|(?:^|[_\W])(?:pw|pin|otp|sig)(?:$|[_\W\d])|(?:^|_)auth$"
)
_VARIABLES = frozenset(("environment", "env"))
"""Settings whose values are variables: each of them may be a secret, whatever its name."""
_URL_SETTING = re.compile(r"(?i)(?:^|_)db_url$|database_url$")
_SHORTEST = 4
"""A shorter text may be anywhere by chance, so it is only taken out where its name is."""
_SHORTEST_KEY = 12
"""A shorter key of a mapping is a word rather than a secret."""
_DEEPEST = 20

_NAME = (
    r"(?:secret|token|passw|passphrase|passcode|pwd|credential|_xsrf|kennwort|mot de passe|"
    r"(?:api|access|account|auth|private|crypt|shared|master|signing|encryption|secret|client|"
    r"service|session)[-_. ]?key|(?<=[?&\"'])(?:code|state)\b|\b(?:code|state)(?==)|"
    r"\bsig\b|\botp\b|\bpin\b|signature|"
    r"(?<![a-z])pass(?![a-z])|(?<=[a-z])pass(?=\s?[=:])|(?:\b|_)pw\b)"
)
_SEPARATOR = r"\s{0,5}(?:=>|==|=|:|%3D|%3A)\s{0,5}"
_VALUE = (
    # What may stand around a quoted value: b'…', SecretStr('…'), ('…'; the quotes may have \.
    r"(?:[|>][-+]?\s{1,40})?(?:\w{0,30}[(\[{]{0,3}(?P<quote>\\{0,4}[\"'`])[^\n]{0,2000}?(?<!\\)(?P=quote)"
    r"|\w{0,30}[(\[{]{0,3}\\{0,4}[\"'`][^\n]{1,4000}"  # its end is missing
    r"|(?:(?!%22|\\n)[^\s&]){1,4000})"
)
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # Keys, also without their end, and a key of which a log has only the end.
    (
        re.compile(
            r"-----BEGIN [A-Z0-9 ]{0,40}-----[A-Za-z0-9+/=\s\\:,.-]{0,20000}"
            r"|\A(?:[A-Za-z0-9+/=]{1,80}\r?\n){1,500}-----END [A-Z0-9 ]{0,40}-----"
        ),
        f"{REDACTED}\n",
    ),
    # Headers: to the end of the line, because cookies and schemes have blanks.
    (
        re.compile(
            r"(?i)((?:authorization|cookie)[\\\"'`\]]{0,6}\s{0,5}[:=,]\s{0,5})[^\s][^\n]{0,20000}"
        ),
        rf"\1{REDACTED}",
    ),
    # URLs with credentials; and whole URLs of databases, whose options may have passwords, too.
    (
        re.compile(
            r"(?i)\b((?:postgres|postgresql|mysql|mariadb|oracle|mssql|redis|rediss|amqp|mongodb|"
            r"ldap|ldaps)(?:\+\w{1,20}){0,2}://)[^\s'\"<>]{1,2000}"
        ),
        rf"\1{REDACTED}",
    ),
    # A password may have / and @ of its own; what looks like a port and a path is none.
    (
        re.compile(r"(//)[^\s/@:'\"<>]{0,100}:(?!\d{1,5}[/?#])[^\s'\"<>]{1,500}@(?=[\w\[])"),
        rf"\1{REDACTED}@",
    ),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]{1,20}://)[^\s/@'\"<>]{1,500}@"), rf"\1{REDACTED}@"),
    (
        re.compile(
            r"(?i)(https?://[^\s/]{0,100}(?:hooks?\.|discord|webhook)[^\s/]{0,100}/)[^\s'\"<>]+"
        ),
        rf"\1{REDACTED}",
    ),
    (
        re.compile(
            r"(?i)\b(bearer|negotiate|(?:basic|digest|token|passw\w{1,5}|passphrase)(?=(?:\s|%20)+"
            r"(?:is\s)?\S*(?:\d|(?-i:[a-z][A-Z]|[A-Z]{8}))))((?:\s|%20)+(?:is\s+)?)"
            r"(?!token\b)[^\s'\",;(\[{<][^\s'\",;]{4,4000}"
        ),
        rf"\1\2{REDACTED}",
    ),
    # Passwords behind options without a name.
    (
        re.compile(r"((?:^|\s)(?:-u|--user|--proxy-user)[\s=]?[\w.@-]{1,60}:)[^\s]{1,500}", re.M),
        rf"\1{REDACTED}",
    ),
    (
        re.compile(r"\b((?:sshpass|mysql\w{0,10}|mariadb\w{0,10})\s(?:\S+\s){0,10}?-p\s?)[^\s]+"),
        rf"\1{REDACTED}",
    ),
    # NAME=VALUE, "name": "value", name: value, --name value, and ?name=value in a URL.
    (
        re.compile(
            rf"(?i)({_NAME}[\w.-]{{0,60}}(?:[\\\"'`\]]{{1,6}}|%22)?{_SEPARATOR}(?:%22)?){_VALUE}"
        ),
        rf"\1{REDACTED}",
    ),
    (
        re.compile(rf"(?i)({_NAME}[\w.-]{{0,60}}\\?[\"'],\s{{0,5}}(?=\w{{0,30}}\\?[\"'])){_VALUE}"),
        rf"\1{REDACTED}",
    ),
    (
        re.compile(
            r"(?i)((?<![\w-])--?[\w-]{0,40}(?:secret|token|password|passwd|passphrase|api-?key|"
            r"credential)[\w-]{0,20}\s{1,5})[^\s-][^\s]{0,4000}"
        ),
        rf"\1{REDACTED}",
    ),
    # JSON web tokens, the tokens of well-known services, and hashes of passwords.
    (re.compile(r"\beyJ[\w-]{8,2000}\.[\w-]{8,4000}(?:\.[\w-]{0,2000})?"), REDACTED),
    (
        re.compile(
            r"\b(?:gh[a-z]_|github_pat_|glpat-|xox[a-z]-|sk-|pk-|hf_|AKIA|ASIA|AIza|npm_|pypi-|"
            r"dckr_pat_|ya29\.)[\w-]{12,500}"
        ),
        REDACTED,
    ),
    (
        re.compile(r"\$(?:[1567y]|2[abxy]|argon2\w{1,2}|scrypt|pbkdf2[\w-]*)\$[^\s'\":]{8,}"),
        REDACTED,
    ),
    # Random text: hexadecimal, such as JupyterHub's tokens, a UUID, or a long mixed word.
    (re.compile(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{24,4096}(?![0-9A-Za-z])"), REDACTED),
    (re.compile(r"\b[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\b"), REDACTED),
    (
        re.compile(
            r"(?<![A-Za-z0-9+/_.-])(?=[A-Za-z0-9+_=-]{0,39}\d)(?=[A-Za-z0-9+_=-]{0,39}[A-Z])"
            r"(?=[A-Za-z0-9+_=-]{0,39}[a-z])[A-Za-z0-9+_-]{32,4096}={0,2}(?![A-Za-z0-9+/_=-])"
        ),
        REDACTED,
    ),
    # The same with the / of base 64; a path has other characters, or begins with one.
    (
        re.compile(
            r"(?<![A-Za-z0-9+/_.-])(?=[A-Za-z0-9+/]{0,39}\d)(?=[A-Za-z0-9+/]{0,39}[A-Z])"
            r"(?=[A-Za-z0-9+/]{0,39}[a-z])[A-Za-z0-9+][A-Za-z0-9+/]{39,4096}={0,2}(?![\w+/=.-])"
        ),
        REDACTED,
    ),
)


_PASSWORD_IN_URL = re.compile(r"://[^\s/@:'\"<>]{0,100}:([^\s'\"<>@/]{4,500})@")


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
        if isinstance(value, LazyConfigValue):
            value = value.to_dict()
        if isinstance(value, bytes):
            self._known |= {value.hex(), base64.b64encode(value).decode(), repr(value)[2:-1]}
            value = value.decode("utf-8", "replace")
        if isinstance(value, str):
            self._known |= {value, *value.split("\n")}
            # As a URL, a header, JSON or a message has it.
            self._known |= {quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1]}
            self._known |= {repr(value)[1:-1], base64.b64encode(_to_bytes(value)).decode()}
        elif isinstance(value, Mapping):
            for key, one in value.items():
                if len(str(key)) >= _SHORTEST_KEY:  # such as c.JupyterHub.api_tokens
                    self.learn(str(key), depth + 1)
                self.learn(one, depth + 1)
        elif isinstance(value, list | tuple | set | frozenset):
            for one in value:
                self.learn(one, depth + 1)

    def _learn_password(self, text: str) -> None:
        """Take note of the password in a URL, which a message may have without the URL."""
        for found in _PASSWORD_IN_URL.findall(text):
            self.learn(found)
            self.learn(unquote(found))

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
        if isinstance(value, LazyConfigValue):  # of c.Spawner.environment.update(…)
            return {
                str(how): self.value(one, name, depth + 1) for how, one in value.to_dict().items()
            }
        if isinstance(value, str):
            self._learn_password(value)
        if _URL_SETTING.search(name) and isinstance(value, str):
            self.learn(value)
            return f"{value.partition('://')[0]}://{REDACTED}"
        if isinstance(value, Mapping):
            if name in _VARIABLES:
                self.learn([one for one in value.values() if _is_long(one)])
                return {self.text(str(key)): REDACTED for key in value}
            return {
                self.text(str(key)): self.value(one, _name_of(str(key), value), depth + 1)
                for key, one in value.items()
            }
        if isinstance(value, list | tuple | set | frozenset):
            return [
                self.value(one, _flag(before, value), depth + 1)
                for before, one in zip([None, *value], value, strict=False)
            ]
        if isinstance(value, int | float):
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, type):
            return f"(class {value.__module__}.{value.__qualname__})"
        return f"({type(value).__name__})"  # code, or an object: it may contain anything

    def text(self, text: str) -> str:
        """Return a text without known secrets, and without what looks like one."""
        # A password may be "password": without that word, other secrets would not be found.
        names = {one for one in self._known if is_secret_name(one)}
        text = _without(self._known - names, text)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return _without(names, text)

    def lines(self, lines: Iterable[str]) -> str:
        """Return lines as one text, without secrets."""
        return self.text("\n".join(lines))


def _without(secrets: set[str], text: str) -> str:
    """Return a text without known secrets; the longest first, because it may contain others."""
    for one in sorted(secrets, key=len, reverse=True):
        if len(one.strip()) >= _SHORTEST and one not in _HARMLESS:
            text = text.replace(one, REDACTED)
    return text


def _to_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


_HARMLESS = frozenset(("None", "True", "False", "null", "true", "false", "name", "admin", "user"))


def _flag(before: object, words: Collection[Any]) -> str:
    """Return the name of an option if the next word of a command is its value; else nothing.

    A pair may be a name and its value as well.
    """
    flag = isinstance(before, str) and before.startswith("-") and "=" not in before
    pair = isinstance(before, str) and len(words) == 2
    return str(before) if flag or pair else ""


def _name_of(key: str, mapping: Mapping[Any, Any]) -> str:
    """Return the name of a value: of {"name": …, "value": …}, the name that stands there."""
    named = mapping.get("name", mapping.get("key")) if key == "value" else None
    return named if isinstance(named, str) else key


def _is_long(value: object) -> bool:
    """Return whether a variable's value is long enough to be a secret and is no path or number."""
    return isinstance(value, str) and len(value) >= 8 and not value.startswith("/")
