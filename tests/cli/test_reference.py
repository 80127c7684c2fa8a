from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_reference_in_docs_is_as_the_program_is() -> None:
    line = [sys.executable, "tools/make_reference.py", "--check"]
    ended = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, check=False)
    assert ended.returncode == 0, ended.stderr
