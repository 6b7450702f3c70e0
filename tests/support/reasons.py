"""What the schedulers' files say in plain words."""

from __future__ import annotations

from unispawner.schedulers import (
    gridengine_jobs,
    htcondor,
    local,
    lsf_jobs,
    pbs,
    pbs_job,
    slurm,
    template,
    torque,
)


def reasons_of_schedulers() -> list[str]:
    """Return all plain words of all schedulers about why a job waits or has ended."""
    tables = (
        slurm.REASONS,
        lsf_jobs.REASONS,
        lsf_jobs._STATE_REASONS,
        gridengine_jobs._FAILED,
        htcondor._WAITS,
        dict(pbs_job._HOLDS),
        pbs.Pbs.exit_codes,
        torque.Torque.exit_codes,
    )
    titles = [one.title for one in (template.Template, local.Local)]
    found = {words for table in tables for words in table.values() if words}
    others = ["HTCondor gives no reason", "the job is held (qrls releases it)"]
    return [*sorted(found), *titles, *others]
