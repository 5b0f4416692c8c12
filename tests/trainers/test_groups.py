"""What gm means on other numbers of devices."""

import pytest

from trainers.groups import real_groups
from trainers.recipe import RecipeError


@pytest.mark.parametrize(
    ("gm", "devices", "real_devices", "groups"),
    [(4, 1, 1, 4), (1, 8, 1, 8), (2, 8, 1, 16), (2, 8, 8, 2), (2, 8, 4, 4), (3, 8, 12, 2), (0, 8, 3, 0)],
)
def test_real_devices_share_the_groups_of_the_papers_devices(gm, devices, real_devices, groups):
    assert real_groups(gm, devices, real_devices) == groups


def test_groups_that_real_devices_cannot_share_evenly_are_refused():
    with pytest.raises(RecipeError) as caught:
        real_groups(2, 8, 3)
    assert str(caught.value) == (
        "gm × devices must divide evenly over the real devices: got 2 × 8 over 3. "
        "Use a number of devices that divides it."
    )
