"""Which files only ``make faults`` runs; the README says what stands for them in ``make test``."""

from __future__ import annotations

import os

collect_ignore = [] if os.environ.get("FAULTS_LONG") else ["test_lost_node.py", "test_ray_loss.py"]
