"""The real cvdupdate as a client of a mirror."""

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cvdupdate import cvdupdate
from tests.mirror.clamav_vendor_server import ClamavServer, in_background
from tests.mirror.freshclam import held, run_client

MODE = "cvdupdate"


@dataclass(frozen=True, slots=True)
class CvdUpdate:
    """One folder that it keeps; it never goes on without an answer to its TXT query."""

    folder: Path
    database: str = "test"

    @property
    def databases(self) -> Path:
        """Where its databases lie."""
        return self.folder / "db"

    def hold(self, data: bytes) -> None:
        """Have a version of the database from an earlier day."""
        self.databases.mkdir(parents=True, exist_ok=True)
        (self.databases / f"{self.database}.cvd").write_bytes(data)

    async def run(self, url: str) -> int:
        """Update from the mirror at this URL; return the exit code."""
        self.databases.mkdir(parents=True, exist_ok=True)
        with in_background(ClamavServer(txt="1.4.6:0:0:0:0:0:0:0")) as server:
            program = await asyncio.to_thread(cvdupdate, self.folder, dns_port=server.dns_port)
            self._write(url)
            words = [str(program), "update", "--config", str(self.folder / "config.json")]
            with (self.folder / "cvdupdate.log").open("ab") as output:
                return await run_client([*words, "--verbose"], output.fileno())

    def _write(self, url: str) -> None:
        config = {
            "nameserver": "127.0.0.1",
            "max retry": 2,
            "log directory": str(self.folder / "logs"),
            "rotate logs": True,
            "# logs to keep": 2,
            "db directory": str(self.databases),
            "rotate cdiffs": True,
            "# cdiffs to keep": 30,
            "state file": str(self.folder / "state.json"),
        }
        (self.folder / "config.json").write_text(json.dumps(config))
        state = self.folder / "state.json"
        begun: dict[str, Any] = {"uuid": "a-test", "dbs": {}}
        known = json.loads(state.read_text()) if state.exists() else begun
        before = known["dbs"].get(f"{self.database}.cvd", self._begun())
        address = f"{url}/clamav/{self.database}.cvd"
        known["dbs"] = {f"{self.database}.cvd": {**before, "url": address}}
        state.write_text(json.dumps(known))

    def _begun(self) -> dict[str, object]:
        version = self.version or 0
        return {
            "retry after": 0,
            "last modified": time.time() - 86400 if version else 0,
            "last checked": 0,
            "DNS field": 0,
            "local version": version,
            "CDIFFs": [],
        }

    @property
    def version(self) -> int | None:
        """The version of the database it holds."""
        return held(self.databases, self.database)
