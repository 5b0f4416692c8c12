"""``python -m tests.faults.silent_ray`` freezes the GCS under a search and prints how long its transactions took."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from pathlib import Path

from tests.search.stored import submit
from tests.search.worker_service import Service

INSIDE = Path(__file__).parent / "inside"
FROZEN_SECONDS = 18.0  # a driver leaves after 20 s


def main() -> None:
    """Measure, and print the longest transaction before and while Ray does not answer."""
    with tempfile.TemporaryDirectory() as folder:
        times = Path(folder) / "transactions"
        os.environ["FAULTS_TRANSACTIONS"] = str(times)
        os.environ["PYTHONPATH"] = os.pathsep.join([str(INSIDE), os.environ.get("PYTHONPATH", "")])
        service = Service(Path(folder) / "home", f"sqlite:///{folder}/test.db")
        search_id = submit(service.settings.database_url, seeds=20, numbers={"seconds": 2.0, "epochs": 8})
        service.start()
        service.wait(lambda: service.running(search_id) > 0, 60, "nothing runs")
        time.sleep(5)
        before = _read(times)
        (gcs,) = service.named("gcs_server")
        gcs.send_signal(signal.SIGSTOP)
        time.sleep(FROZEN_SECONDS)
        during = _read(times)[len(before) :]
        gcs.send_signal(signal.SIGCONT)
        service.stop()
    for when, seconds in (("before", before), ("while Ray does not answer", during)):
        print(f"{when}: {len(seconds)} transactions, the longest {max(seconds) * 1000:.0f} ms")


def _read(file: Path) -> list[float]:
    return [float(line) for line in file.read_text().split()]


if __name__ == "__main__":
    main()
