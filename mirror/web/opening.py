"""Everything that requests are answered from, opened as the settings say."""

from collections.abc import Iterable

from mirror.fleet.ledger import followed_door
from mirror.fleet.sharing import Sharing
from mirror.fleet.throttle import Throttle
from mirror.offers import ranking
from mirror.settings import Settings
from mirror.web.access import Gate, Proxies
from mirror.web.cache.opening import Served
from mirror.web.hot import HotRepository
from mirror.web.native.index import NativeIndex
from mirror.web.repository import Repositories


async def open_repositories(
    settings: Settings, served: Served, names: Iterable[str]
) -> Repositories:
    """Open repositories and the door to them; each is loaded when it is put in force.

    Raises:
        StateError: the records of hosts or customers are unusable.

    """
    serve = settings.serve
    door = await followed_door(settings)
    by_name = {name: HotRepository(served.store, name, served.cache) for name in names}
    for repository in by_name.values():
        await repository.refresh()
    proxies = Proxies(serve.trusted_proxies, required=serve.tls_terminated_by_proxy)
    return Repositories(
        store=served.store,
        elsewhere=served.elsewhere,
        by_name=by_name,
        gate=Gate(door, Throttle(), proxies),
        public=serve.access == "open",
        sharing=Sharing.of(settings.upstream),
        index=NativeIndex(by_name, ranking(settings.upstream), gated=door.gated),
    )
