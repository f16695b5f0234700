"""Run the demo: act the rows, print what was measured; exit 1 at the first that fails."""

import sys
import time

from tests.demo.rows import ROWS
from tests.demo.stage import RowError, stage
from tests.demo.world import HAS_CLAMD, World

NO_CLAMD = "clamd is not installed: apt-get install clamav clamav-daemon"


def main() -> int:
    """Act every row in order."""
    started = time.monotonic()
    engines = "YARA-X and a private clamd" if HAS_CLAMD else f"YARA-X ({NO_CLAMD})"
    print(f"a vendor, a site mirror, three hosts; engines: {engines}")
    table: list[str] = []
    number, title = 0, "set-up"
    with stage() as made:
        try:
            world = World.make(made)
            for number, row in enumerate(ROWS, 1):
                title = row.title
                print(f"{number:2} {title}")
                measured, note = row.act(world)
                table.append(f"{number:2} {title:<26} {measured:<26} {note:<52} OK")
                print(f"   {measured}; {note}  OK")
        except Exception as exc:  # noqa: BLE001 - whatever it is, it ends this row
            print("\n".join(["", *table, f"{number:2} {title:<26} FAILED: {_reason(exc)}"]))
            return 1
    print("\n".join(["", *table, f"all {len(ROWS)} rows hold; {time.monotonic() - started:.0f} s"]))
    return 0


def _reason(error: Exception) -> str:
    text = str(error) if isinstance(error, RowError) else f"{type(error).__name__}: {error}"
    return "; ".join(text.splitlines())


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.exit(main())
