"""TLS of the listener itself."""

import ssl
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from keys.errors import SettingsError
from mirror.settings import Tls
from mirror.web.sending import SLICE_BYTES
from mirror.web.tls import Certificate, load
from tests.mirror.certificates import certificate
from tests.mirror.web_site import WebSite, blob_url

BIG = bytes(range(256)) * (3 * SLICE_BYTES // 256) + b"tail"


def files(folder: Path, serial: int) -> Tls:
    chain, key = certificate(serial)
    (folder / f"{serial}.crt").write_bytes(chain)
    (folder / f"{serial}.key").write_bytes(key)
    return Tls(cert=f"{folder}/{serial}.crt", key=f"{folder}/{serial}.key")


async def test_a_big_file_and_a_range_of_it_arrive_over_tls(tmp_path: Path) -> None:
    site = WebSite(tmp_path / "site")
    await site.publish({"big.bin": BIG})
    tls = files(tmp_path, 1)
    trusted = ssl.create_default_context(cafile=tls.cert)
    server = TestServer(await site.application(), scheme="https")
    await server.start_server(ssl=Certificate(tls).context)
    url = server.make_url(blob_url("big.bin", BIG))
    async with aiohttp.ClientSession() as session:
        async with session.get(url, ssl=trusted) as answer:
            assert await answer.read() == BIG
        headers = {"Range": "bytes=1000-"}
        async with session.get(url, ssl=trusted, headers=headers) as answer:
            assert (answer.status, await answer.read()) == (206, BIG[1000:])
    await server.close()


@pytest.mark.parametrize("broken", ["missing", "other-key", "no-pem", "encrypted"])
def test_a_certificate_that_cannot_be_used_is_named(tmp_path: Path, broken: str) -> None:
    tls = files(tmp_path, 1)
    if broken == "missing":
        Path(tls.key).unlink()
    elif broken == "other-key":
        Path(tls.key).write_bytes(certificate(2)[1])
    elif broken == "no-pem":
        Path(tls.cert).write_bytes(b"not a certificate")
    else:
        Path(tls.key).write_bytes(_encrypted(Path(tls.key).read_bytes()))
    with pytest.raises(SettingsError, match=r"1\.key"):
        load(tls)


def _encrypted(pem: bytes) -> bytes:
    key = load_pem_private_key(pem, None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
