"""From offers to files on disk: plan, fetch what the plan needs, plan again where that failed.

One channel that cannot be had never stops the others: it keeps what it has.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keys.errors import Error, LicenceEndedError, MissingError
from updater import combine, plan
from updater.assemble import Wanted
from updater.channels import ChannelName
from updater.combine import Overlay, Part
from updater.engines.base import Engine
from updater.ignoring import Names
from updater.plan import Entitlement, Have, Offer, Plan
from updater.settings import EngineSettings
from updater.state import Release
from updater.vendor import VendorCheck

if TYPE_CHECKING:  # loads the TUF library, which a run that finds nothing new does without
    from updater.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class Obtained:
    """What to do, with everything it needs on disk, and what could not be had."""

    plan: Plan
    wanted: Wanted
    errors: tuple[Error, ...]


@dataclass(slots=True)
class Obtainer:
    """Brings what one engine should read onto this host; ``vendor`` None checks no database."""

    settings: EngineSettings
    engine: Engine
    catalogue: "Catalogue"
    channels: Mapping[str, ChannelName]
    vendor: VendorCheck | None = None
    _offers: dict[str, Offer] = field(init=False, default_factory=dict)
    _parts: dict[tuple[str, str], Part] = field(init=False, default_factory=dict)
    _errors: list[Error] = field(init=False, default_factory=list)

    def obtain(self, have: Have, overlay: Overlay, ignored: Names) -> Obtained:
        """Plan, and bring what is planned; each failure makes another plan without it."""
        for channel in self.channels.values():
            self._ask(channel)
        while True:
            offers = list(self._offers.values())
            channels, own = tuple(self.channels), overlay.fingerprint
            chosen = plan.plan(have, channels, offers, own, ignored)
            if chosen.action in {plan.Action.keep, plan.Action.wait} or self._bring(chosen):
                return Obtained(chosen, self._wanted(chosen, overlay), tuple(self._errors))

    def _ask(self, channel: ChannelName) -> None:
        try:
            offer = self.catalogue.offer(channel, self.settings.track)
        except Error as exc:
            self._note(exc)
        else:
            if offer is not None:
                self._offers[channel.written] = offer
            else:
                self._note(self._not_offered(channel))

    def _not_offered(self, channel: ChannelName) -> MissingError:
        chooser = channel.repository.policy or channel.repository.name
        return MissingError(
            f"channel {channel.written}: repository {chooser} offers nothing on the track "
            f"{self.settings.track!r}",
            hint="see how channel and track are written in the settings; the mirror may also "
            "have withdrawn it, or not published it yet; what is installed stays",
        )

    def _bring(self, chosen: Plan) -> bool:
        """Bring every release of a plan; False when another plan has to be made.

        Raises:
            Error: what is installed already cannot be laid out again.

        """
        for written, release in chosen.releases.items():
            try:
                self._bring_one(self.channels[written], release)
            except Error as exc:
                self._give_up(self.channels[written], exc)
                return False
        return True

    def _bring_one(self, channel: ChannelName, release: Release) -> None:
        key = (channel.written, release.manifest_sha256)
        if key in self._parts:
            return
        manifest, files = self.catalogue.listed(channel, release)
        part = combine.part(
            self.engine,
            channel.written,
            files,
            assurance=manifest.assurance,
            may_suppress=self.settings.may_suppress,
        )
        self.catalogue.fetch(channel, part.layout.values())
        if self.vendor:
            self.vendor.check(channel.written, release, part.layout.values())
        self._parts[key] = part

    def _give_up(self, channel: ChannelName, error: Error) -> None:
        """Take back an offer that cannot be had; after a licence's end offer what it covers.

        Raises:
            Error: nothing was offered: it is what is installed that cannot be laid out again.

        """
        offer = self._offers.pop(channel.written, None)
        if offer is None:
            raise error
        self._note(error)
        if isinstance(error, LicenceEndedError) and offer.entitlement is None and error.ends_on:
            self._narrow(channel, offer, error)

    def _narrow(self, channel: ChannelName, offer: Offer, ended: LicenceEndedError) -> None:
        try:
            covered = Entitlement.parse(ended.ends_on, ended.tz)
            self._offers[channel.written] = self.catalogue.entitled(channel, offer, covered)
        except Error as exc:
            self._note(exc)

    def _note(self, error: Error) -> None:
        if str(error) not in {str(known) for known in self._errors}:
            self._errors.append(error)

    def _wanted(self, chosen: Plan, overlay: Overlay) -> Wanted:
        parts = {
            written: part
            for (written, digest), part in self._parts.items()
            if written in chosen.releases and chosen.releases[written].manifest_sha256 == digest
        }
        return Wanted(chosen.releases, parts, overlay, chosen.ignored)
