"""Grid Engine's root, cell and ports, as found on the Hub's own host."""

from collections.abc import Callable
from pathlib import Path

import pytest

from unispawner.schedulers import gridengine_host
from unispawner.schedulers.gridengine import GridEngine
from unispawner.schedulers.gridengine_host import find_root
from unispawner.schedulers.slurm import Slurm


@pytest.fixture
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Create directories like Grid Engine's, and search no others."""
    monkeypatch.setattr(gridengine_host, "_roots", {})
    monkeypatch.delenv("SGE_ROOT", raising=False)
    monkeypatch.delenv("SGE_CELL", raising=False)
    monkeypatch.setattr(
        gridengine_host, "USUAL_ROOTS", (str(tmp_path / "first"), str(tmp_path / "second[1]"))
    )

    def root(name: str, cell: str = "default") -> str:
        common = tmp_path / name / cell / "common"
        common.mkdir(parents=True)
        (common / "act_qmaster").write_text("head\n")
        return str(tmp_path / name)

    return root


def test_no_root_is_empty(roots: Callable[..., str]) -> None:
    """If no root is found, the setting stays empty."""
    assert "" == find_root("default")


def test_the_first_usual_place_with_that_cell(roots: Callable[..., str]) -> None:
    """The first usual directory that has the right cell is taken, whatever its name contains."""
    roots("first", "west")
    second = roots("second[1]")
    assert second == find_root("default")


def test_the_hubs_own_root_goes_first(
    roots: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SGE_ROOT of the Hub's environment comes first, if it is a root at all."""
    first, own = roots("first"), roots("own", "east")
    monkeypatch.setenv("SGE_ROOT", own)
    assert [own, first] == [find_root("east"), find_root("default")]


def test_only_what_is_not_set_is_filled_in(roots: Callable[..., str]) -> None:
    """Only empty settings are filled in; settings of other schedulers stay as they are."""
    first, west = roots("first"), roots("second[1]", "west")
    given = {"sge_root": "", "sge_cell": "", "sge_gpu_resource": "gpu"}
    assert {**given, "sge_root": first} == GridEngine.complete_settings(given)
    assert {"sge_root": "", "sge_cell": ""} == {name: given[name] for name in list(given)[:2]}
    west_cell = {**given, "sge_cell": "west"}
    assert {**west_cell, "sge_root": west} == GridEngine.complete_settings(west_cell)
    by_hand = {**given, "sge_root": "/my/own"}
    assert by_hand == GridEngine.complete_settings(by_hand)
    assert {} == Slurm.complete_settings({})


def test_cell_and_ports_of_the_hubs_environment(
    roots: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cell and ports of the environment count only with SGE_ROOT, and settings come before them."""
    own = roots("own", "east")
    monkeypatch.setenv("SGE_CELL", "east")
    monkeypatch.setenv("SGE_QMASTER_PORT", "6444")
    monkeypatch.setenv("SGE_EXECD_PORT", "none")
    given = {"sge_root": "", "sge_cell": "", "sge_qmaster_port": 0, "sge_execd_port": 0}
    assert given == GridEngine.complete_settings(given)
    monkeypatch.setenv("SGE_ROOT", own)
    monkeypatch.setattr(gridengine_host, "_roots", {})
    found = {"sge_root": own, "sge_cell": "east", "sge_qmaster_port": 6444, "sge_execd_port": 0}
    assert found == GridEngine.complete_settings(given)
    by_hand = {**given, "sge_qmaster_port": 7000}
    assert {**found, "sge_qmaster_port": 7000} == GridEngine.complete_settings(by_hand)
