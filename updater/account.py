"""An account of this host in the words of the wire: what its last run found, engine by engine."""

import platform
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from importlib import metadata

import msgspec

from keys.errors import HostError, SettingsError, StateError
from keys.model.report import ChannelRelease, EngineTold, HostReport, TroubleTold
from updater.channels import channel_names
from updater.engines import process
from updater.fragments import Known
from updater.place import Place
from updater.report import EngineReport, RunReport, Trouble
from updater.settings import EngineSettings, ReportSettings, Settings
from updater.state import Release

MAX_TEXT = 2000  # characters of one message; the wire allows no more
MAX_ENTRIES = 50  # of each list
MAX_IGNORED_TOLD = 100  # signatures: a report has its size


def compose(
    run: RunReport, settings: Settings, places: Mapping[str, Place], *,
    host: str, occasion: str, at: datetime, known: Known,
) -> HostReport:  # fmt: skip
    """Say what a run found, in the words of the wire; ``Outbox.put`` numbers it."""
    kinds = {engine.name: engine for engine in settings.engine}
    engines = tuple(
        _engine(engine, kinds[engine.engine], places[engine.engine], settings)
        for engine in run.engines
        if engine.engine in kinds
    )
    return HostReport(
        host=host,
        series="",
        number=1,
        occasion=occasion,
        at=at,
        system=_system(),
        sigupdate=metadata.version("sigmirror"),
        exit_code=run.exit_code,
        duration_seconds=run.duration_seconds,
        refreshed=dict(run.refreshed),
        engines=engines,
        troubles=tuple(_troubles((*run.troubles, *_refusal(known)))),
        settings=known.told(),
    )


def counted(report: HostReport, settings: ReportSettings) -> HostReport:
    """Add the numbers the operator's own commands print."""
    return msgspec.structs.replace(
        report,
        detections=_number(settings.detections_command, settings.command_timeout_seconds),
        seats=_number(settings.seats_command, settings.command_timeout_seconds),
    )


def _number(command: Sequence[str], seconds: float) -> int | None:
    """Return the number a command prints; None where it prints none."""
    if not command:
        return None
    try:
        text = process.run(command, timeout_seconds=seconds).output.strip()
    except HostError:
        return None
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else None


def _refusal(known: Known) -> Iterator[Trouble]:
    if known.refused:
        named = f"fragment {known.refused.sequence}" if known.refused.sequence else "its fragment"
        yield Trouble.of(SettingsError(f"{named} is refused: {known.refused.cause}"))


def _engine(
    told: EngineReport, settings: EngineSettings, place: Place, host: Settings
) -> EngineTold:
    names = channel_names(host, told.releases)
    found, last = None, None
    try:
        found, last = place.in_force(place.state.load()), place.history.last()
        entries = place.quarantine.load().entries
        quarantined = [entry for entry in entries if entry.holds and not entry.ignoring]
    except StateError:
        quarantined = []
    return EngineTold(
        engine=told.engine,
        kind=settings.kind,
        version=last.engine_version[:MAX_TEXT] if last else "",
        track=settings.track,
        outcome=told.outcome,
        proof=told.proof.value,
        proof_at=found.proof_at if found else None,
        detail=told.detail[:MAX_TEXT],
        generation=told.generation,
        installed_at=found.created if found else None,
        channels={names[name].full: _channel(one) for name, one in told.releases.items()},
        held=tuple(reason[:MAX_TEXT] for reason in told.held[:MAX_ENTRIES]),
        troubles=tuple(_troubles(told.troubles)),
        quarantined=tuple(digest for entry in quarantined for digest in entry.releases.values())[
            :200
        ],
        ignored=told.ignored[:MAX_IGNORED_TOLD],
    )


def _channel(release: Release) -> ChannelRelease:
    return ChannelRelease(
        sequence=release.sequence,
        manifest_sha256=release.manifest_sha256,
        release=release.release[:200],
        published=release.published,
        assurance=release.assurance.value,
    )


def _troubles(troubles: Sequence[Trouble]) -> Iterator[TroubleTold]:
    for trouble in troubles[:MAX_ENTRIES]:
        yield TroubleTold(
            message=trouble.message[:MAX_TEXT],
            hint=trouble.hint[:MAX_TEXT],
            exit_code=trouble.exit_code,
        )


def _system() -> str:
    try:
        name = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        name = ""
    return f"{name or platform.system()}, {platform.machine()}"
