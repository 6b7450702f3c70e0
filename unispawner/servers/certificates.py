"""What ``c.JupyterHub.internal_ssl`` needs: a key for each job, and certificates for it.

The Hub, the proxy and each server check the other side's certificate, with its name. But nobody
knows a job's node before the job runs. So a job has one key and, one after the other, two
certificates, both signed by the authority that JupyterHub has for servers:

- With the job's request travels a certificate that names the user. It is good for clients only, so
  nobody can be a server with it: the launcher shows it when it reports that the job has begun.
- The answer to that report is a certificate that also names the node, if the scheduler says that
  the job runs there. It is public, and its key is on the node already. So no secret travels again,
  no agent has to write it, and no file of it has to come over a network file system.

The Hub makes the key, because the launcher must have one before it can speak, and because Python's
standard library, all that a node has for certain, can make none. The Hub does not keep it.
"""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from inspect import isawaitable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InvalidJobError
from ..web import tls

if TYPE_CHECKING:  # only a Hub with internal_ssl loads it
    from cryptography import x509

LIFETIME = datetime.timedelta(days=366)
"""How long a certificate is valid. It outlives its job, whose time limit may be extended, and the
job's private key is removed with the job."""
_CLOCKS = datetime.timedelta(days=1)
"""How much a node's clock may be behind."""
_AUTHORITY = "notebooks-ca"
"""JupyterHub's name for the authority of servers."""


@dataclass(frozen=True)
class Identity:
    """A job's key.

    Attributes
    ----------
    files
        The text of ``keyfile``, ``clientfile`` and ``cafile``, the job's private files.
    public_key
        See :func:`unispawner.web.tls.encode_key`.
    """

    files: Mapping[str, str] = field(repr=False)
    public_key: str


def make_identity(spawner: Any) -> Identity:
    """Return a new key for a job, with its certificate for clients.

    Raises
    ------
    InvalidJobError
        If JupyterHub's authority for servers can't be used.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())  # 30 µs; an RSA key would stop the Hub for 100 ms
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = tls.encode_key(key.public_key())
    try:
        trusted = Path(spawner.internal_trust_bundles[_AUTHORITY]).read_text(encoding="ascii")
    except (OSError, LookupError) as error:
        raise _unusable(spawner, error) from None
    files = {"keyfile": private.decode(), "clientfile": sign(spawner, public), "cafile": trusted}
    return Identity(files, public)


def sign(spawner: Any, public_key: str, names: Collection[str] = ()) -> str:
    """Return a certificate (PEM) of a user's server.

    Parameters
    ----------
    public_key
        See :func:`unispawner.web.tls.encode_key`.
    names
        The host's, such as ``IP:10.0.0.1`` and ``DNS:node1``. Without any, the certificate is good
        for a client only.

    Raises
    ------
    InvalidJobError
        If JupyterHub's authority for servers can't be used, or a name makes no sense.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    authority = _find_authority(spawner)
    roles = [ExtendedKeyUsageOID.CLIENT_AUTH]
    roles += [ExtendedKeyUsageOID.SERVER_AUTH] if names else []
    subject = x509.NameAttribute(NameOID.COMMON_NAME, tls.name_certificate(spawner.user.name))
    now = datetime.datetime.now(datetime.timezone.utc)
    der = tls.decode_key(public_key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([subject]))
        .issuer_name(authority.certificate.subject)
        .public_key(serialization.load_der_public_key(der))  # type: ignore[arg-type] # ours
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(roles), critical=True)
        .add_extension(authority.identifier, critical=False)
    )
    if names:
        alternatives = [_alternative(name) for name in dict.fromkeys(names)]
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    signed = builder.sign(authority.key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def _alternative(name: str) -> x509.GeneralName:
    from cryptography import x509

    kind, _, value = name.partition(":")
    try:
        if kind == "IP":
            return x509.IPAddress(ipaddress.ip_address(value))
        if kind == "DNS":
            return x509.DNSName(value)
    except ValueError:
        pass
    raise InvalidJobError(
        f"ssl_alt_names: {name!r} is not a name for a certificate, such as 'IP:10.0.0.1' or "
        "'DNS:node1.example.org'"
    )


async def find_sites_names(spawner: Any) -> list[str]:
    """Return what the site itself wants certificates to name (``c.UniSpawner.ssl_alt_names``).

    JupyterHub's default for it is the Hub's own names. No server needs those.

    Raises
    ------
    InvalidJobError
        If the site's own function fails.
    """
    names = spawner.ssl_alt_names
    if callable(names):
        try:
            names = names(spawner)
            if isawaitable(names):
                names = await names
        except Exception as error:  # whatever the site's function raises
            raise InvalidJobError(
                f"c.UniSpawner.ssl_alt_names failed: {type(error).__name__}: {error}"
            ) from error
    names = list(names or ())
    return [] if names == spawner.trusted_alt_names else names


def make_context(spawner: Any) -> ssl.SSLContext:
    """Return how the Hub shows itself to a server, and whom it trusts.

    Raises
    ------
    InvalidJobError
        If the Hub's files can't be read.
    """
    settings = spawner.user.settings
    try:
        context = ssl.create_default_context(cafile=settings["internal_ssl_ca"])
        context.load_cert_chain(settings["internal_ssl_cert"], settings["internal_ssl_key"])
    except OSError as error:
        raise _unusable(spawner, error) from None
    return context


# -- JupyterHub's authority ----------------------------------------------------------------------


@dataclass(frozen=True)
class _Authority:
    certificate: x509.Certificate
    key: Any
    identifier: x509.AuthorityKeyIdentifier


def _find_authority(spawner: Any) -> _Authority:
    """Return JupyterHub's authority for servers."""
    try:
        return _load_authority(spawner.internal_certs_location)
    except Exception as error:  # certipy's errors have no common class of their own
        raise _unusable(spawner, error) from None


@lru_cache(maxsize=4)
def _load_authority(folder: str) -> _Authority:
    """Load what JupyterHub has made or found when it started; to check the key takes 100 ms."""
    from certipy import Certipy  # type: ignore[import-untyped] # it has no types
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    files = Certipy(store_dir=folder).store.get_record(_AUTHORITY)["files"]
    certificate = x509.load_pem_x509_certificate(Path(files["cert"]).read_bytes())
    key: Any = load_pem_private_key(Path(files["key"]).read_bytes(), None)
    try:  # a site's own authority may have another identifier than the usual hash
        known = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(known)
    except x509.ExtensionNotFound:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    return _Authority(certificate, key, identifier)


def _unusable(spawner: Any, error: Exception) -> InvalidJobError:
    return InvalidJobError(
        f"c.JupyterHub.internal_certs_location: the files of {_AUTHORITY} in "
        f"{spawner.internal_certs_location!r} can't be used ({type(error).__name__}: {error}). "
        "JupyterHub makes them when it starts with c.JupyterHub.internal_ssl"
    )
