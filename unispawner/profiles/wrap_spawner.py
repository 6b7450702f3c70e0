"""WrapSpawner: runs a server by a spawner of another class, chosen as late as at its start.

Who sees what of the two:

- JupyterHub knows the wrapper. What it sets on it (user, tokens, options …) the child has, too.
- Settings are the child's own, by its class's configuration and ``child_config``. On top of these
  comes what was set for the wrapper in particular: in its own section of the configuration, or on
  it by a hook. While there is a child, the wrapper shows the child's: JupyterHub reads
  ``start_timeout`` and the like from it.
- A hook that is set for the wrapper, or for all spawners, is called with the wrapper. One that is
  set for the child's class, or in ``child_config``, is called with the child.
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
from traitlets.utils.importstring import import_item

from ..errors import InvalidJobError, UniSpawnerError
from ..web import reports as handlers
from ..web.failures import SpawnFailure
from ..web.server_status import WithStatus

_HOOKS = (
    "apply_user_options",
    "auth_state_hook",
    "post_stop_hook",
    "pre_spawn_hook",
    "progress_ready_hook",
)
_NOT_SHARED = {
    *("config", "parent", "log", "db", "_callbacks", "_poll_callback", "will_resume"),
    *("options_form", "options_from_form"),
    *_HOOKS,
}
_GIVEN = {
    name for name, trait in Spawner.class_traits().items() if not trait.metadata.get("config")
} - _NOT_SHARED
"""What JupyterHub gives a spawner: whose it is, its tokens, what its user has chosen."""
_TAKEN_BACK = ("api_token", "will_resume")
"""What a child that goes on where it was stopped tells JupyterHub."""


class WrapSpawner(WithStatus, Spawner):
    """Runs a server by a spawner of ``child_class``, made at its start with ``child_config``.

    Subclasses and hooks may change both until then. One that changes ``child_class`` should set it
    again in :meth:`load_child_class`, for states that wrapspawner has saved: ours name the class.
    """

    child_class = Type(
        LocalProcessSpawner,
        Spawner,
        help="""The class of the spawner that runs the server: a class, or its name with its
        module.""",
    ).tag(config=True)

    child_config = Dict(
        help="""Settings of that spawner: {"start_timeout": 300}. They come before those of the
        wrapper and of the rest of the configuration.""",
    ).tag(config=True)

    child_state = Dict()
    child_spawner = Instance(Spawner, allow_none=True)

    def __init__(self, **kwargs: Any) -> None:
        self._borrowed: dict[str, Any] = {}
        self._auth_state: Any = None
        self._child_made = asyncio.Event()
        self._loading = False
        self._kept: dict[str, Any] = {}
        super().__init__(**kwargs)
        own = [cls for cls in type(self).__mro__ if cls not in Spawner.__mro__]
        self._specific = {
            *kwargs,
            *(name for cls in own for name in vars(cls)),
            *(name for cls in own for name in self.config.get(cls.__name__, {})),
        }
        self._before = {
            name: copied(value)
            for name, value in self._trait_values.items()
            if name not in self._specific
        }
        self._configured_child = (self.child_class, copied(self.child_config))
        self.observe(self._pass_on, list(_GIVEN))

    # -- the child -----------------------------------------------------------------------------

    def construct_child(self) -> Spawner:
        """Return the spawner that runs the server, made now unless there is one."""
        if self.child_spawner is None:
            given = {name: self._trait_values[name] for name in _GIVEN & set(self._trait_values)}
            child = self.child_class(config=self.config, **given, **self._known_config())
            child.wrapper = self
            self._apply_own_settings(child)
            self._keep_hooks(child)
            if self.child_state:
                child.load_state(self.child_state)
            self.child_spawner = child
            self._borrow_settings(child)
            child.poll_interval = 0  # the wrapper asks it
            child.observe(self._take_back, _TAKEN_BACK)
            self._child_made.set()
        return self.child_spawner

    def _known_config(self) -> dict[str, Any]:
        """Return a copy of ``child_config`` without what its class doesn't know."""
        traits = set(self.child_class.class_trait_names())
        if unknown := sorted(set(self.child_config) - traits):
            words = ", ".join(unknown)
            self.log.warning("%s: %s has no %s", self._log_name, self.child_class.__name__, words)
        return {name: copied(self.child_config[name]) for name in traits & set(self.child_config)}

    def _apply_own_settings(self, child: Spawner) -> None:
        """Give the child what was set for the wrapper in particular, or on it since it was made.

        Of a dictionary, such as the environment, only the items that differ: a hook adds some.
        """
        shared = set(self.trait_names()) & set(child.trait_names()) - _GIVEN - _NOT_SHARED
        for name in sorted(shared):
            if name not in self._specific and name not in self._trait_values:
                continue
            value = getattr(self, name)
            before = self._before.get(name, self.traits()[name].default(self))
            if isinstance(value, dict) and isinstance(old := getattr(child, name), dict):
                before = before if isinstance(before, dict) else {}
                new = {k: v for k, v in value.items() if k not in before or before[k] != v}
                kept = {k: v for k, v in old.items() if k in value or k not in before}
                if {**kept, **new} != old:
                    setattr(child, name, {**kept, **new})
            elif name not in self.child_config and (name in self._specific or value != before):
                setattr(child, name, value)
        for name in sorted(set(vars(self)) & set(child.trait_names()) - set(self.trait_names())):
            setattr(child, name, vars(self)[name])  # spawner.queue_name = …, in a hook

    def _keep_hooks(self, child: Spawner) -> None:
        """Leave the child only those of its own: one for all spawners is the wrapper's to call."""
        of_all = self.config.get("Spawner", {})
        for name in _HOOKS:
            if getattr(child, name) in (getattr(self, name), of_all.get(name)):
                setattr(child, name, None)
        overrides = self.group_overrides
        if callable(overrides) and child.group_overrides == overrides:
            child.group_overrides = lambda _: overrides(self)

    def _borrow_settings(self, child: Spawner) -> None:
        """Show the child's settings, and have its hook for a ready server called, too."""
        for name in set(self.trait_names(config=True)) & set(child.trait_names()) - _NOT_SHARED:
            self._borrow(name, getattr(child, name))
        if (of_child := child.progress_ready_hook) is not None:
            own = self.progress_ready_hook

            async def both(_: Spawner, event: dict[str, Any]) -> Any:
                if own is not None:
                    event = await maybe_future(own(self, event))
                return await maybe_future(of_child(child, event))

            self._borrow("progress_ready_hook", both)
        self.will_resume = child.will_resume

    def _borrow(self, name: str, value: Any) -> None:
        self._borrowed[name] = self._trait_values.get(name, _MISSING)
        setattr(self, name, value)

    def _drop_child(self) -> None:
        if self.child_spawner is not None:
            self.child_spawner.unobserve(self._take_back, _TAKEN_BACK)
        self.child_spawner = None
        self._child_made.clear()
        for name, value in self._borrowed.items():
            if value is _MISSING:
                self._trait_values.pop(name, None)
            else:
                setattr(self, name, value)
        self._borrowed = {}

    def _pass_on(self, change: Any) -> None:
        if self.child_spawner is not None:
            setattr(self.child_spawner, change.name, change.new)

    def _take_back(self, change: Any) -> None:
        setattr(self, change.name, change.new)

    # -- state ---------------------------------------------------------------------------------

    def load_child_class(self, state: dict[str, Any]) -> None:
        """Set ``child_class`` and ``child_config`` for a saved state: for subclasses to write."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up a server with the class and the settings it was started with.

        One that can't be taken up, because its class is no more, is kept as it is: it may run.
        """
        super().load_state(state)
        if "child_state" not in state:
            return
        try:
            self._loading = True
            self.load_child_class(state)
            self._load_child(state)
            self.construct_child()
        except Exception as error:  # anything that is raised here would end the Hub
            self.log.exception(
                "%s: its server can't be taken up, and stays as it is until its class and its "
                "profile are there again: %s",
                self._log_name,
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
                self.child_class = import_item(name)
            except (ImportError, AttributeError, TraitError):
                # Defined in the configuration, say: then it is what load_child_class has set.
                if self.child_class.__name__ != str(name).rpartition(".")[2]:
                    raise
        # Functions can't be saved: they are those of now.
        functions = {k: v for k, v in self.child_config.items() if not _plain(v)}
        self.child_config = {**functions, **(state.get("child_conf") or {})}

    def get_state(self) -> dict[str, Any]:
        """Return what is saved: the child's class, settings and state; nothing without one."""
        state: dict[str, Any] = super().get_state()
        if self._kept:
            return {**state, **self._kept}
        if self.child_spawner is not None:
            cls = type(self.child_spawner)
            state["child_class"] = f"{cls.__module__}.{cls.__qualname__}"
            state["child_conf"] = {k: v for k, v in self.child_config.items() if _plain(v)}
            self.child_state = state["child_state"] = self.child_spawner.get_state()
        return state

    def clear_state(self) -> None:
        """Forget the child, and what was chosen for it."""
        super().clear_state()
        self._kept = {}
        if self.child_spawner is not None:
            self.child_spawner.clear_state()
            if getattr(self.child_spawner, "token_id", None) is not None:
                return  # it has kept its server, for the Hub that comes next
        self._drop_child()
        self.child_class, self.child_config = self._configured_child[0], self._fresh_config()
        self.child_state = {}

    def _fresh_config(self) -> dict[str, Any]:
        config: dict[str, Any] = copied(self._configured_child[1])
        return config

    # -- what JupyterHub calls -----------------------------------------------------------------

    def start(self) -> Awaitable[Any]:
        """Make the child and start it; return its URL.

        The child is there when this returns: JupyterHub reads ``start_timeout`` next.
        """
        return self._start(self._child())

    def _child(self) -> Spawner:
        """Return the child, made now unless there is one; what is wrong is told to the user."""
        try:
            return self.construct_child()
        except UniSpawnerError as error:
            raise SpawnFailure(error) from error
        except TraitError as error:
            raise SpawnFailure(InvalidJobError(str(error))) from error

    async def _start(self, child: Spawner) -> Any:
        """Do what JupyterHub does for a spawner, in its order."""
        await child.run_auth_state_hook(self._auth_state)
        self._auth_state = None
        await child.apply_group_overrides()
        if child.apply_user_options is not None:
            await child._run_apply_user_options(child.user_options)
        await maybe_future(child.run_pre_spawn_hook())
        return await maybe_future(child.start())

    async def stop(self, now: bool = False) -> None:
        """Stop the child's server."""
        if self._kept:
            job = self._kept["child_state"]  # and not child_conf, where settings may be secret
            self.log.error("%s: its job must be cancelled by hand: %s", self._log_name, job)
        if self.child_spawner is not None:
            await maybe_future(self.child_spawner.stop(now))

    async def poll(self) -> int | None:
        """Ask the child; without one, nothing runs, or it isn't known whether something does."""
        if self.child_spawner is None:
            return None if self._kept else 1
        status: int | None = await maybe_future(self.child_spawner.poll())
        return status

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """Yield what the child tells, as soon as there is one."""
        await self._child_made.wait()
        if self.child_spawner is not None:
            async with aclosing(self.child_spawner.progress()) as events:
                async for event in events:
                    yield event

    async def get_url(self) -> str:
        """Return where the child says that its server is."""
        if self.child_spawner is not None:
            return str(await self.child_spawner.get_url())
        return str(await super().get_url())

    def start_polling(self) -> None:
        """Begin to poll, and let the child know that its server was found up."""
        super().start_polling()
        if self.child_spawner is not None:
            self.child_spawner.start_polling()

    async def apply_group_overrides(self) -> None:
        """Leave them to the child, which has all of the settings: after the wrapper's hooks."""

    async def run_auth_state_hook(self, auth_state: Any) -> None:
        """Run it, and keep what it is about for a hook of the child's own."""
        await super().run_auth_state_hook(auth_state)
        self._auth_state = auth_state

    async def run_post_stop_hook(self) -> None:
        """Run the hook, then the child's own, even if that one fails."""
        try:
            await maybe_future(super().run_post_stop_hook())
        finally:
            if self.child_spawner is not None:
                await maybe_future(self.child_spawner.run_post_stop_hook())

    async def move_certs(self, paths: dict[str, str]) -> dict[str, str]:
        """Bring the certificates to where the child's server can read them."""
        moved: dict[str, str] = await maybe_future(self._child().move_certs(paths))
        return moved


_MISSING = object()


def copied(value: Any) -> Any:
    """Return a copy of a configuration's value that can be changed without changing the original.

    Unlike ``copy.deepcopy``, it leaves alone what isn't data.
    """
    if type(value) is dict:
        return {name: copied(one) for name, one in value.items()}
    return [copied(one) for one in value] if type(value) is list else value


def _plain(value: Any) -> bool:
    """Return whether the database can keep a value."""
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


handlers.register()
