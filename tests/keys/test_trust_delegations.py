"""Which role speaks for which path: order, ends, cycles, bins, and whose word counts."""

from pathlib import Path

import pytest

from keys.errors import LimitError, MissingError, SignatureError, TrustError
from keys.model.release import Pin
from keys.trust.limits import MetadataLimits
from keys.trust.tuf_api import CryptoSigner, TargetFile
from tests.keys.trusting import Host
from tests.tuf_cases import GRAPHS, PLACES, TREE, Edge, edge, publish_graph
from tests.tuf_repository import SignedRepository, now


@pytest.fixture
def server() -> SignedRepository:
    return SignedRepository()


@pytest.fixture
def host(tmp_path: Path, server: SignedRepository) -> Host:
    return Host.trusting(tmp_path, server)


@pytest.mark.parametrize(("edges", "asked"), GRAPHS.values(), ids=GRAPHS)
def test_a_search_asks_for_roles_in_the_order_of_the_specification(
    host: Host, server: SignedRepository, edges: list[Edge], asked: list[str]
) -> None:
    publish_graph(server, edges)
    assert host.find("x", server) is None
    assert server.requests[4:] == [f"1.{role}.json" for role in asked]


@pytest.mark.parametrize(("role", "path", "found"), PLACES)
def test_a_target_counts_only_on_the_paths_its_role_was_given(
    host: Host, server: SignedRepository, role: str, path: str, found: bool
) -> None:
    publish_graph(server, TREE)
    pin = server.add_target(role, path, b"content")
    server.publish_all()
    assert host.find(path, server) == (pin if found else None)


def test_a_role_is_believed_by_its_present_delegator_only(
    host: Host, server: SignedRepository
) -> None:
    """Attack: in a diamond, a role signed for one delegator is offered to the other one."""
    server.delegate("targets", "A", ["a/*"])
    server.delegate("targets", "B", ["b/*"])
    for_a, for_b = CryptoSigner.generate_ed25519(), CryptoSigner.generate_ed25519()
    server.delegate("A", "C", ["a/*"], signer=for_a)
    server.delegate("B", "C", ["b/*"], signer=for_b)
    server.add_target("C", "a/x", b"for a")
    server.add_target("C", "b/x", b"never for b")
    server.signers["C"] = [for_a]
    server.publish_all()
    repository = host.repository()
    repository.refresh(server, now=now())
    assert repository.find("a/x", server) is not None
    with pytest.raises(SignatureError, match=r"C\.json: signed by 0 of the 1 keys"):
        repository.find("b/x", server)
    with pytest.raises(SignatureError):
        host.find("b/x", server)  # nor from the copy on disk


def test_a_rotated_delegation_is_followed(host: Host, server: SignedRepository) -> None:
    server.delegate("targets", "team", ["team/*"])
    server.add_target("team", "team/a", b"1")
    server.publish_all()
    assert host.find("team/a", server) is not None
    server.targets().delegations = None
    server.signers["team"] = []
    server.delegate("targets", "team", ["team/*"])
    pin = server.add_target("team", "team/a", b"2")
    server.publish_all()
    assert host.find("team/a", server) == pin


def test_a_chain_longer_than_the_limit_ends_by_name(
    tmp_path: Path, server: SignedRepository
) -> None:
    publish_graph(server, [edge("targets", "r0"), *(edge(f"r{n}", f"r{n + 1}") for n in range(8))])
    host = Host(tmp_path, MetadataLimits(max_delegations=5))
    host.repository().bootstrap(server.first_root)
    with pytest.raises(LimitError, match="max_delegations=5"):
        host.find("x", server)


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_succinct_bins_are_searched_by_one_request(
    host: Host, server: SignedRepository, bits: int
) -> None:
    server.delegate_bins("targets", bits, "bin")
    bins = server.targets().delegations
    assert bins is not None
    assert bins.succinct_roles is not None
    pins = {}
    for number in range(20):
        path = f"files/{number}"
        role = bins.succinct_roles.get_role_for_target(path)
        pins[path] = server.add_target(role, path, str(number).encode())
    server.publish_all()
    for path, pin in pins.items():
        assert host.find(path, server) == pin
    server.requests.clear()
    assert host.find("files/none", server) is None
    assert len(server.requests) <= 3


def test_a_target_in_the_wrong_bin_is_not_found(host: Host, server: SignedRepository) -> None:
    server.delegate_bins("targets", 1, "bin")
    bins = server.targets().delegations
    assert bins is not None
    assert bins.succinct_roles is not None
    right = bins.succinct_roles.get_role_for_target("x")
    server.add_target("bin-1" if right == "bin-0" else "bin-0", "x", b"x")
    server.publish_all()
    assert host.find("x", server) is None


def test_hash_prefixes_are_searched(host: Host, server: SignedRepository) -> None:
    digest = Pin.of(b"files/x").sha256
    server.delegate("targets", "mine", prefixes=[digest[:2]])
    server.delegate("targets", "other", prefixes=["zz"])
    pin = server.add_target("mine", "files/x", b"x")
    server.publish_all()
    assert host.find("files/x", server) == pin
    assert "1.other.json" not in server.requests


@pytest.mark.parametrize("role", ["?", "#", "/deep", "../up", "a b", "ロール", "%2e", ".", ".."])
def test_a_role_of_any_name_is_one_file_in_its_folder(
    host: Host, server: SignedRepository, role: str
) -> None:
    server.delegate("targets", role)
    pin = server.add_target(role, "x", b"x")
    server.publish_all()
    assert host.find("x", server) == pin
    assert len(list(host.metadata.glob("*.json"))) + len(list(host.metadata.glob(".*.json"))) >= 5
    assert [path.name for path in host.metadata.parent.iterdir() if path.suffix == ".json"] == [
        "clock.json"
    ]


def test_a_target_listed_without_sha256_is_refused(host: Host, server: SignedRepository) -> None:
    server.targets().targets["x"] = TargetFile(1, {"sha512": "0" * 128}, "x")
    server.publish_all()
    with pytest.raises(TrustError, match="x: listed without a sha256"):
        host.find("x", server)


def test_a_role_is_listed_with_what_it_may_speak_for(host: Host, server: SignedRepository) -> None:
    server.delegate("targets", "team", ["team/*"])
    pin = server.add_target("team", "team/a", b"a")
    server.add_target("team", "elsewhere/b", b"b")
    server.publish_all()
    repository = host.repository()
    repository.refresh(server, now=now())
    assert repository.targets_of("team", server, via="team/a") == {"team/a": pin}
    with pytest.raises(MissingError, match="no role 'ghost'"):
        repository.targets_of("ghost", server, via="ghost/a")


def test_a_delegated_role_the_snapshot_does_not_list_is_refused(
    host: Host, server: SignedRepository
) -> None:
    server.delegate("targets", "team")
    server.publish("targets", "snapshot", "timestamp")
    with pytest.raises(TrustError, match="does not list the role 'team'"):
        host.find("x", server)
