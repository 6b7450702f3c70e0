"""The settings and hooks that a wrapper and its child share, and which value counts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jupyterhub.spawner import Spawner
from jupyterhub.utils import maybe_future

from ..web import bookkeeping

HOOKS = (
    "apply_user_options",
    "auth_state_hook",
    "post_stop_hook",
    "pre_spawn_hook",
    "progress_ready_hook",
)
_NOT_SHARED = {
    *("config", "parent", "log", "db", "will_resume", "child_spawner"),
    *bookkeeping.PRIVATE_TRAITS,
    *("options_form", "options_from_form"),
    *HOOKS,
}
SET_BY_HUB = {
    name for name, trait in Spawner.class_traits().items() if not trait.metadata.get("config")
} - _NOT_SHARED
"""What JupyterHub sets on a spawner: its user, its tokens, what the user has chosen."""
_MISSING = object()


class SharedSettings:
    """Passes settings between one wrapper and its child.

    Parameters
    ----------
    wrapper
        The wrapper, before anything has changed it.
    arguments
        The names of the settings it was made with.
    """

    def __init__(self, wrapper: Spawner, arguments: Iterable[str]) -> None:
        self._wrapper = wrapper
        own = [cls for cls in type(wrapper).__mro__ if cls not in Spawner.__mro__]
        self._specific = {
            *arguments,
            *(name for cls in own for name in vars(cls)),
            *(name for cls in own for name in wrapper.config.get(cls.__name__, {})),
        }
        """The names of settings that are set for the wrapper, and not for all spawners."""
        self._at_first = {
            name: copy_data(value)
            for name, value in wrapper._trait_values.items()
            if name not in self._specific
        }
        self._replaced: dict[str, Any] = {}
        """The wrapper's own values, while it has its child's."""

    def values_of_hub(self) -> dict[str, Any]:
        """Return what JupyterHub has set on the wrapper: a child is made with it."""
        values = self._wrapper._trait_values
        return {name: values[name] for name in SET_BY_HUB & set(values)}

    # -- from the wrapper to the child ---------------------------------------------------------

    def apply(self, child: Spawner, child_config: Iterable[str]) -> None:
        """Give the child what was set for the wrapper in particular, or on it since it was made.

        Of a dictionary, such as the environment, the child gets the items that have changed: a
        hook adds some. Names in ``child_config`` are those of settings that the child keeps.
        """
        wrapper = self._wrapper
        shared = set(wrapper.trait_names()) & set(child.trait_names()) - SET_BY_HUB - _NOT_SHARED
        for name in sorted(shared):
            if name not in self._specific and name not in wrapper._trait_values:
                continue
            value = getattr(wrapper, name)
            before = self._at_first.get(name, wrapper.traits()[name].default(wrapper))
            if isinstance(value, dict) and isinstance(getattr(child, name), dict):
                _merge(child, name, value, before if isinstance(before, dict) else {})
            elif name not in child_config and (name in self._specific or value != before):
                setattr(child, name, value)
        attributes = set(vars(wrapper)) - set(wrapper.trait_names())
        for name in sorted(attributes & set(child.trait_names())):
            setattr(child, name, vars(wrapper)[name])  # spawner.queue_name = …, in a hook

    def keep_hooks(self, child: Spawner) -> None:
        """Leave the child the hooks that are its own; the wrapper calls those for all spawners."""
        for_all = self._wrapper.config.get("Spawner", {})
        for name in HOOKS:
            if getattr(child, name) in (getattr(self._wrapper, name), for_all.get(name)):
                setattr(child, name, None)
        overrides = self._wrapper.group_overrides
        if callable(overrides) and child.group_overrides == overrides:
            child.group_overrides = lambda _: overrides(self._wrapper)

    # -- from the child to the wrapper ---------------------------------------------------------

    def take_over(self, child: Spawner) -> None:
        """Set the child's settings on the wrapper; call its progress hook after ours."""
        names = set(self._wrapper.trait_names(config=True)) & set(child.trait_names())
        for name in names - _NOT_SHARED:
            self._replace(name, getattr(child, name))
        if (of_child := child.progress_ready_hook) is not None:
            own = self._wrapper.progress_ready_hook

            async def both(_: Spawner, event: dict[str, Any]) -> Any:
                if own is not None:
                    event = await maybe_future(own(self._wrapper, event))
                return await maybe_future(of_child(child, event))

            self._replace("progress_ready_hook", both)

    def _replace(self, name: str, value: Any) -> None:
        self._replaced[name] = self._wrapper._trait_values.get(name, _MISSING)
        setattr(self._wrapper, name, value)

    def put_back(self) -> None:
        """Set the wrapper's own values again, after the child is gone."""
        for name, value in self._replaced.items():
            if value is _MISSING:
                self._wrapper._trait_values.pop(name, None)
            else:
                setattr(self._wrapper, name, value)
        self._replaced = {}


def _merge(child: Spawner, name: str, value: dict[Any, Any], before: dict[Any, Any]) -> None:
    """Change a child's dictionary as the wrapper's has changed."""
    old: dict[Any, Any] = getattr(child, name)
    new = {k: v for k, v in value.items() if k not in before or before[k] != v}
    kept = {k: v for k, v in old.items() if k in value or k not in before}
    if {**kept, **new} != old:
        setattr(child, name, {**kept, **new})


def copy_data(value: Any) -> Any:
    """Return a copy of a configuration's value that can be changed without changing the original.

    Unlike ``copy.deepcopy``, it does not copy what isn't data.
    """
    if type(value) is dict:
        return {name: copy_data(one) for name, one in value.items()}
    return [copy_data(one) for one in value] if type(value) is list else value
