"""TLS is always verified, against the system's authorities or the one that is named."""

import ssl
from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from keys.errors import RefusedError, SettingsError
from keys.model.release import Pin, blob_name
from tests.tuf_repository import now
from tests.updater.unruly_server import UnrulyServer
from updater.fetch import Fetcher, Way

DATA = b"definitions"
PIN = Pin.of(DATA)
PATH = f"/r/site/targets/{blob_name('a/b', PIN.sha256)}"


def certificate(folder: Path, *, address: str = "127.0.0.1", days: int = 2) -> tuple[Path, Path]:
    """Make a certificate that is its own authority; return its file and its key's file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test mirror")])
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - timedelta(days=3))
        .not_valid_after(now() + timedelta(days=days))
        .add_extension(alternative, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / f"{address}.pem", folder / f"{address}.key"
    cert_file.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert_file, key_file


def serving(cert: Path, key: Path) -> UnrulyServer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return UnrulyServer({PATH: DATA}, tls=context)


@pytest.fixture
def cert(tmp_path: Path) -> tuple[Path, Path]:
    return certificate(tmp_path)


@pytest.fixture
def server(cert: tuple[Path, Path]) -> Iterator[UnrulyServer]:
    with serving(*cert) as server:
        yield server


def read(url: str, ca_file: Path | str = "") -> bytes:
    with Fetcher([url], Way(ca_file=str(ca_file))) as fetcher:
        return fetcher.read("site", "a/b", PIN, max_bytes=100)


def test_a_mirror_with_the_named_authority_is_used(
    server: UnrulyServer, cert: tuple[Path, Path]
) -> None:
    assert read(server.url, cert[0]) == DATA


def test_a_mirror_of_an_unknown_authority_is_refused_and_the_way_out_is_named(
    server: UnrulyServer,
) -> None:
    with pytest.raises(RefusedError, match="TLS") as caught:
        read(server.url)
    assert "ca_file" in caught.value.hint
    assert server.asked == []


def test_a_certificate_for_another_host_is_refused(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, address="192.0.2.1")
    with serving(cert, key) as server, pytest.raises(RefusedError, match="TLS"):
        read(server.url, cert)


def test_an_expired_certificate_is_refused(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, days=-1)
    with serving(cert, key) as server, pytest.raises(RefusedError, match="TLS"):
        read(server.url, cert)


def test_a_mirror_in_clear_behind_one_with_bad_tls_still_serves(server: UnrulyServer) -> None:
    with UnrulyServer({PATH: DATA}) as plain, Fetcher([server.url, plain.url]) as fetcher:
        assert fetcher.read("site", "a/b", PIN, max_bytes=100) == DATA


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_an_authority_file_that_is_none_is_named(
    server: UnrulyServer, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "ca.pem"
    if content:
        file.write_text(content)
    with pytest.raises(SettingsError, match=r"ca_file: .*ca\.pem"):
        read(server.url, file)
