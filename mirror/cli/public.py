"""`sigmirror copy --public`: what of a mirror's repositories everybody may have."""

from dataclasses import dataclass

import click

from keys.errors import UsageError
from mirror.fleet.sharing import Sharing
from mirror.inventory import Inventory, told_to_all
from mirror.settings import SITE, Settings
from mirror.transfer import Copied, Transfer


@dataclass(frozen=True, slots=True)
class PublicCopy:
    """Repositories on their way, but for the channels and repositories that are left out."""

    transfer: Transfer
    settings: Settings
    left_out: frozenset[str]

    async def run(self) -> list[Copied]:
        """Copy them once all are found to be for everybody; say what of this site is told there.

        Raises:
            UsageError: something is not for everybody, and not left out; or what is left out is
                not there.
            Error: as of ``Transfer.copy``.

        """
        names = await self.transfer.repositories()
        taken = [name for name in names if name == SITE or name not in self.left_out]
        found = [await self.transfer.inventory(name) for name in taken]
        self._check_known(found, names)
        chosen = [self._chosen(inventory) for inventory in found]
        return [await self.transfer.copy_of(inventory) for inventory in chosen]

    def _check_known(self, found: list[Inventory], repositories: tuple[str, ...]) -> None:
        channels = {name for one in found if one.repository == SITE for name in one.channels}
        known = {*repositories, *channels} - {SITE}
        if unknown := sorted(self.left_out - known):
            raise UsageError(
                f"--leave-out: no channel, and no repository passed on: {', '.join(unknown)}",
                hint=f"there are: {', '.join(sorted(known)) or 'none'}",
            )

    def _chosen(self, inventory: Inventory) -> Inventory:
        """Leave out what is to be left out; of a repository that is passed on, nothing."""
        if inventory.repository != SITE:
            self._check_gated(inventory, (inventory.repository,))
            return inventory
        chosen = inventory.without(self.left_out)
        self._check_gated(chosen, self._gated(chosen))
        for what in told_to_all(chosen):
            _note(what)
        for channel in sorted(inventory.channels & self.left_out):
            _note(f"names, sizes and digests of the files of {channel}; not the files")
        return chosen

    def _check_gated(self, inventory: Inventory, names: tuple[str, ...]) -> None:
        if gated := self._gated(inventory):
            words = " ".join(f"--leave-out {name}" for name in names)
            raise UsageError(
                f"repository {inventory.repository}: not for everybody: {', '.join(gated)}",
                hint=f"copy the rest with {words}, and serve these by a mirror, which knows who "
                'asks; or, where the vendor\'s terms allow it, set redistribution = "public" and '
                "publish them anew",
            )

    def _gated(self, inventory: Inventory) -> tuple[str, ...]:
        if self.settings.serve.access == "licences":
            return tuple(sorted(inventory.channels))
        sharing = Sharing.of(self.settings.upstream)
        return sharing.gated(inventory.repository, inventory.manifests)


def _note(what: str) -> None:
    click.echo(f"note: everybody can read there {what}", err=True)
