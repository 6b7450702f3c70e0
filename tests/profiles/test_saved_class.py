"""States that earlier releases have saved, and the names under which classes are saved now."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.wrapped import Child, NewWrapper, saved

import unispawner
from unispawner import ProfilesSpawner, SlurmSpawner, UniSpawner, WrapSpawner
from unispawner.profiles.saved_class import find_class, saved_name
from unispawner.web.bookkeeping import inner

pytestmark = pytest.mark.hub  # JupyterHub's spawners keep the state

# Written by the last release whose modules lay in one row: version 0.1.0.dev0, before folders.
UNI_CHILD = """{
    "version": 1, "scheduler": "local", "cluster": "", "account": "alice", "job_id": "4711",
    "mark": "aaaaaaaaaaaaaaaa", "token_id": 7, "submit_time": 1.0, "waiting_since": 1.0,
    "scheduler_options": {}, "scheduler_path": "", "scheduler_environment": {}, "state_dir": "",
    "duration": null, "summary": "2 cores", "host": "node1", "port": 40000, "stopping": false
}"""
UNI_IN_PROFILES = f"""{{
    "child_class": "unispawner.spawner.UniSpawner",
    "child_conf": {{"scheduler": "local", "resources": {{"memory": "1G"}}}},
    "child_state": {UNI_CHILD},
    "profile": "job"
}}"""
SLURM_IN_PROFILES = """{
    "child_class": "unispawner.legacy.dialects.SlurmSpawner",
    "child_conf": {"req_nprocs": "2"},
    "child_state": {"job_id": "4711", "job_status": "RUNNING node1"},
    "profile": "old"
}"""
UNI_IN_WRAPPER = f"""{{
    "child_class": "unispawner.spawner.UniSpawner",
    "child_conf": {{"scheduler": "local"}},
    "child_state": {UNI_CHILD}
}}"""
SLURM_IN_WRAPPER = """{
    "child_class": "unispawner.legacy.dialects.SlurmSpawner",
    "child_conf": {"req_nprocs": "2"},
    "child_state": {"job_id": "4711", "job_status": "RUNNING node1"}
}"""


@pytest.mark.parametrize(
    ("cls", "text", "child_class"),
    [
        (ProfilesSpawner, UNI_IN_PROFILES, UniSpawner),
        (ProfilesSpawner, SLURM_IN_PROFILES, SlurmSpawner),
        (WrapSpawner, UNI_IN_WRAPPER, UniSpawner),
        (WrapSpawner, SLURM_IN_WRAPPER, SlurmSpawner),
    ],
)
async def test_servers_of_the_last_release_go_on(
    new: NewWrapper, cls: type, text: str, child_class: type[Any]
) -> None:
    """A state that names modules of the last release gives the same child with the same job; it is
    saved again under a public name. The profiles of now need not have its profile any more."""
    wrapper = new(cls)
    wrapper.load_state(json.loads(text))
    child: Any = inner(wrapper)
    assert child_class is type(child)
    job_id = child.server_job.state.job_id if child_class is UniSpawner else child.job_id
    assert "4711" == job_id
    state, before = saved(wrapper), json.loads(text)
    assert f"unispawner.{child_class.__name__}" == state["child_class"]
    assert before["child_conf"] == state["child_conf"]
    assert before["child_state"].items() <= state["child_state"].items()
    assert before.get("profile") == state.get("profile")
    again = new(cls)
    again.load_state(state)
    assert (child_class, state) == (type(inner(again)), saved(again))


@pytest.mark.parametrize(
    "name",
    [
        "unispawner.spawner.UniSpawner",
        "unispawner.profiles_spawner.ProfilesSpawner",
        "unispawner.wrap_spawner.WrapSpawner",
        "unispawner.legacy.dialects.SlurmSpawner",
        "unispawner.legacy.base.BatchSpawnerBase",
        "unispawner.legacy.SlurmSpawner",
        "unispawner.SlurmSpawner",
        "unispawner.gone.for.good.SlurmSpawner",
    ],
)
def test_our_modules_may_move(name: str) -> None:
    """A class of ours is found by its public name, whichever module of ours the state names."""
    assert getattr(unispawner, name.rpartition(".")[2]) is find_class(name)


@pytest.mark.parametrize("name", [one for one in unispawner.__all__ if one.endswith("Spawner")])
def test_public_classes_are_saved_by_their_public_names(name: str) -> None:
    """The saved name of each public spawner holds no module, and leads back to the class."""
    cls = getattr(unispawner, name)
    assert f"unispawner.{name}" == saved_name(cls)
    assert cls is find_class(saved_name(cls))


def test_classes_of_a_site_are_saved_by_their_modules() -> None:
    """A site's own class keeps its module's name, even if it is called like one of ours."""
    assert "support.wrapped.Child" == saved_name(Child)
    assert Child is find_class("support.wrapped.Child")
    theirs = type("SlurmSpawner", (SlurmSpawner,), {"__module__": "site_spawners"})
    assert "site_spawners.SlurmSpawner" == saved_name(theirs)
    inside = type("SlurmSpawner", (SlurmSpawner,), {"__module__": "unispawner.inside"})
    assert "unispawner.inside.SlurmSpawner" == saved_name(inside), "not the public class"


@pytest.mark.parametrize(
    "name",
    [
        "site_spawners.SlurmSpawner",
        "unispawner_site.SlurmSpawner",
        "unispawner.spawner.NoSpawner",
        "unispawner.schedulers.slurm.Gone",
    ],
)
def test_other_names_are_not_guessed(name: str) -> None:
    """A module that is missing and not ours, or a name that is not public, is an ImportError."""
    with pytest.raises(ImportError):
        find_class(name)
