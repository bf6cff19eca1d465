from dataclasses import replace

import numpy as np

from sktally.datasets._damage import draw_damage
from sktally.datasets._legible import _contrast, _needed, keep_legible
from sktally.datasets._strokes import draw_writer


def test_what_can_be_read_is_left_alone():
    rng = np.random.default_rng(0)
    writer, damage = draw_writer(rng), draw_damage(rng, "none")
    assert keep_legible(writer, damage, 30) == (writer, damage)


def test_faint_ink_under_heavy_blur_becomes_readable():
    rng = np.random.default_rng(0)
    for _ in range(300):
        writer, damage = draw_writer(rng), draw_damage(rng, "photo")
        writer = replace(writer, pen=0.03, ink=0.4)
        damage = replace(damage, blur=2.0, noise=8.0)
        firm, mild = keep_legible(writer, damage, 20)
        before = _contrast(writer, damage, 20) - _needed(damage)
        assert _contrast(firm, mild, 20) - _needed(mild) > before
        assert firm.pen <= 0.06 and firm.habits is writer.habits
        assert mild.paper == damage.paper


def test_fax_wants_firm_ink():
    rng = np.random.default_rng(1)
    for _ in range(50):
        writer, _ = keep_legible(draw_writer(rng), draw_damage(rng, "fax"), 31)
        assert writer.ink >= 0.8 and writer.pen >= 0.045
