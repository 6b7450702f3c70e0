"""WrapSpawner: runs a server by a spawner of another class, which is chosen when the server starts.

Which of the two has what:

- JupyterHub knows the wrapper. What it sets there (user, tokens, options …) the child has, too.
- The child has the settings of its class's configuration and of ``child_config``. On top of these
  come settings for the wrapper in particular: from its own section of the configuration, or set on
  it by a hook. While there is a child, the wrapper has the child's settings, because JupyterHub
  reads ``start_timeout`` and others from the wrapper.
- A hook that is set for the wrapper, or for all spawners, is called with the wrapper. A hook that
  is set for the child's class, or in ``child_config``, is called with the child.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import aclosing
from typing import Any

from jupyterhub.spawner import LocalProcessSpawner, Spawner
from jupyterhub.utils import maybe_future
from traitlets import Dict, Instance, TraitError, Type

from ..errors import InvalidJobError, UniSpawnerError
from ..servers import event_log, hub_start
from ..servers.database import find_spare_token, revoke_token
from ..web import bookkeeping
from ..web.failures import SpawnFailure
from ..web.server_status import WithStatus
from ..web.user_options import GuardsOptions
from .saved_class import find_class, saved_name
from .sharing import SET_BY_HUB, SharedSettings, copy_data

_TAKEN_BACK = ("api_token", "will_resume")
"""What a child that resumes a stopped server sets, and JupyterHub must know."""


class WrapSpawner(GuardsOptions, WithStatus, Spawner):
    """Runs a server by a spawner of ``child_class``, made with ``child_config`` when it starts.

    Subclasses and hooks may change both until then. A subclass that changes ``child_class`` should
    set it again in :meth:`load_child_class`: states that wrapspawner has saved do not name it.
    """

    child_class = Type(
        LocalProcessSpawner,
        Spawner,
        help="""The class of the spawner that runs the server: a class, or its full name such as
        "unispawner.UniSpawner". Default: JupyterHub's LocalProcessSpawner.""",
    ).tag(config=True)

    child_config = Dict(
        help="""Settings of the spawner that runs the server: {"start_timeout": 300}. They replace
        those that the wrapper and the rest of the configuration have for it.""",
    ).tag(config=True)

    child_state = Dict()
    child_spawner = Instance(Spawner, allow_none=True)

    def __init__(self, **kwargs: Any) -> None:
        self._auth_state: Any = None
        self._child_made = asyncio.Event()
        self._loading = False
        self._kept: dict[str, Any] = {}
        self._adopted: Spawner | None = None
        super().__init__(**kwargs)
        self._shared = SharedSettings(self, kwargs)
        self._configured_child = (self.child_class, copy_data(self.child_config))
        self.observe(self._pass_on, list(SET_BY_HUB))

    def guards_options(self) -> bool:
        """Return whether a subclass or the configuration makes options of the form's fields."""
        return self.makes_options()

    @property
    def configured_for_child(self) -> dict[str, Any]:
        """The child's settings that the configuration has, and that no user has a hand in."""
        config: dict[str, Any] = self._configured_child[1]
        return config

    # -- the child -----------------------------------------------------------------------------

    def construct_child(self) -> Spawner:
        """Return the spawner that runs the server; make it if there is none."""
        if self.child_spawner is None:
            settings = {**self._shared.values_of_hub(), **self._known_config()}
            self.child_spawner = self.child_class(config=self.config, **settings)
            self._adopt(self.child_spawner)
        return self.child_spawner

    def _adopt(self, child: Spawner) -> None:
        """Give a new child what it shares with the wrapper, and its saved state."""
        child.wrapper = self
        for name, value in self._shared.values_of_hub().items():
            if name not in self.child_config:
                setattr(child, name, value)
        self._shared.apply(child, self.child_config)
        self._shared.keep_hooks(child)
        if self.child_state and not child.get_state():  # a subclass may have loaded it
            child.load_state(self.child_state)
        self._shared.take_over(child)
        self.will_resume = child.will_resume
        child.poll_interval = 0  # the wrapper polls it
        child.observe(self._take_back, _TAKEN_BACK)
        self._adopted = child
        self._child_made.set()

    def make_child(self) -> Spawner:
        """Return the child; call :meth:`construct_child` if there is none.

        wrapspawner's own method may be replaced by a site's, which returns nothing, and which may
        set ``child_spawner`` itself. As in wrapspawner, it is not called if there is a child.

        Raises
        ------
        InvalidJobError
            If a subclass's method has made no child.
        """
        if self.child_spawner is None:
            self.construct_child()
        if self.child_spawner is None:
            raise InvalidJobError(
                f"{type(self).__name__}.construct_child made no child: call the method of the base "
                "class in it, or set child_spawner"
            )
        if self._adopted is not self.child_spawner:
            self._adopt(self.child_spawner)
        return self.child_spawner

    def _known_config(self) -> dict[str, Any]:
        """Return a copy of ``child_config`` without the settings that the child's class lacks."""
        traits = set(self.child_class.class_trait_names())
        if unknown := sorted(set(self.child_config) - traits):
            self.log.warning(
                "%s: child_config: ignored, because %s has no such setting: %s",
                bookkeeping.log_name(self),
                self.child_class.__name__,
                ", ".join(unknown),
            )
        return {
            name: copy_data(self.child_config[name]) for name in traits & set(self.child_config)
        }

    def _drop_child(self) -> None:
        if self.child_spawner is not None:
            self.child_spawner.unobserve(self._take_back, _TAKEN_BACK)
        self.child_spawner = self._adopted = None
        self._child_made.clear()
        self._shared.put_back()

    def _pass_on(self, change: Any) -> None:
        if self.child_spawner is not None:
            setattr(self.child_spawner, change.name, change.new)

    def _take_back(self, change: Any) -> None:
        setattr(self, change.name, change.new)

    # -- state ---------------------------------------------------------------------------------

    def load_child_class(self, state: dict[str, Any]) -> None:
        """Set ``child_class`` and ``child_config`` for a saved state. Does nothing here."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Load a saved server, with the class and the settings with which it was started.

        If that fails, because its class no longer exists, say, the state is kept as it is: the
        server may be running.
        """
        super().load_state(state)
        if "child_state" not in state:
            return
        try:
            self._loading = True
            self.load_child_class(state)
            self._load_child(state)
            self.make_child()
        except Exception as error:  # anything that is raised here would end the Hub
            self.log.exception(
                "%s: the saved server can't be loaded, and is kept as it is until its class and "
                "its profile exist again: %s",
                bookkeeping.log_name(self),
                error,
            )
            self._drop_child()
            if isinstance(state["child_state"], dict) and state["child_state"]:
                self._kept = state
        finally:
            self._loading = False

    def _load_child(self, state: dict[str, Any]) -> None:
        self.child_state = state["child_state"] or {}
        if name := state.get("child_class"):
            try:
                self.child_class = find_class(name)
            except (ImportError, AttributeError, TraitError):
                # A class that the configuration defines is the one that load_child_class has set.
                if self.child_class.__name__ != str(name).rpartition(".")[2]:
                    raise
        # Functions can't be saved, so they are those of the configuration.
        functions = {k: v for k, v in self.child_config.items() if not _plain(v)}
        self.child_config = {**functions, **(state.get("child_conf") or {})}

    def get_state(self) -> dict[str, Any]:
        """Return what is saved: the class, settings and state of the child; nothing without one."""
        state: dict[str, Any] = super().get_state()
        if self._kept:
            return {**state, **self._kept}
        if self.child_spawner is not None:
            state["child_class"] = saved_name(type(self.child_spawner))
            state["child_conf"] = {k: v for k, v in self.child_config.items() if _plain(v)}
            self.child_state = state["child_state"] = self.child_spawner.get_state()
        return state

    def clear_state(self) -> None:
        """Forget the child, and what was chosen for it."""
        token = find_spare_token(self)
        super().clear_state()
        self._kept = {}
        if self.child_spawner is not None:
            self.child_spawner.clear_state()
            if getattr(self.child_spawner, "token_id", None) is not None:
                return  # it keeps its server for the next Hub
        revoke_token(self, token)
        self._drop_child()
        self.child_class, self.child_config = self._configured_child[0], self._fresh_config()
        self.child_state = {}

    def _fresh_config(self) -> dict[str, Any]:
        config: dict[str, Any] = copy_data(self._configured_child[1])
        return config

    # -- what JupyterHub calls -----------------------------------------------------------------

    def start(self) -> Awaitable[Any]:
        """Make the child and start it; return an awaitable of its URL.

        The child exists when this returns: JupyterHub reads ``start_timeout`` next.
        """
        return self._start(self._child())

    def _child(self) -> Spawner:
        """Return the child; make it if there is none.

        Raises
        ------
        SpawnFailure
            If a setting can't be right: its message is for the user.
        """
        try:
            return self.make_child()
        except UniSpawnerError as error:
            event_log.note_refused_choice(self, error.message)
            raise SpawnFailure(error) from error
        except TraitError as error:
            event_log.note_refused_choice(self, str(error))
            raise SpawnFailure(InvalidJobError(str(error))) from error

    async def _start(self, child: Spawner) -> Any:
        await self._run_hooks_of(child)
        return await maybe_future(child.start())

    async def prepare_child(self) -> None:
        """Make the child as for a start, but start nothing."""
        await self._run_hooks_of(self._child())

    async def _run_hooks_of(self, child: Spawner) -> None:
        """Call what JupyterHub calls for a spawner before its start, in its order."""
        await child.run_auth_state_hook(self._auth_state)
        self._auth_state = None
        await child.apply_group_overrides()
        await bookkeeping.apply_user_options(child)
        await maybe_future(child.run_pre_spawn_hook())

    async def stop(self, now: bool = False) -> None:
        """Stop the child's server."""
        if self._kept:
            job = self._kept["child_state"]  # without child_conf: settings may be secret
            self.log.error(
                "%s: the saved server can't be loaded; cancel its job by hand: %s",
                bookkeeping.log_name(self),
                job,
            )
        if self.child_spawner is not None:
            await maybe_future(self.child_spawner.stop(now))

    async def poll(self) -> int | None:
        """Return the child's status; without a child 1, or None if it can't be loaded."""
        if self.child_spawner is None:
            return None if self._kept else 1
        status: int | None = await maybe_future(self.child_spawner.poll())
        return status

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the child's events, as soon as there is a child."""
        await self._child_made.wait()
        if self.child_spawner is not None:
            async with aclosing(self.child_spawner.progress()) as events:
                async for event in events:
                    yield event

    async def get_url(self) -> str:
        """Return the URL of the child's server."""
        if self.child_spawner is not None:
            return str(await self.child_spawner.get_url())
        return str(await super().get_url())

    def start_polling(self) -> None:
        """Begin to poll, and have the child do what it does when its server is found up."""
        super().start_polling()
        if self.child_spawner is not None:
            self.child_spawner.start_polling()

    async def apply_group_overrides(self) -> None:
        """Do nothing: the child, which has all settings, applies them after the wrapper's hooks."""

    async def run_auth_state_hook(self, auth_state: Any) -> None:
        """Run the hook, and keep the state for a hook of the child's own."""
        await super().run_auth_state_hook(auth_state)
        self._auth_state = auth_state

    async def run_post_stop_hook(self) -> None:
        """Run the hook and then the child's own, even if the first one fails."""
        job = getattr(self.child_spawner, "server_job", None)
        if job is not None:  # before a hook takes its time
            job.leave_stop()
        try:
            await maybe_future(super().run_post_stop_hook())
        finally:
            if self.child_spawner is not None:
                await maybe_future(self.child_spawner.run_post_stop_hook())

    async def create_certs(self) -> dict[str, str]:
        """Make the certificates that the child's server needs."""
        paths: dict[str, str] = await maybe_future(self._child().create_certs())
        return paths

    async def move_certs(self, paths: dict[str, str]) -> dict[str, str]:
        """Move the certificates to where the child's server can read them."""
        child = self._child()
        moved: dict[str, str] = await maybe_future(child.move_certs(paths))
        child.cert_paths = moved  # the child makes its server's environment
        return moved


def _plain(value: Any) -> bool:
    """Return whether a value can be saved in the database."""
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


hub_start.add_to_hub()
