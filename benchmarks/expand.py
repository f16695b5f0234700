"""`python expand.py CVD CLD KEYS`: verify and expand; print the CPU seconds of that alone."""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from keys.trust.vendor.cvd import expand_cvd
from keys.trust.vendor.rsa import Keys, PublicKey


def main(cvd: Path, cld: Path, numbers: str) -> None:
    """Expand once."""
    header, info = (PublicKey(*one) for one in json.loads(numbers))
    start = time.process_time()
    with cvd.open("rb") as file, cld.open("wb") as target:
        expand_cvd(file, target, cvd.name, keys=Keys(header, info, cdiff=info))
    print(time.process_time() - start)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
