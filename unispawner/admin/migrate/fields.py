"""``req_memory``, ``req_runtime`` and the like: batchspawner's fields -> UniSpawner's settings."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ...schedulers import scheduler_class
from .amounts import read_memory, read_runtime, write_duration, write_memory
from .translation import Translation

_DEFAULT_SERVER = {"torque": "PBS_DEFAULT", "pbs": "PBS_SERVER"}


@dataclass
class Field:
    """The value of one of batchspawner's fields.

    Attributes
    ----------
    used
        False if no script of batchspawner's had it, so that the setting had no effect.
    """

    value: str
    origins: list[str] = field(default_factory=list)
    used: bool = True


class Fields:
    """Turns fields into settings; each is taken once, and what is left over is told."""

    def __init__(self, fields: dict[str, Field], scheduler: str, out: Translation) -> None:
        self.fields = fields
        self.scheduler = scheduler
        self.title = scheduler_class(scheduler).title
        self.supported = scheduler_class(scheduler).supports
        self.out = out

    def translate(self) -> None:
        """Set all that has a counterpart."""
        self._queue()
        for name, setting in (("account", "account"), ("reservation", "reservation_id")):
            if setting in self.supported:
                self._take(name, setting, lambda text: text)
        if self.scheduler != "slurm":
            self.fields.pop("gres", None)
        self._take("nprocs", "resources", self._cores, self._own)
        self._memory()
        self._take("runtime", "duration", self._duration, self._unlimited)
        self._gpus()
        if self.scheduler == "slurm":
            self._take("qos", "custom_attributes", lambda text: {"slurm.qos": text})
            self._cluster()
        for name, left in self.fields.items():
            self.out.remark(
                f"{self.title} has nothing that req_{name} could ask for, and the old script did "
                "not use it.",
                *left.origins,
            )

    def _take(
        self,
        name: str,
        setting: str,
        convert: Callable[[str], Any],
        otherwise: Callable[[str, Field], None] | None = None,
    ) -> None:
        """Take a field; one that can't be read goes to ``otherwise`` if it had an effect."""
        taken = self.fields.pop(name, None)
        if taken is None:
            return
        value = convert(taken.value.strip())
        if value is not None:
            self.out.set(setting, value, *taken.origins, remark=self._unused(name, taken))
        elif taken.used and otherwise:
            otherwise(name, taken)
        else:
            self.out.remark(
                f"{taken.value!r} can't be read, and the old script did not use it.", *taken.origins
            )

    def _unused(self, name: str, taken: Field) -> str:
        if taken.used:
            return ""
        return (
            f"batchspawner's script for {self.title} does not use req_{name}: this is asked for "
            "from now on. Delete it if that isn't wanted."
        )

    def _own(self, name: str, taken: Field) -> None:
        for origin in taken.origins:
            self.out.stay(origin, f"{taken.value!r} is more than UniSpawner can ask for")

    def _attribute(self, option: str, why: str) -> Callable[[str, Field], None]:
        def take(_name: str, taken: Field) -> None:
            attribute = {f"{self.scheduler}.{option}": taken.value.strip()}
            self.out.set("custom_attributes", attribute, *taken.origins, remark=why)

        return take

    # -- one by one ----------------------------------------------------------------------------

    def _queue(self) -> None:
        names = ("partition", "queue") if self.scheduler == "slurm" else ("queue", "partition")
        if "queue_name" not in self.supported:
            return
        queue = self.fields.pop(names[0], None)
        if queue is None and self.scheduler == "slurm":
            queue = self.fields.pop(names[1], None)
        host = self.fields.pop("host", None) if self.scheduler in _DEFAULT_SERVER else None
        if host is not None:
            queue = Field(
                f"{queue.value if queue else ''}@{host.value}",
                [*(queue.origins if queue else ()), *host.origins],
            )
            variable = _DEFAULT_SERVER[self.scheduler]
            self.out.remark(
                f"Where {host.value} is not this host's default server, ask that one for all jobs:",
                *host.origins,
                suggestion=("scheduler_environment", {variable: host.value}),
            )
        if queue is not None:
            remark = self._unused(names[0], queue)
            self.out.set("queue_name", queue.value, *queue.origins, remark=remark)

    def _memory(self) -> None:
        option = {"slurm": "mem", "htcondor": "request_memory"}.get(self.scheduler, "")
        why = f"It is no plain amount: it goes to {self.title} as it is."
        otherwise = self._attribute(option, why) if option else self._own
        self._take("memory", "resources", self._amount, otherwise)

    def _amount(self, text: str) -> dict[str, str] | None:
        size = read_memory(text, self.scheduler)
        return {"memory": write_memory(size)} if size else None

    def _duration(self, text: str) -> str | None:
        length = read_runtime(text, self.scheduler)
        return write_duration(text, length) if length else None

    def _unlimited(self, name: str, taken: Field) -> None:
        if self.scheduler == "slurm":
            self._attribute("time", "It is no length of time: it goes to Slurm as it is.")(
                name, taken
            )
        else:
            self._own(name, taken)

    def _cores(self, text: str) -> dict[str, int] | None:
        cores = int(text) if re.fullmatch(r"[1-9]\d{0,5}", text, re.ASCII) else None
        return {"cpu_cores_per_process": cores} if cores else None

    def _gpus(self) -> None:
        gres = self.fields.get("gres")
        if gres is not None and not re.fullmatch(r"gpu(:\d+)?", gres.value.strip()):
            self._attribute("gres", "")("gres", self.fields.pop("gres"))
        for name in ("gres", "ngpus"):
            if name == "ngpus" and "gpu_cores_per_process" not in self.supported:
                continue
            self._take(name, "resources", self._count, self._own)
            if name == "gres" and gres is not None and (left := self.fields.pop("ngpus", None)):
                self.out.remark("req_gres asks for the GPUs.", *left.origins)

    def _count(self, text: str) -> dict[str, int] | None:
        match = re.fullmatch(r"(?:gpu:?)?(\d{0,3})", text, re.ASCII)
        return {"gpu_cores_per_process": int(match[1] or 1)} if match else None

    def _cluster(self) -> None:
        if cluster := self.fields.pop("cluster", None):
            self.out.remark(
                "batchspawner's script does not use req_cluster: jobs went to this host's own "
                "cluster, and still do. For another, all of Slurm's commands have to ask there:",
                *cluster.origins,
                suggestion=("scheduler_environment", {"SLURM_CLUSTERS": cluster.value}),
            )
