"""Flux's executor, with a command flux that prints what flux batch and flux cancel print."""

from pathlib import Path

import pytest
from support import OUTPUTS
from support.executor import ExecutorProcess, spec_in
from support.jobs import MARK

from unispawner.schedulers.flux import Flux
from unispawner.testing import read_saved_reply

SUBMITTED = read_saved_reply(OUTPUTS / "flux" / "batch").stdout


@pytest.fixture
def flux(tmp_path: Path) -> ExecutorProcess:
    return ExecutorProcess(tmp_path, Flux(), tmp_path / "work")


def test_the_script_is_standard_input(flux: ExecutorProcess, tmp_path: Path) -> None:
    """flux batch reads the script from standard input, and its id becomes a number.

    No file is left, the script has no secret, and PSI/J is not loaded.
    """
    flux.write("flux", SUBMITTED)
    assert {"job_id": "91088924704768"} == flux.submit(spec_in(tmp_path))
    assert ["batch"] == flux.arguments("flux")
    script = flux.stdin("flux")
    assert script.startswith(f'#!/bin/bash -l\n# flux: --job-name="jupyter unispawner:{MARK}"\n')
    assert "topsecret" not in script
    assert [] == list(flux.work.iterdir())
    assert "psij" not in flux.modules


@pytest.mark.parametrize("text", ["", "queued\n", "ƒiFkbMh", "site says hello\n\n"])
def test_no_id(flux: ExecutorProcess, tmp_path: Path, text: str) -> None:
    """If no id is printed, or its line is cut, the Hub looks for the job by its mark."""
    flux.write("flux", text)
    reply = flux.submit(spec_in(tmp_path))
    assert ("AgentError", "Flux printed no job id:") == (reply["error"], reply["message"])


def test_a_refusal(flux: ExecutorProcess, tmp_path: Path) -> None:
    """A refusal has Flux's words; without a broker, nothing is accepted just now."""
    flux.write("flux", stderr="flux-batch: ERROR: [Errno 22] Invalid queue 'x'\n", status=1)
    reply = flux.submit(spec_in(tmp_path))
    assert "SubmitError" == reply["error"]
    assert "Invalid queue 'x'" in reply["output"]
    flux.write("flux", stderr="flux-batch: ERROR: Unable to connect to Flux\n", status=1)
    assert "SchedulerUnavailable" == flux.submit(spec_in(tmp_path))["error"]


def test_cancelling(flux: ExecutorProcess) -> None:
    """A job is cancelled by its number, and an unknown one is no error."""
    flux.write("flux")
    assert {"done": True} == flux.cancel("91088924704768")
    assert ["cancel", "91088924704768"] == flux.arguments("flux")
    unknown = read_saved_reply(OUTPUTS / "flux" / "cancel-unknown")
    flux.write("flux", stderr=unknown.stderr, status=1)
    assert {"done": True} == flux.cancel("999999")
