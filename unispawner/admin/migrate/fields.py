"""batchspawner's fields (``req_memory``, ``req_runtime`` and so on) -> UniSpawner's settings."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ...schedulers import scheduler_class
from ...units import format_memory
from .amounts import read_memory, read_runtime, write_duration
from .options import Option, write_attributes, write_option
from .translation import Translation

_DEFAULT_SERVER = {"torque": "PBS_DEFAULT", "pbs": "PBS_SERVER"}
"""The variable that names the server which qsub, qstat and qdel ask."""


@dataclass
class Field:
    """The value of one of batchspawner's fields.

    Attributes
    ----------
    used
        False if batchspawner's script does not use the field, so that it had no effect.
    option
        The option from which the value was read; None if it is a setting's.
    """

    value: str
    origins: list[str] = field(default_factory=list)
    used: bool = True
    option: Option | None = None


def translate_fields(fields: dict[str, Field], scheduler: str, out: Translation) -> None:
    """Set what UniSpawner has a setting for, and add a remark for each field that is left."""
    _FieldTranslator(dict(fields), scheduler, out).translate()


class _FieldTranslator:
    """Each method takes the fields that it is about out of ``self.fields``."""

    def __init__(self, fields: dict[str, Field], scheduler: str, out: Translation) -> None:
        self.fields = fields
        self.scheduler = scheduler
        self.title = scheduler_class(scheduler).title
        self.supported = scheduler_class(scheduler).supports
        self.out = out

    def translate(self) -> None:
        self._queue()
        for name, setting in (("account", "account"), ("reservation", "reservation_id")):
            if setting in self.supported:
                self._take(name, setting, str)
        attribute = "request_cpus" if self.scheduler == "htcondor" else ""
        self._take("nprocs", "resources", self._cores, attribute)
        self._memory()
        self._duration()
        self._gpus()
        if self.scheduler == "slurm":
            self._take("qos", "custom_attributes", lambda text: {"slurm.qos": text})
            self._cluster()
        for left in self.fields.values():
            self.out.add_note(
                f"{self.title} has no option for it, and the old script did not use it.",
                *left.origins,
            )

    def _take(
        self, name: str, setting: str, convert: Callable[[str], Any], attribute: str = ""
    ) -> None:
        """Translate a field.

        Parameters
        ----------
        convert
            Reads the value; None if it can't be read.
        attribute
            The scheduler's option that takes such a value as it is; empty if there is none.
        """
        taken = self.fields.pop(name, None)
        if taken is None:
            return
        text = taken.value.strip()
        value = convert(text)
        if not taken.used:
            self._suggest(setting, value, taken)
        elif value is not None:
            self.out.set(setting, value, *taken.origins)
        elif taken.option or attribute:
            self._pass_on(taken.option or (attribute, text), taken.origins)
        else:
            for origin in taken.origins:
                self.out.mark_untranslatable(
                    origin, f"UniSpawner has no setting that can hold {text!r}"
                )

    def _suggest(self, setting: str, value: Any, unused: Field) -> None:
        """Add a remark on a field that had no effect: no job may change without a decision."""
        if value is None:
            text = f"UniSpawner can't read {unused.value!r}, and the old script did not use it."
            self.out.add_remark(text, *unused.origins)
            return
        self.out.add_remark(
            "The old script did not use it, so jobs did not ask for it, and they still don't. If "
            "you want it, add:",
            *unused.origins,
            suggestion=(setting, value),
        )

    def _pass_on(self, option: Option, origins: list[str]) -> None:
        """Pass an option to the scheduler as it is."""
        written = write_option(option, self.scheduler)
        self.out.set(
            "custom_attributes",
            write_attributes([option], self.scheduler),
            *origins,
            note=f"{written} goes to {self.title} as it is: UniSpawner can't read the value.",
        )

    # -- one field after the other -------------------------------------------------------------

    def _queue(self) -> None:
        if "queue_name" not in self.supported:
            return
        name = "partition" if "partition" in self.fields and self.scheduler == "slurm" else "queue"
        if name == "partition" and (queue := self.fields.pop("queue", None)):
            self.out.add_note(
                "The old script did not use it: req_partition is Slurm's partition.", *queue.origins
            )
        host = self.fields.pop("host", None) if self.scheduler in _DEFAULT_SERVER else None
        if host is not None:
            queue = self.fields.setdefault(name, Field(""))
            queue.value, queue.origins = f"{queue.value}@{host.value}", queue.origins + host.origins
            self.out.add_remark(
                f"If {host.value} is not this host's default server, set it for all of "
                f"{self.title}'s commands:",
                *host.origins,
                suggestion=("scheduler_environment", {_DEFAULT_SERVER[self.scheduler]: host.value}),
            )
        self._take(name, "queue_name", str)

    def _cores(self, text: str) -> dict[str, int] | None:
        cores = int(text) if re.fullmatch(r"[1-9]\d{0,5}", text, re.ASCII) else None
        return {"cpu_cores_per_process": cores} if cores else None

    def _memory(self) -> None:
        def convert(text: str) -> dict[str, str] | None:
            size = read_memory(text, self.scheduler)
            return {"memory": format_memory(size)} if size else None

        attribute = {"slurm": "mem", "htcondor": "request_memory"}.get(self.scheduler, "")
        self._take("memory", "resources", convert, attribute)

    def _duration(self) -> None:
        def convert(text: str) -> str | None:
            length = read_runtime(text, self.scheduler)
            return write_duration(text, length) if length else None

        attribute = "time" if self.scheduler == "slurm" else ""
        self._take("runtime", "duration", convert, attribute)

    def _gpus(self) -> None:
        gres = self.fields.get("gres")
        if gres is not None and not re.fullmatch(r"gpu(:\d+)?", gres.value.strip()):
            taken = self.fields.pop("gres")
            attribute = write_attributes([("gres", taken.value.strip())], self.scheduler)
            self.out.set("custom_attributes", attribute, *taken.origins)
        self._take("gres", "resources", self._count_gpus)
        if gres is not None and "gpu" in gres.value and (ngpus := self.fields.pop("ngpus", None)):
            self.out.add_note(
                "The old script did not use it: req_gres asks for the GPUs.", *ngpus.origins
            )
        if "gpu_cores_per_process" in self.supported:
            self._take("ngpus", "resources", self._count_gpus)

    def _count_gpus(self, text: str) -> dict[str, int] | None:
        match = re.fullmatch(r"(?:gpu:?)?(\d{0,3})", text, re.ASCII)
        return {"gpu_cores_per_process": int(match[1] or 1)} if match else None

    def _cluster(self) -> None:
        cluster = self.fields.pop("cluster", None)
        if cluster and cluster.used:
            self.out.set("slurm_cluster", cluster.value.strip(), *cluster.origins)
        elif cluster:
            self.out.add_remark(
                "The old script did not use it, so jobs went to this host's own cluster, and they "
                "still do. To use that cluster, make all of Slurm's commands ask it:",
                *cluster.origins,
                suggestion=("slurm_cluster", cluster.value),
            )
