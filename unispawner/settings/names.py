"""The settings that name a job and its folders, and how they are filled in for a server."""

from __future__ import annotations

import os
import re
from string import Formatter
from typing import Any

from jupyterhub.traitlets import Callable
from traitlets import Integer, List, Unicode, Union

from ..errors import InvalidJobError
from .way import WaySettings

LONGEST_NAME = 200
"""How many characters of a job's name are kept; several schedulers cut it further."""
_NOT_IN_A_NAME = re.compile(r"[^\w.@+ -]", re.ASCII)
_NAME_FIELDS = ("username", "servername", "profile")


class NameSettings(WaySettings):
    """The traits of UniSpawner that name a job, its folder, its log and its private files."""

    job_name = Union(
        [Unicode(), Callable()],
        default_value="jupyter",
        help="""The name of each job in the scheduler's listings. Every user can read it.
        "{username}" stands for the name of the Hub user, "{servername}" for the name of the server
        (empty for the default server), and "{profile}" for the profile that the user chose (empty
        without profiles): "jupyter-{username}-{servername}". It may also be a function that takes
        the spawner and returns the name. In what is filled in, and in what a function returns, each
        character but A-Z, a-z, 0-9, blanks and _.@+- becomes "_". Schedulers allow less: PBS and
        TORQUE also replace "." and "@" and cut the name after 230 or 63 characters, LSF after 128,
        and Grid Engine replaces "@" and blanks. Default: "jupyter".""",
    ).tag(config=True)

    directory = Unicode(
        "",
        help="""The folder in which a job and its server start: an absolute path, or one that begins
        with "~" for the user's home; "{username}" stands for the name of the account. It must exist
        where the job runs, and with HTCondor also on the Hub's host. Where the nodes don't have the
        users' homes, use a folder that they have: "/scratch/{username}". Empty (the default): the
        user's home.""",
    ).tag(config=True)

    state_dir = Union(
        [Unicode(), Callable()],
        default_value="~/.unispawner",
        help="""The folder for each user's private files: the environment of running servers
        (mode 0600) and the logs of the last jobs. It must be visible on the Hub's host and on the
        nodes under the same path. "~" stands for the user's home, "{username}" for the name of
        the account. It may also be a function that takes the spawner and returns such a path, which
        is asked at each start. Default: "~/.unispawner".""",
    ).tag(config=True)

    log_dir = Unicode(
        "",
        help="""The folder for the logs of a user's jobs: an absolute path, or one that begins with
        "~" for the user's home; "{username}" stands for the name of the account. It is made as the
        user if it does not exist, and refused if it is not the user's. Like state_dir, it must be
        visible on the Hub's host and on the nodes. Empty (the default): the folder "logs" in
        state_dir. Example: "~/jupyter-logs".""",
    ).tag(config=True)

    logs_kept = Integer(
        20,
        min=1,
        help="""How many logs of a user's jobs are kept; a new job removes the oldest of the others.
        Logs of running jobs are always kept. Default: 20.""",
    ).tag(config=True)

    trusted_parents = List(
        Unicode(),
        help="""Folders above state_dir or log_dir that are allowed although they belong to another
        account than root or the user, or can be changed by a group, as in ["/projects/physics"];
        for each only the folder itself counts, not those below it. Danger: whoever can change such
        a folder can put files of their own in place of a user's, and so run commands as that user
        and read the token of that user's server. Empty (the default): none.""",
    ).tag(config=True)

    profile_slug = ""
    """The profile that the server is started with; ProfilesSpawner sets it."""

    def fill_job_name(self) -> str:
        """Return the job's name.

        Raises
        ------
        InvalidJobError
            If ``job_name`` has an unknown placeholder, or if its function fails or returns no name.
        """
        if callable(self.job_name):
            # A spawner without a user only checks the configuration.
            given = "jupyter" if self.user is None else _call("job_name", self.job_name, self)
            return _clean(given)[:LONGEST_NAME] or _no_name(given)
        values = {
            "username": self.user.name if self.user is not None else "USER",
            "servername": self.name or "",
            "profile": self.profile_slug,
        }
        template = self.job_name
        _check_fields("job_name", template, _NAME_FIELDS)
        if "{" not in template:
            return str(template) if template.strip() else _no_name(template)
        name = re.sub(r"\{(\w+)\}", lambda match: _clean(values[match[1]]), template)
        # The default server has no name: what separates the name from the rest goes, too.
        name = name if values["servername"] else name.rstrip("-_.@+ ")
        return name[:LONGEST_NAME] or _no_name(name)

    def state_dir_text(self) -> str:
        """Return ``state_dir`` as it counts for a start now; ``{username}`` is not filled in yet.

        Raises
        ------
        InvalidJobError
            If its function fails, or if the text is not the path of a folder.
        """
        text = self.state_dir
        if callable(text):
            text = "~/.unispawner" if self.user is None else _call("state_dir", text, self)
        _check_folder("state_dir", text)
        return str(text)

    def folder_of(self, trait: str, account: str) -> str:
        """Return the folder of a trait, such as ``log_dir``, for an account; it may be empty.

        Raises
        ------
        InvalidJobError
            If it is not the path of a folder, or has another placeholder than ``{username}``.
        """
        text = getattr(self, trait)
        if text:
            _check_folder(trait, text)
        return fill_folder(text, account)

    def check_names(self) -> None:
        """Check the settings above, as far as that is possible without a user.

        Raises
        ------
        InvalidJobError
            If one is wrong; the message names it.
        """
        self.fill_job_name()
        self.state_dir_text()
        for trait in ("directory", "log_dir"):
            self.folder_of(trait, "anybody")
        for folder in self.trusted_parents:
            if not os.path.isabs(folder) or os.path.normpath(folder) != folder:
                raise InvalidJobError(
                    f"trusted_parents: {folder!r} must be an absolute path without '..' and "
                    "without a slash at its end"
                )


def fill_folder(text: str, account: str) -> str:
    """Return the path of an account's folder."""
    return text.replace("{username}", account)


def _check_folder(trait: str, text: object) -> None:
    if not isinstance(text, str) or (not text.startswith(("/", "~/")) and text != "~"):
        raise InvalidJobError(f"{trait}: {text!r} must be an absolute path, or begin with ~/")
    _check_fields(trait, text, ("username",))


def _check_fields(trait: str, text: str, known: tuple[str, ...]) -> None:
    """Check that a text has no other names in braces than these.

    Raises
    ------
    InvalidJobError
        If it has; the message lists the known names.
    """
    if re.search(r"[{}]", re.sub(rf"\{{({'|'.join(known)})\}}", "", text)):
        try:
            names = [name for _, name, _, _ in Formatter().parse(text) if name is not None]
        except ValueError:
            names = []
        unknown = next((name for name in names if name not in known), None)
        if unknown is not None:
            what = f"unknown placeholder {{{unknown}}}"
        else:  # a known name is in the text with more than its braces: {username!r}
            what = "write a placeholder without a format" if names else "a brace is not closed"
        listed = ", ".join(f"{{{name}}}" for name in known)
        only = f"the only placeholder is {listed}" if len(known) == 1 else f"known: {listed}"
        raise InvalidJobError(f"{trait}: {text!r}: {what}; {only}")


def _call(trait: str, function: Any, spawner: object) -> str:
    try:
        given = function(spawner)
    except Exception as error:  # the administrator's own function: whatever it raises
        raise InvalidJobError(
            f"c.UniSpawner.{trait}: the function failed: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(given, str) or not given.strip():
        raise InvalidJobError(f"c.UniSpawner.{trait}: the function returned {given!r}; return text")
    return given


def _clean(text: str) -> str:
    return _NOT_IN_A_NAME.sub("_", text)


def _no_name(given: str) -> str:
    raise InvalidJobError(f"job_name: {given!r} is empty as a name; a job needs a name")
