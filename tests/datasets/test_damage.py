import numpy as np
import pytest

from sktally.datasets._damage import DEGRADE, draw_damage, expose


def spot():
    coverage = np.zeros((60, 60), np.float32)
    coverage[20:40, 20:40] = 1
    return coverage


def test_none_is_exact():
    rng = np.random.default_rng(0)
    pixels = expose(spot(), draw_damage(rng, "none"), rng, near=False)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, np.where(spot() > 0, 1, 255))


@pytest.mark.parametrize("near", [True, False])
@pytest.mark.parametrize("degrade", [*DEGRADE[1:], 0.3, 1.0])
def test_ink_stays_darker_than_paper(degrade, near):
    rng = np.random.default_rng(0)
    for _ in range(40):
        damage = draw_damage(rng, degrade)
        pixels = expose(spot(), damage, rng, near=near)
        assert pixels.shape == (60, 60) and pixels.dtype == np.uint8
        paper = np.median(np.r_[pixels[15, 20:40], pixels[44, 20:40]])
        assert paper - np.median(pixels[25:35, 25:35]) > 10


def test_fax_is_one_bit_before_compression():
    rng = np.random.default_rng(1)
    for _ in range(20):
        damage = draw_damage(rng, "fax")
        if not damage.quality:
            assert set(np.unique(expose(spot(), damage, rng, near=True))) <= {1, 255}


def test_severity_grows():
    def harm(severity):
        rng = np.random.default_rng(3)
        drawn = [draw_damage(rng, severity) for _ in range(200)]
        return np.mean([d.noise + d.blur for d in drawn])

    assert harm(0.1) < harm(0.5) < harm(1.0)
