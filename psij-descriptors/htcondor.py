"""Makes PSI/J find the executor "htcondor" wherever unispawner is installed."""

from packaging.version import Version
from psij.descriptor import Descriptor

__PSI_J_EXECUTORS__ = [
    Descriptor(
        name="htcondor",
        nice_name="HTCondor",
        version=Version("0.0.1"),
        cls="unispawner.agent.executors.psij_htcondor.HTCondorJobExecutor",
    )
]
