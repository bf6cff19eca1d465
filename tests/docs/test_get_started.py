"""The commands of docs/get-started.md, run in their order in an empty folder."""

import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from sktally.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "get-started.md"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return the folder, and each command with its exit status and output."""
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```", text, flags=re.M | re.S)
    commands = [line for block in blocks for line in block.splitlines()]
    correction = re.search(r"^```text\n(.*?)^```", text, flags=re.M | re.S)[1]
    folder = tmp_path_factory.mktemp("started")
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("corrections.csv").write_text(correction, encoding="utf-8")
        for command in commands:
            program, *arguments = shlex.split(command)
            if program != "sktally":
                continue
            if arguments == ["demo"]:
                arguments += ["--pages", "3"]
            found[command] = CliRunner().invoke(main, arguments)
    return folder, found


def test_every_command_succeeds(results):
    _, found = results
    assert len(found) >= 9
    for command, result in found.items():
        assert result.exit_code == 0, (command, result.output)


def test_what_they_leave_is_what_the_page_says(results):
    folder, _ = results
    assert len(list((folder / "checked").glob("*.png"))) == 3
    assert (folder / "page.png").stat().st_size
    assert len(pd.read_csv(folder / "sums.csv")) == 6
    table = pd.read_csv(folder / "votes.csv", dtype={"field": str})
    row = table[
        table["file"].str.endswith("station_001.jpg") & (table["field"] == "02")
    ]
    assert row["final"].tolist() == [70]
