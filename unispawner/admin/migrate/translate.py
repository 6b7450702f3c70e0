"""What one of batchspawner's classes is configured to do -> UniSpawner's settings."""

from __future__ import annotations

import os
import re
import shlex
from typing import Any

from jupyterhub.spawner import Spawner

from ...schedulers import scheduler_class
from .batch_script import OF_THE_USER, Asked, OwnScript, compare
from .fields import Field, Fields
from .hooks import reaches_into_batchspawner
from .old import SCHEDULERS, Found, Settings
from .options import FIELDS, Option, as_attributes, parse_options
from .translation import Moved, Translation

_FORMS = ("options_form", "options_from_form", "apply_user_options")
_LIMITS = ("mem_limit", "mem_guarantee", "cpu_limit", "cpu_guarantee")
_COMMANDS = ("batch_submit_cmd", "batch_query_cmd", "batch_cancel_cmd")
_SCRIPT = ("batch_script", "req_options", "req_prologue", "req_epilogue", "req_srun")
_NOT_PLAIN = re.compile(r"[$`;&|<>()\\\n]|(^|\s)~")
"""What a shell makes something else of: UniSpawner starts a server without one."""
_WRAPPER = "batchspawner-singleuser"


def translate(old: Settings, *, has_form: bool = True) -> Translation:
    """Translate the settings of one of batchspawner's own classes.

    Parameters
    ----------
    has_form
        False under a ProfilesSpawner, whose form is the only one.
    """
    return _Translator(old, has_form).translate()


class _Translator:
    def __init__(self, old: Settings, has_form: bool) -> None:
        self.old = old
        self.has_form = has_form
        self.scheduler = SCHEDULERS[old.cls.__name__]
        self.title = scheduler_class(self.scheduler).title
        self.out = Translation()
        traits = old.cls.class_traits()
        self.own = {name: found for name, found in old.own.items() if name in traits}

    def translate(self) -> Translation:
        self.out.set("scheduler", self.scheduler)
        if self.old.cls.__name__ == "MoabSpawner":
            self.out.set(
                "torque_moab",
                True,
                remark="Jobs go to TORQUE's qsub instead of Moab's msub; Moab schedules them.",
            )
        self._fields(self._script())
        self._command()
        for name, found in self.own.items():
            if name not in (*_SCRIPT, "cmd", "args", "batchspawner_singleuser_cmd"):
                self._own(name, found)
        for name, found in self.old.general.items():
            if name not in self.own:
                self._general(name, found)
        self._limits()
        for loser, winner in self.old.beaten:
            if winner.section:  # a profile is there for that
                self.out.note(f"{winner.origin} counts instead.", loser.origin)
        for name, found in self.old.own.items():
            if name not in self.own:
                self.out.note("batchspawner has no such setting, and passes it over.", found.origin)
            elif not self.out.mentions(found.origin):
                self.out.note("It asks for nothing that would have to be said.", found.origin)
        return self.out

    # -- the script and its fields -------------------------------------------------------------

    def _text(self, name: str) -> str:
        found = self.own.get(name)
        return str(found.value if found else self.old.default(name))

    def _script(self) -> Asked:
        traits = [name for name in self.old.cls.class_traits() if name.startswith("req_")]
        names = {name.removeprefix("req_") for name in traits}
        fields = {name: self._text(f"req_{name}") for name in sorted(names - {*OF_THE_USER})}
        default = self.old.default("batch_script")
        script = self._text("batch_script")
        try:
            return compare(script, default, fields, names, self.scheduler)
        except OwnScript as error:
            reason = str(error)
        plain = {**fields, **{name[4:]: "" for name in _SCRIPT[1:] if name[4:] in fields}}
        # Which one is to blame? The one without which it can be read.
        given = [self.own[name] for name in _SCRIPT if name in self.own]
        blamed = []
        for found in given:
            without = {**fields, found.name[4:]: ""} if found.name != "batch_script" else fields
            try:
                compare(
                    default if without is fields else script,
                    default,
                    without,
                    names,
                    self.scheduler,
                )
            except OwnScript:
                continue
            blamed.append(found)
        for found in blamed[:1] or given:
            self.out.stay(found.origin, reason)
        return compare(default, default, plain, names, self.scheduler)

    def _fields(self, asked: Asked) -> None:
        is_default = self._text("batch_script") == self.old.default("batch_script")
        fields: dict[str, Field] = {}
        for name, found in self.own.items():
            field = name.removeprefix("req_")
            if field == name or name in _SCRIPT or not str(found.value):
                continue
            if field in asked.covered:
                self.out.remark("The script has it in a line of its own.", found.origin)
            elif field in asked.used or is_default:
                if field not in ("keepvars_extra", *OF_THE_USER):
                    used = field in asked.used
                    fields[field] = Field(str(found.value), [found.origin], used)
            else:
                self.out.remark("The site's script does not use it: left out.", found.origin)
        self._extra(asked, fields)
        Fields(fields, self.scheduler, self.out).translate()
        self._texts(asked)

    def _extra(self, asked: Asked, fields: dict[str, Field]) -> None:
        """Take the options that the site has added, as fields where they are fields."""
        given = self.own.get("req_options")
        mine: list[Option] = []
        if given and given.origin not in self.out.stays:
            try:
                mine = parse_options(str(given.value), self.scheduler)
            except ValueError:  # several lines
                mine = asked.extra
            if mine and not {*mine} & {*asked.extra} and not asked.dropped:
                self.out.remark("The script does not use it: left out.", given.origin)
        script = self.own.get("batch_script")
        for option in asked.extra:
            source = given if given and option in mine else script
            origins = [source.origin] if source else []
            field = FIELDS[self.scheduler].get(option[0])
            if field and field not in fields and isinstance(option[1], str):
                fields[field] = Field(option[1], origins)
            else:
                attribute = as_attributes(
                    [one for one in asked.extra if one[0] == option[0]], self.scheduler
                )
                self.out.set("custom_attributes", attribute, *origins)

    def _texts(self, asked: Asked) -> None:
        script, options = self.own.get("batch_script"), self.own.get("req_options")
        origins = [script.origin] if script else []
        for name, text in (("prologue", asked.prologue), ("epilogue", asked.epilogue)):
            own = self.own.get(f"req_{name}")
            if own and str(own.value).strip() not in text:
                self.out.remark("The site's script does not use it: left out.", own.origin)
                own = None
            stops = name == "prologue" and asked.stops
            if text:
                alone = own and text == str(own.value).strip("\n")
                sources = ([own.origin] if own else []) + ([] if alone else origins)
                self.out.set(
                    name,
                    text,
                    *sources,
                    remark="batchspawner's script ended at the first command that failed: begin "
                    "with `set -e` where that is wanted."
                    if stops
                    else "",
                )
        if asked.job_name:
            self.out.set("job_name", asked.job_name, *(origins or ["batchspawner's own script"]))
        if asked.dropped:
            self.out.remark(
                "UniSpawner sees to these by itself (the job's log is in ~/.unispawner/logs): "
                f"{', '.join(asked.dropped)}.",
                *(origins or ([options.origin] if options else [])),
            )
        srun = self.own.get("req_srun")
        if srun and srun.origin not in self.out.stays:
            self.out.remark("UniSpawner runs the server without srun.", srun.origin)

    # -- what runs -----------------------------------------------------------------------------

    def _command(self) -> None:
        """Take the wrapper out of the command, and the shell that read it."""
        cmd, args = self.old.find("cmd"), self.old.find("args")
        given = cmd.value if cmd else ["jupyterhub-singleuser"]
        words = [given] if isinstance(given, str) else [str(word) for word in given]
        wrapper = self.own.get("batchspawner_singleuser_cmd")
        before = self._wrapper(wrapper) if wrapper else []
        sources = [found for found in (cmd, wrapper if before else None) if found]
        if words and os.path.basename(words[0]) == _WRAPPER:
            words = words[1:] or ["jupyterhub-singleuser"]
        self._words("cmd", cmd, [*before, *words], sources)
        first = [*before, *words][0]
        if not first.startswith("/"):
            self.out.remark(
                f"A job looks for {first} on the PATH of a login on its node, the prologue's "
                "changes included; batchspawner's had the Hub's PATH. Give its full path if that "
                "does not find it:",
                *(found.origin for found in sources),
                suggestion=("cmd", [f"/opt/hub/bin/{first}"]),
            )
        if args:
            self._words("args", args, [str(word) for word in args.value], [args])

    def _wrapper(self, found: Found) -> list[str]:
        words = str(found.value).split()
        if not words or os.path.basename(words[-1]) != _WRAPPER:
            self.out.stay(found.origin, "a wrapper of the site's own")
            return []
        if len(words) == 1:
            self.out.note("Not needed: UniSpawner brings what reports the port.", found.origin)
        return words[:-1]

    def _words(
        self, name: str, found: Found | None, words: list[str], sources: list[Found]
    ) -> None:
        """Set a list of words if it isn't what it was: batchspawner's was a shell's text."""
        text = " ".join(words)
        try:
            plain = [] if _NOT_PLAIN.search(text) else shlex.split(text)
        except ValueError:
            plain = []
        origins = [one.origin for one in sources]
        if words and not plain:
            for origin in origins:
                self.out.stay(origin, f"a shell has to read it: {text}")
        elif found and plain == found.value and found.name in self.own:
            self.out.set(name, Moved(found), *origins)
        elif plain != (found.value if found else ["jupyterhub-singleuser"]):
            self.out.set(
                name,
                plain,
                *origins,
                remark="Without batchspawner-singleuser; and no shell reads it.",
            )

    # -- the rest ------------------------------------------------------------------------------

    def _own(self, name: str, found: Found) -> None:
        """Take a setting of batchspawner's classes, or of all spawners that is set for them."""
        if name in Spawner.class_traits(config=True):
            self._spawners(name, found)
        elif self._is_default(name, found):
            self.out.note("It is batchspawner's default.", found.origin)
        elif name == "req_keepvars_extra":
            self._variables(found)
        elif name.startswith("req_"):
            if name[4:] in OF_THE_USER:
                self.out.stay(found.origin, "UniSpawner has each user's own")
        elif name in _COMMANDS:
            self._scheduler_command(name, found)
        elif name == "state_exechost_exp":
            self._host(found)
        elif name == "daemon_resolver":
            self.out.set("host_map", dict(found.value), found.origin)
        elif name == "startup_poll_interval":
            self.out.note("One query a second tells of all starts.", found.origin)
        else:
            self.out.stay(found.origin, "UniSpawner has nothing like it")

    def _is_default(self, name: str, found: Found) -> bool:
        default = self.old.default(name)
        if name in (*_COMMANDS, "exec_prefix"):
            return _split(found.value) == _split(default)
        return bool(found.value == default)

    def _general(self, name: str, found: Found) -> None:
        """Look at what is set for every spawner: kept, unless it reaches into batchspawner."""
        if name in Spawner.class_traits(config=True):
            reason = self._reason(name, found.value)
            if reason:
                self.out.stay(found.origin, reason)
            elif name == "start_timeout":
                self._start_timeout(found)

    def _spawners(self, name: str, found: Found) -> None:
        reason = self._reason(name, found.value)
        if reason:
            self.out.stay(found.origin, reason)
            return
        self.out.set(name, Moved(found), found.origin)
        if name == "start_timeout":
            self._start_timeout(found)

    def _reason(self, name: str, value: Any) -> str:
        if name in _FORMS and self.has_form:
            return "a form of the site's own: its fields fill batchspawner's script"
        uses = reaches_into_batchspawner(value)
        return f"it reaches into batchspawner: {uses}" if uses else ""

    def _start_timeout(self, found: Found) -> None:
        self.out.remark(
            f"A start is given up after {found.value} seconds, waiting in the queue included. "
            "UniSpawner's own default is a day: delete the line for that.",
            found.origin,
        )

    def _variables(self, found: Found) -> None:
        names = [name.strip() for name in str(found.value).split(",") if name.strip()]
        values = dict(name.split("=", 1) for name in names if "=" in name)
        kept = [name for name in names if "=" not in name and name not in ("ALL", "NONE")]
        if kept:
            general = self.old.find("env_keep")
            before = list(general.value) if general else ["JUPYTERHUB_SINGLEUSER_APP"]
            self.out.set(
                "env_keep",
                [*before, *(name for name in kept if name not in before)],
                found.origin,
                remark="Of the Hub's own environment.",
            )
        if values:
            lines = [f"export {key}={shlex.quote(value)}" for key, value in values.items()]
            prologue = self.out.settings.get("prologue")
            text = "\n".join([*lines, *([prologue.value] if prologue else [])])
            self.out.set("prologue", text, found.origin)
        if len(kept) + len(values) < len(names):
            self.out.remark(
                "ALL and NONE mean nothing to UniSpawner: a job has the environment of a login.",
                found.origin,
            )

    def _scheduler_command(self, name: str, found: Found) -> None:
        """Take a command that differs from batchspawner's by its directory only."""
        words, usual = _split(found.value), _split(self.old.default(name))
        directory = os.path.dirname(words[0]) if words else ""
        if directory.startswith("/") and [os.path.basename(words[0]), *words[1:]] == usual:
            before = self.out.settings.get("scheduler_path")
            path = before.value.split(":") if before else []
            path += [directory] if directory not in path else []
            self.out.set("scheduler_path", ":".join(path), found.origin)
        else:
            self.out.stay(found.origin, "another command than batchspawner's")

    def _host(self, found: Found) -> None:
        """Say what host_map has to hold in place of an expression."""
        expression = str(found.value)
        example = re.sub(r"\\1|\\g<1>", "node1", expression)
        if "\\" in example or self.old.default("state_exechost_re") != self._text(
            "state_exechost_re"
        ):
            self.out.stay(found.origin, "it makes a host's name in a way of the site's own")
            return
        self.out.remark(
            f"It makes {example} of a node that {self.title} calls node1. UniSpawner needs that "
            "only where the Hub can't resolve the scheduler's names, or not to the address that "
            "servers report; then it is a table, with a line for each node:",
            found.origin,
            suggestion=("host_map", {"node1": example}),
        )

    def _limits(self) -> None:
        """Keep limits that batchspawner never told the scheduler from becoming requests."""
        resources = self.out.settings.get("resources")
        asked = resources.value if resources else {}
        for name in _LIMITS:
            found = self.old.find(name)
            field = "memory" if name.startswith("mem") else "cpu_cores_per_process"
            if found and found.value and field not in asked:
                self.out.settings.pop(name, None)
                self.out.set(
                    name,
                    None,
                    found.origin,
                    remark=f"batchspawner did not tell the scheduler of {name}, UniSpawner would. "
                    "Delete this line if it is to be asked for.",
                )


def _split(command: object) -> list[str]:
    try:
        return shlex.split(str(command))
    except ValueError:
        return [str(command)]
