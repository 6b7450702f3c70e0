"""What ``internal_ssl`` needs for a probe: a key for the job, and the Hub's own certificate."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from jupyterhub.utils import make_ssl_context
from traitlets.config import Config

from ....errors import InvalidJobError
from ....servers.certificates import Identity, make_identity

_OF_SERVERS, _OF_HUB = "notebooks-ca", "hub-ca"


def read_identity(spawner: Any, config: Config, folder: Path) -> tuple[Identity, ssl.SSLContext]:
    """Return a key for the probe's job, and how the doctor shows itself in the Hub's place.

    Nothing is made: the files are those of the Hub's last start.

    Parameters
    ----------
    folder
        Where the Hub is started, because its folder for the files is usually a relative path.

    Raises
    ------
    InvalidJobError
        If they can't be read.
    """
    given = str(config.JupyterHub.get("internal_certs_location", "internal-ssl"))
    location = folder / given
    try:
        from certipy import Certipy  # type: ignore[import-untyped] # it has no types

        own = Certipy(store_dir=str(location)).store.get_record("hub-internal")["files"]
        bundles = {name: str(location / f"{name}_trust.crt") for name in (_OF_SERVERS, _OF_HUB)}
        spawner.internal_certs_location = str(location)
        spawner.internal_trust_bundles = bundles
        context = make_ssl_context(
            own["key"], own["cert"], cafile=bundles[_OF_HUB], purpose=ssl.Purpose.CLIENT_AUTH
        )
        return make_identity(spawner), context
    except InvalidJobError:
        raise
    except Exception as error:  # certipy's errors have no common class of their own
        raise InvalidJobError(
            f"c.JupyterHub.internal_certs_location: the files in {location} can't be used "
            f"({type(error).__name__}: {error}); start the Hub once, which makes them, and run the "
            "doctor as the Hub's account in the folder in which the Hub is started"
        ) from None
