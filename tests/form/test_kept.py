"""What is made of a form is kept as long as the form, and no longer."""

import gc
import weakref

from sktally import load_form
from sktally.form._kept import kept


def test_made_once_a_form_and_question():
    asked = []

    @kept
    def shout(form, much=1):
        """Say the name of a form."""
        asked.append((form.name, much))
        return form.name.upper() * much

    one, other = load_form("example"), load_form("indonesia-2024")
    assert shout(one) == shout(one) == "EXAMPLE"
    assert shout(one, 2) == "EXAMPLE" * 2
    assert shout(other) == "INDONESIA-2024"
    assert asked == [("example", 1), ("example", 2), ("indonesia-2024", 1)]
    assert shout(one.model_copy()) == "EXAMPLE"  # another object
    assert len(asked) == 4
    assert shout.__doc__ == "Say the name of a form."


def test_forgotten_with_the_form():
    made = []

    class Made:
        def __del__(self):
            made.append("gone")

    make = kept(lambda form: Made())
    form = load_form("example").model_copy()
    make(form)
    assert not made
    del form
    gc.collect()
    assert made == ["gone"]


def test_answers_that_hang_on_pages_do_not_pile_up():
    class Made:
        pass

    @kept
    def make(form, size):
        made = Made()
        alive.add(made)
        return made

    alive = weakref.WeakSet()
    form = load_form("example")
    for size in range(1000):
        assert make(form, size) is make(form, size)
    assert len(alive) < 100
