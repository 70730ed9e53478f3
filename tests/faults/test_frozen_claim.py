"""A worker is frozen in the middle of its claim: the lock it holds on the post must not outlast a lease."""

from __future__ import annotations

import pytest
from faults.forge import Forge, Order
from faults.injection import Fault, Moment, Strike
from faults.world import World


@pytest.mark.long
def test_others_publish_what_a_frozen_worker_had_locked(world: World, forge: Forge) -> None:
    post = world.post(world.account("fake_findable"))
    strike = Strike(Fault.FREEZE, Moment.AFTER, 1, "lock_timeout = '5s'")
    ran = forge.run(Order("publish", post, strike))
    assert ran.ended is None

    world.recover(forge, 25)
    assert world.rows.row("post_instance", post)["status"] == "Posted"

    forge.thaw(ran)
    assert world.check().violations == []
