"""``batch_script`` and the ``req_`` fields that it uses -> UniSpawner's settings."""

from __future__ import annotations

from .batch_script import OF_THE_USER, Comparison, UntranslatableScript, compare
from .fields import Field, translate_fields
from .old_config import OldSetting, SpawnerSettings
from .options import FIELDS, Option, find_fields, write_attributes, write_option
from .translation import Translation

COMMANDS = ("batch_submit_cmd", "batch_query_cmd", "batch_cancel_cmd")
_TEXTS = ("req_options", "req_prologue", "req_epilogue", "req_srun")
_UNUSED = "The old script did not use it, so it had no effect."
_STOPS = (
    "batchspawner's script ended at the first command that failed. Begin with `set -e` if you want "
    "that."
)


def is_of_script(name: str) -> bool:
    """Return whether a trait is translated here."""
    special = ("keepvars_extra", *OF_THE_USER)
    return name == "batch_script" or (name.startswith("req_") and name[4:] not in special)


def translate_script(old: SpawnerSettings, out: Translation) -> None:
    """Translate the script and its fields; mark what keeps it from being translated."""
    translator = _ScriptTranslator(old, out)
    comparison = translator.compare()
    translator.translate_fields(comparison)
    translator.translate_texts(comparison)


class _ScriptTranslator:
    def __init__(self, old: SpawnerSettings, out: Translation) -> None:
        self.scheduler = old.scheduler
        self.out = out
        self.default = str(old.default("batch_script"))
        traits = [name for name in old.cls.class_traits() if name.startswith("req_")]
        defaults = {name: old.default(name) for name in sorted(traits)}
        self.given = {name: one for name, one in old.recognized.items() if is_of_script(name)}
        self.fields = {
            name[4:]: str(self.given[name].value if name in self.given else default)
            for name, default in defaults.items()
            if name[4:] not in OF_THE_USER
        }
        commands = [str(one.value) for name, one in old.recognized.items() if name in COMMANDS]
        self.of_commands = {
            name for name in self.fields if any(f"{{{name}}}" in c for c in commands)
        }
        """The fields that a command of the site's uses, and not only the script."""
        script = self.given.get("batch_script")
        self.script = str(script.value) if script else self.default

    # -- the script ----------------------------------------------------------------------------

    def compare(self) -> Comparison:
        """Compare with batchspawner's script; without the culprits if that can't be done."""
        try:
            return compare(self.script, self.default, self.fields, self.scheduler)
        except UntranslatableScript as error:
            reason = str(error)
        culprits = [one for one in self.given.values() if self._can_do_without(one)]
        for found in culprits[:1] or self.given.values():
            self.out.mark_untranslatable(found.origin, reason)
        names = {found.name for found in culprits[:1] or self.given.values()} | {*_TEXTS}
        fields = {
            name: "" if f"req_{name}" in names else value for name, value in self.fields.items()
        }
        return compare(self.default, self.default, fields, self.scheduler)

    def _can_do_without(self, setting: OldSetting) -> bool:
        script, fields = self.script, self.fields
        if setting.name == "batch_script":
            script = self.default
        else:
            fields = {**fields, setting.name[4:]: ""}
        try:
            compare(script, self.default, fields, self.scheduler)
        except UntranslatableScript:
            return False
        return True

    # -- fields and options --------------------------------------------------------------------

    def translate_fields(self, comparison: Comparison) -> None:
        """Translate the fields, and the options that the site has added to the script."""
        fields: dict[str, Field] = {}
        for name, found in self.given.items():
            field, text = name.removeprefix("req_"), str(found.value)
            if name in ("batch_script", *_TEXTS) or not text:
                continue
            if found.origin in self.out.untranslatable:
                continue
            if field in comparison.used_otherwise:
                self.out.add_note(
                    "The script has it in a line of its own, which is translated.", found.origin
                )
            elif field in comparison.used:
                fields[field] = Field(text, [found.origin])
            elif field in self.of_commands:
                continue  # the translation of the command says what becomes of it
            elif self.script == self.default:
                fields[field] = Field(text, [found.origin], used=False)
            else:
                self.out.add_note(_UNUSED, found.origin)
        self._add_options(comparison, fields)
        translate_fields(fields, self.scheduler, self.out)

    def _add_options(self, comparison: Comparison, fields: dict[str, Field]) -> None:
        """Take the options that the site has added: as fields if they are about the same."""
        for option in comparison.extra:
            origins = self._origins(option, comparison)
            for name in find_fields(option, self.scheduler):
                if name in fields and not fields[name].used:
                    self.out.add_note(
                        f"{_UNUSED} Its {write_option(option, self.scheduler)} asks for the same.",
                        *fields.pop(name).origins,
                    )
            name = FIELDS[self.scheduler].get(option[0], "")
            if name and name not in fields and isinstance(option[1], str):
                fields[name] = Field(option[1], origins, option=option)
            else:
                repeated = [one for one in comparison.extra if one[0] == option[0]]
                attributes = write_attributes(repeated, self.scheduler)
                self.out.set("custom_attributes", attributes, *origins)
        given = self.given.get("req_options")
        used = comparison.used | comparison.used_otherwise
        if given and str(given.value) and "options" not in used:
            self.out.add_note(_UNUSED, given.origin)

    def _origins(self, option: Option, comparison: Comparison) -> list[str]:
        name = "req_options" if option in comparison.from_options else "batch_script"
        return [self.given[name].origin] if name in self.given else []

    # -- what the script does ------------------------------------------------------------------

    def translate_texts(self, comparison: Comparison) -> None:
        """Translate what the script does around the server, and its job's name."""
        script, options = self.given.get("batch_script"), self.given.get("req_options")
        origins = [script.origin] if script else []
        note = _STOPS if comparison.stops_on_error else ""
        self._translate_text("prologue", comparison.prologue, origins, note)
        self._translate_text("epilogue", comparison.epilogue, origins)
        if comparison.job_name:
            sources = origins or ["batchspawner's own script"]
            self.out.set("job_name", comparison.job_name, *sources)
        if comparison.dropped:
            sources = origins or ([options.origin] if options else [])
            text = f"UniSpawner sets {', '.join(comparison.dropped)} itself."
            if comparison.has_own_log:
                self.out.add_remark(f"{text} The job's log is in ~/.unispawner/logs.", *sources)
            else:
                self.out.add_note(text, *sources)
        srun = self.given.get("req_srun")
        if srun and not str(srun.value):
            self.out.add_note("UniSpawner runs the server without srun, too.", srun.origin)
        elif comparison.runs_srun:
            sources = [srun.origin] if srun else origins or ["batchspawner's own script"]
            self.out.add_note("UniSpawner runs the server without srun.", *sources)

    def _translate_text(self, name: str, text: str, origins: list[str], note: str = "") -> None:
        """Set the prologue or the epilogue."""
        own = self.given.get(f"req_{name}")
        if own and str(own.value).strip() not in text:
            self.out.add_note(_UNUSED, own.origin)
            own = None
        if text:
            alone = own is not None and text == str(own.value).strip("\n")
            sources = ([own.origin] if own else []) + ([] if alone else origins)
            self.out.set(name, text, *sources, note=note)
