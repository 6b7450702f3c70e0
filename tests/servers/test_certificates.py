"""The certificates of ``internal_ssl``: which roles, which names, how long, and signed by whom."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from support.hub_app import FakeSpawner

from unispawner.errors import InvalidJobError
from unispawner.servers import certificates
from unispawner.web import tls

CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with JupyterHub's authorities."""
    folder = tmp_path_factory.mktemp("internal-ssl")
    certipy = pytest.importorskip("certipy").Certipy(store_dir=str(folder))
    certipy.trust_from_graph({"notebooks-ca": ["hub-ca"], "hub-ca": ["notebooks-ca"]})
    return folder


@pytest.fixture
def spawner(folder: Path) -> Any:
    return SimpleNamespace(
        user=SimpleNamespace(name="alice"),
        internal_certs_location=str(folder),
        internal_trust_bundles={"notebooks-ca": str(folder / "notebooks-ca_trust.crt")},
        trusted_alt_names=["IP:192.0.2.1"],
        ssl_alt_names=["IP:192.0.2.1"],
    )


def read(text: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(text.encode())


def roles(certificate: x509.Certificate) -> set[x509.ObjectIdentifier]:
    return set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def test_a_job_begins_as_a_client(spawner: Any) -> None:
    """A job's key comes with a certificate that names the user, is good for clients only and names
    no host; each job has another key."""
    identity = certificates.make_identity(spawner)
    certificate = read(identity.files["clientfile"])
    assert {CLIENT} == roles(certificate)
    [name] = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert "user-alice" == name.value
    with pytest.raises(x509.ExtensionNotFound):
        certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    key = load_pem_private_key(identity.files["keyfile"].encode(), None)
    keys = {tls.encode_key(one) for one in (key.public_key(), certificate.public_key())}
    assert {identity.public_key} == keys
    assert identity.public_key != certificates.make_identity(spawner).public_key
    assert "PRIVATE" not in repr(identity)


def test_the_certificate_of_a_server(spawner: Any) -> None:
    """The second certificate has the job's key, both roles, the host's names and no others. It is
    valid for a year, also on a node whose clock is an hour behind, and can sign nothing."""
    public = certificates.make_identity(spawner).public_key
    certificate = read(certificates.sign(spawner, public, ["IP:192.0.2.7", "DNS:node7"]))
    assert public == tls.encode_key(certificate.public_key())
    assert {CLIENT, SERVER} == roles(certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert ["192.0.2.7"] == [str(one) for one in names.get_values_for_type(x509.IPAddress)]
    assert ["node7"] == names.get_values_for_type(x509.DNSName)
    limits = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (True, False) == (limits.critical, limits.value.ca)
    now = datetime.datetime.now(datetime.timezone.utc)
    early, late = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    assert early < now - datetime.timedelta(hours=1)
    assert now + datetime.timedelta(days=360) < late < now + datetime.timedelta(days=370)


@pytest.mark.parametrize(
    ("names", "asked", "reason"),
    [
        (["IP:192.0.2.7"], "192.0.2.7", ""),
        (["IP:2001:db8::7"], "2001:db8::7", ""),
        (["IP:192.0.2.7"], "192.0.2.8", "IP address mismatch"),
        ([], "192.0.2.7", "purpose"),
    ],
)
def test_what_a_proxy_accepts(
    spawner: Any, folder: Path, tmp_path: Path, names: list[str], asked: str, reason: str
) -> None:
    """In a real handshake the certificate counts for its host alone; that for clients counts for no
    server, and is accepted as a client's."""
    identity = certificates.make_identity(spawner)
    key, chain = tmp_path / "key", tmp_path / "certificate"
    key.write_text(identity.files["keyfile"])
    chain.write_text(certificates.sign(spawner, identity.public_key, names))
    trust = folder / "hub-ca_trust.crt"
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(trust))
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.create_default_context(cafile=str(trust))
    for context in (server, client):
        context.load_cert_chain(chain, key)
    assert reason in handshake(client, server, asked)
    assert bool(reason) == bool(handshake(client, server, asked))


def handshake(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> str:
    """Return why a handshake fails; empty if it succeeds on both sides."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(8):
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                return error.verify_message
    assert all(side.getpeercert() for side in sides)
    return ""


async def test_the_names_that_a_site_wants(spawner: Any) -> None:
    """ssl_alt_names of the site's own, a list or a function, are added; JupyterHub's default for
    them, the Hub's own names, is not."""
    assert [] == await certificates.find_sites_names(spawner)
    spawner.ssl_alt_names = ["DNS:*.cluster.example"]
    assert ["DNS:*.cluster.example"] == await certificates.find_sites_names(spawner)

    async def find(asking: Any) -> list[str]:
        return [f"DNS:{asking.user.name}.example"]

    spawner.ssl_alt_names = find
    assert ["DNS:alice.example"] == await certificates.find_sites_names(spawner)
    spawner.ssl_alt_names = lambda _: 1 / 0
    with pytest.raises(InvalidJobError, match="ssl_alt_names failed: ZeroDivisionError"):
        await certificates.find_sites_names(spawner)


@pytest.mark.parametrize("name", ["IP:node7", "node7", "MAC:00"])
def test_a_name_that_makes_no_sense(spawner: Any, name: str) -> None:
    """A name that no certificate can have is an error that shows it, and the setting."""
    public = certificates.make_identity(spawner).public_key
    with pytest.raises(InvalidJobError, match=f"ssl_alt_names: '{name}' is not a name"):
        certificates.sign(spawner, public, [name])


@pytest.mark.parametrize("user", ["x" * 255, "ü" * 40])
def test_a_long_user_name(spawner: Any, user: str) -> None:
    """A name that is too long for a certificate is replaced by a digest of it."""
    spawner.user.name = user
    certificate = read(certificates.make_identity(spawner).files["clientfile"])
    [name] = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert (64, tls.name_certificate(user)) == (len(name.value), name.value)
    assert tls.name_certificate(user) != tls.name_certificate(user + "x")


def test_no_authority(spawner: Any, tmp_path: Path) -> None:
    """Without JupyterHub's files the error names the setting and the folder."""
    spawner.internal_certs_location = str(tmp_path / "missing")
    with pytest.raises(InvalidJobError, match="internal_certs_location: the files of notebooks-ca"):
        certificates.make_identity(spawner)


async def test_jupyterhub_makes_no_files() -> None:
    """No key of a server is made or kept in the Hub's folder, unless a site's own class moves
    JupyterHub's files itself."""
    assert {} == await FakeSpawner().create_certs()
    made = {"keyfile": "made"}

    class Moving(FakeSpawner):
        async def move_certs(self, paths: dict[str, str]) -> dict[str, str]:
            return paths

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jupyterhub.spawner.Spawner.create_certs", lambda self: made)
        assert made == await Moving().create_certs()


def test_who_needs_a_key() -> None:
    """A job gets a key of ours with internal_ssl, and not if the site has moved files for it."""
    assert not FakeSpawner().needs_identity
    assert FakeSpawner(internal_ssl=True).needs_identity
    assert not FakeSpawner(internal_ssl=True, cert_paths={"keyfile": "moved"}).needs_identity
