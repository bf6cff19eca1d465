"""Check the house limits: no module above 350 lines, no tracked file above 2 MiB."""

import subprocess
import sys
from pathlib import Path

tracked = subprocess.run(
    ["git", "ls-files", "-z"], capture_output=True, check=True, text=True
).stdout.split("\0")
problems = []
for path in map(Path, filter(None, tracked)):
    if not path.is_file():
        continue
    if path.stat().st_size > 2 * 2**20:
        problems.append(f"{path}: {path.stat().st_size} bytes, above 2 MiB")
    if path.suffix == ".py" and path.parts[0] == "sktally":
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > 350:
            problems.append(f"{path}: {lines} lines, above 350")
print("\n".join(problems) or f"{len(tracked) - 1} files within the limits")
sys.exit(bool(problems))
