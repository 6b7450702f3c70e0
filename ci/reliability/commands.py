"""A scheduler's commands for one Hub: wrappers that can be made to hang, to lie or to fail.

They stand in a folder that comes first in the Hub's ``scheduler_path``, so that nobody else on the
cluster is disturbed. What they do is read from the file ``mode`` at each call.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from support.clusters import Cluster

NAMES = {
    "slurm": ("sbatch", "scancel", "squeue", "scontrol", "sacct"),
    "gridengine": ("qsub", "qdel", "qstat", "qacct"),
    "htcondor": ("condor_submit", "condor_rm", "condor_q", "condor_history"),
}
"""The commands that are wrapped, by scheduler."""
SUBMITTING = {"slurm": "sbatch", "gridengine": "qsub", "htcondor": "condor_submit"}
WRAPPER = """\
#!/bin/bash
# The mode for this command alone comes before the mode for all.
here={folder}
mode=
for file in "$here/mode-{name}" "$here/mode"; do
    if [ -e "$file" ]; then mode=$(<"$file"); break; fi
done
broken() {{ echo "{name}: Unable to contact the scheduler: Connection refused" >&2; exit 1; }}
case $mode in
    fail) broken ;;
    hang) exec sleep 1000 ;;
    hang-after) {command} "$@" >/dev/null; exec sleep 1000 ;;
    slow) sleep 4 ;;
    nothing) exit 0 ;;
    garbled) {command} "$@" >/dev/null 2>&1; head -c 3000 /dev/urandom; exit 0 ;;
    half)
        out=$({command} "$@"; echo "$?")
        status=${{out##*$'\\n'}} out=${{out%$'\\n'*}}
        printf %s "${{out:0:$((${{#out}} / 2))}}"
        exit "$status" ;;
    random)
        case $((RANDOM % 4)) in
            0) broken ;;
            1) {command} "$@" >/dev/null; exit 1 ;;
        esac ;;
esac
exec {command} "$@"
"""


class Commands:
    """The folder of wrappers for one Hub.

    Attributes
    ----------
    folder
        For the Hub's ``scheduler_path``.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="unispawner-commands-"))
        self.folder.chmod(0o755)
        self.submitting = SUBMITTING[cluster.name]
        for name in NAMES[cluster.name]:
            found = shutil.which(name)
            assert found, f"there is no {name} on PATH"
            script = self.folder / name
            script.write_text(WRAPPER.format(folder=self.folder, name=name, command=found))
            script.chmod(0o755)

    def set(self, mode: str, command: str = "") -> None:
        """Let one command, or all, behave so; an empty mode is the usual behaviour."""
        path = self.folder / (f"mode-{command}" if command else "mode")
        if mode:
            draft = path.with_suffix(".new")
            draft.write_text(mode)
            draft.rename(path)
        else:
            path.unlink(missing_ok=True)

    def reset(self) -> None:
        """Let all commands behave as usual."""
        for path in self.folder.glob("mode*"):
            path.unlink()

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
