"""What the tables spoil is good before: each row is refused for what it spoils alone."""

import pytest

from tests.bad_inputs.world import World


@pytest.mark.parametrize("task", ["panoptic", "instance", "semantic"])
def test_the_good_world_trains(task: str, world: World) -> None:
    world.train(task=task)
    assert (world.output / "model_final.pth").is_file()
