"""A few synthetic pages for the whole folder."""

import pytest

from sktally.datasets import make_tally_pages


@pytest.fixture(scope="session")
def tallies():
    """Three pages of the form `example`, drawn cleanly."""
    return make_tally_pages(3, form="example", degrade="none", random_state=0)
