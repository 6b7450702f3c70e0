"""The settings that only one scheduler has: as traits, in schedulers, in monitors, in the state."""

from __future__ import annotations

import json
from typing import Any

import pytest
from traitlets import TraitError
from traitlets.config import Config

from unispawner.errors import InvalidJobError
from unispawner.monitor.monitor import Monitor, get_monitor
from unispawner.schedulers import (
    NAMES,
    Scheduler,
    get_scheduler,
    gridengine_host,
    scheduler_class,
)
from unispawner.servers.spawner import UniSpawner
from unispawner.servers.state import ServerState
from unispawner.settings import detect
from unispawner.submit_host.host import SubmitHost

MARK = "0123456789abcdef"
PAIRS = [(name, setting) for name in NAMES for setting in scheduler_class(name).settings()]
SETTINGS = [pytest.param(*pair, id=f"{pair[0]}-{pair[1].name}") for pair in PAIRS]


@pytest.fixture(autouse=True)
def no_grid_engine_of_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the variables of this host's Grid Engine, which would fill settings left out."""
    for name in ("SGE_ROOT", "SGE_CELL", "SGE_QMASTER_PORT", "SGE_EXECD_PORT"):
        monkeypatch.delenv(name, raising=False)


def another(setting: Any) -> Any:
    """Return a valid value of a setting that is not its default."""
    default, choices = setting.default, setting.metadata["choices"]
    if setting.name == "template":  # its files must exist
        return "slurm"
    if choices:
        return next(one for one in choices if one != default)
    return {bool: not default, int: 17, str: "another"}[type(default)]


def spawner(name: str, **settings: Any) -> UniSpawner:
    """Return a spawner with these settings in its configuration."""
    config = Config()
    config.UniSpawner.scheduler = name
    config.UniSpawner.update(settings)
    return UniSpawner(config=config)


@pytest.fixture(autouse=True)
def no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test find the Grid Engine of this host."""
    monkeypatch.setattr(gridengine_host, "find_root", lambda cell: "")


# -- as traits ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "setting"), SETTINGS)
def test_each_is_a_trait(name: str, setting: Any) -> None:
    """Each setting is a trait with the same default, whose help text names its schedulers."""
    trait = UniSpawner.class_traits(config=True)[setting.name]
    assert setting.default == trait.default_value == getattr(UniSpawner(), setting.name)
    assert type(setting.default) is type(trait.default_value)
    assert trait.help.startswith(setting.metadata["help"])
    assert f"(scheduler: {name}" in trait.help


def test_settings_of_one_name_are_alike() -> None:
    """Schedulers that share a setting give it the same default and the same choices."""
    seen: dict[str, Any] = {}
    for name in NAMES:
        for setting in scheduler_class(name).settings():
            same = (setting.default, setting.metadata["choices"])
            assert same == seen.setdefault(setting.name, same), f"{name}: {setting.name}"
    assert seen


def test_no_setting_hides_a_name_of_jupyterhubs() -> None:
    """No setting has the name of a trait or method of JupyterHub's Spawner, such as ``cmd``."""
    from jupyterhub.spawner import Spawner

    names = {setting.name for _, setting in PAIRS}
    assert set() == names & set(dir(Spawner))


@pytest.mark.parametrize(("name", "setting"), SETTINGS)
def test_each_reaches_the_scheduler(name: str, setting: Any) -> None:
    """A setting reaches the scheduler from the configuration and from a hook that sets it."""
    value = another(setting)
    configured = spawner(name, **{setting.name: value}).get_scheduler()
    assert value == getattr(configured, setting.name)
    hooked = spawner(name)
    setattr(hooked, setting.name, value)
    assert configured == hooked.get_scheduler()
    assert configured != spawner(name).get_scheduler()


def test_settings_of_other_schedulers_change_nothing() -> None:
    """The settings of other schedulers do not change a scheduler."""
    own = {setting.name for setting in scheduler_class("slurm").settings()}
    given = {one.name: another(one) for _, one in PAIRS if one.name not in own}
    assert get_scheduler("slurm") == spawner("slurm", **given).get_scheduler()


@pytest.mark.parametrize(("name", "setting"), SETTINGS)
def test_a_wrong_value_is_refused_as_the_trait_that_it_is(name: str, setting: Any) -> None:
    """A value of a wrong type is refused with the name of the setting."""
    with pytest.raises(TraitError, match=setting.name):
        spawner(name, **{setting.name: ["wrong"]})


# -- of a scheduler by itself -------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, 1.5, ["x"], b"x"])
@pytest.mark.parametrize(("name", "setting"), SETTINGS)
def test_a_value_of_another_type(name: str, setting: Any, value: object) -> None:
    """A scheduler checks types itself, because values also come from the database and requests."""
    with pytest.raises(InvalidJobError, match=f"^{setting.name}: .* must be "):
        get_scheduler(name, {setting.name: value})


@pytest.mark.parametrize(("name", "setting"), SETTINGS)
def test_true_is_not_taken_for_a_number(name: str, setting: Any) -> None:
    """True is refused as a number and 1 as a boolean, although they are equal in Python."""
    if type(setting.default) is not bool:
        with pytest.raises(InvalidJobError, match=f"^{setting.name}: True must be "):
            get_scheduler(name, {setting.name: True})
    else:
        with pytest.raises(InvalidJobError, match=f"^{setting.name}: 1 must be "):
            get_scheduler(name, {setting.name: 1})


def test_a_value_that_is_not_a_choice() -> None:
    """The error for a value that is not one of the choices lists the choices."""
    with pytest.raises(InvalidJobError, match="sge_memory_per: 'host' must be one of slot, job"):
        get_scheduler("gridengine", {"sge_memory_per": "host"})


def test_a_setting_of_another_scheduler() -> None:
    """A setting of another scheduler is an InvalidJobError that names it."""
    with pytest.raises(InvalidJobError, match=r"scheduler slurm: unknown setting 'sge_cell'"):
        get_scheduler("slurm", {"sge_cell": "x"})
    with pytest.raises(InvalidJobError, match=r"known settings: .*use_drmaa"):
        get_scheduler("gridengine", {"sge_sell": "x"})


def test_an_unknown_scheduler() -> None:
    """The error for an unknown scheduler lists the known ones; no other module is imported."""
    for name in ("nosuch", "base", "../cli", ""):
        with pytest.raises(InvalidJobError, match="must be one of .*slurm"):
            get_scheduler(name)


@pytest.mark.parametrize("name", NAMES)
def test_options_make_the_same_scheduler_again(name: str) -> None:
    """The options of a scheduler make an equal one, also after JSON; its values can't change."""
    given = {one.name: another(one) for one in scheduler_class(name).settings()}
    made = get_scheduler(name, given)
    again = get_scheduler(name, json.loads(json.dumps(made.options)))
    assert (made, hash(made)) == (again, hash(again))
    for setting in given:
        with pytest.raises(AttributeError):
            setattr(made, setting, None)


def monitor(scheduler: Scheduler, host: SubmitHost) -> Monitor:
    return get_monitor(scheduler, host, {**scheduler.environment(), "A": "1"}, 15.0)


@pytest.mark.parametrize(("name", "setting"), SETTINGS)
def test_equal_settings_share_a_monitor(name: str, setting: Any) -> None:
    """Equal schedulers share a monitor, so that one query serves all spawners."""
    host = SubmitHost()
    options = {setting.name: another(setting)}
    one, same = get_scheduler(name, options), get_scheduler(name, options)
    assert monitor(one, host) is monitor(same, host)


@pytest.mark.parametrize(("name", "setting"), SETTINGS)
def test_other_questions_have_another_monitor(name: str, setting: Any) -> None:
    """Schedulers share a monitor only if they ask the same questions in the same environment."""
    host = SubmitHost()
    least = {"template": "torque"} if name == "template" else {}
    one, other = get_scheduler(name, least), get_scheduler(name, {setting.name: another(setting)})

    def questions(scheduler: Scheduler) -> Any:
        asked = next(scheduler.query()), next(scheduler.inventory(), None)
        return *asked, scheduler.environment()

    shared = monitor(one, host) is monitor(other, host)
    assert not (shared and questions(one) != questions(other))


def test_different_schedulers_share_no_monitor() -> None:
    """Different schedulers never share a monitor."""
    host = SubmitHost()
    monitors = {id(get_monitor(get_scheduler(name), host, {}, 15.0)) for name in NAMES}
    assert len(NAMES) == len(monitors)


def test_spawners_share_a_monitor_by_what_they_are_set_to() -> None:
    """Spawners with different settings have monitors with different environments."""
    first, second = spawner("gridengine"), spawner("gridengine")
    assert first.monitor() is second.monitor()
    second.sge_cell = "west"
    assert first.monitor() is not second.monitor()
    assert "west" == second.monitor().environment["SGE_CELL"]


def test_the_name_of_a_cluster() -> None:
    """Messages name the cluster, by the site's name for it or else the scheduler's own; that makes
    no other cluster of it."""
    plain, named = spawner("slurm"), spawner("slurm", cluster="mars")
    assert ("", "Slurm") == (plain.cluster_title(), plain.get_scheduler().title)
    assert ("mars", "Slurm (mars)") == (named.cluster_title(), named.get_scheduler().title)
    assert plain.monitor() is named.monitor()
    by_slurm = spawner("slurm", slurm_cluster="beta")
    assert ("beta", "Slurm (beta)") == (by_slurm.cluster_title(), by_slurm.get_scheduler().title)
    both = spawner("slurm", slurm_cluster="beta", cluster="mars")
    assert ("mars", "Slurm (mars)") == (both.cluster_title(), both.get_scheduler().title)
    assert by_slurm.monitor() is both.monitor()
    assert "Slurm" == type(both.get_scheduler()).title


def test_variables_that_choose_several_clusters_end_the_start() -> None:
    """A variable that names several clusters is refused as a setting of the job."""
    one = spawner("slurm", scheduler_environment={"SLURM_CLUSTERS": "a,b"})
    with pytest.raises(InvalidJobError, match="scheduler_environment: SLURM_CLUSTERS can't be"):
        one.job_spec(MARK, environment={})


# -- in the state -------------------------------------------------------------------------------


def saved(name: str, **settings: Any) -> dict[str, Any]:
    """Return the saved state of a server that was started with these settings."""
    one = spawner(name, **settings)
    scheduler = one.get_scheduler()
    one.server_job.state = ServerState(
        scheduler=scheduler.name,
        scheduler_options=scheduler.options,
        account="alice",
        job_id="7",
        mark=MARK,
    )
    state: dict[str, Any] = json.loads(json.dumps(one.get_state()))
    return state


@pytest.mark.parametrize(("name", "setting"), SETTINGS)
def test_each_comes_back_with_the_state(name: str, setting: Any) -> None:
    """A saved setting is restored with its server, whatever the configuration says now."""
    value = another(setting)
    state = saved(name, **{setting.name: value})
    assert value == state["scheduler_options"][setting.name]
    for now in (spawner("slurm"), spawner(name), spawner("auto")):
        now.load_state(state)
        assert state == now.get_state()
        assert spawner(name, **{setting.name: value}).get_scheduler() == now.get_scheduler()
        assert value == getattr(now, setting.name)


@pytest.mark.parametrize(("name", "setting"), SETTINGS)
def test_a_default_comes_back_though_it_is_set_by_now(name: str, setting: Any) -> None:
    """A setting that had its default at the start has it again, even if it is configured now."""
    state = saved(name)
    now = spawner(name, **{setting.name: another(setting)})
    now.load_state(state)
    assert spawner(name).get_scheduler() == now.get_scheduler()


def test_the_root_that_was_found_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Grid Engine root of a running server is restored, even if the Hub finds another now."""
    monkeypatch.setattr(gridengine_host, "_roots", {})
    monkeypatch.setattr(gridengine_host, "find_root", lambda cell: "/then")
    state = saved("gridengine")
    monkeypatch.setattr(gridengine_host, "_roots", {})
    monkeypatch.setattr(gridengine_host, "find_root", lambda cell: "/now")
    now = spawner("gridengine")
    assert "/now" == now.command_environment()["SGE_ROOT"]
    now.load_state(state)
    assert "/then" == now.command_environment()["SGE_ROOT"]


def test_a_server_of_auto_comes_back_without_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of "auto" is restored without a look-up, because the state names its scheduler."""
    monkeypatch.setattr(detect, "_found", {})
    now = spawner("auto")
    with pytest.raises(InvalidJobError, match="has not found out yet"):
        now.get_scheduler()
    now.load_state(saved("slurm"))
    assert get_scheduler("slurm") == now.get_scheduler()


def test_a_setting_that_a_release_has_added_has_its_default() -> None:
    """A setting that an older release did not save has its default."""
    state = saved("gridengine", sge_cell="west")
    del state["scheduler_options"]["sge_gpus_per"]
    now = spawner("gridengine")
    now.load_state(state)
    assert get_scheduler("gridengine", {"sge_cell": "west"}) == now.get_scheduler()


def test_a_saved_value_that_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    """A saved value that the trait refuses leaves the configured one, and the log says so."""
    now = spawner("gridengine", sge_cell="west")
    now.take_options({"sge_cell": 7, "no_such_setting": 1})
    assert "west" == now.sge_cell
    refused, unknown = (record.getMessage() for record in caplog.records)
    assert refused.startswith("sge_cell: the saved value 7 can't be used, so the configured one is")
    assert unknown.startswith("no_such_setting: the saved value 1 can't be used")
