"""The core's side of an account: a tier that is in force where it is made to stand."""

from __future__ import annotations

import pytest

from asyncio_pulse import _core as core
from tests.support.driving import Driven, configure, work


@pytest.fixture
def governor() -> core.Governor:
    governor = core.Governor(0)
    configure(governor)
    return governor


def account_at(tier: int) -> core.Account:
    account = core.Account()
    account.tier = tier
    return account


@pytest.mark.parametrize("own", range(4))
@pytest.mark.parametrize("of_group", range(4))
def test_the_higher_of_two_tiers_is_in_force_capped(governor: core.Governor, own: int, of_group: int) -> None:
    for options, cap in ((core.Options(), 3), (core.Options(max_tier=2), 2), (core.Options(priority=0), 1)):
        driven = Driven(governor, work(), options)
        driven.poll()
        assert driven.governed.tier == 0
        driven.governed.set_account(account_at(own))
        driven.governed.group.set_account(account_at(of_group))  # type: ignore[union-attr]
        assert driven.governed.tier == min(max(own, of_group), cap)
        driven.governed.set_account(None)
        driven.governed.group.set_account(None)  # type: ignore[union-attr]
        assert driven.governed.tier == 0
        driven.governed.close()


@pytest.mark.parametrize("cap", range(4))
def test_a_group_s_cap_holds_for_its_critical_tasks_unless_they_have_one(governor: core.Governor, cap: int) -> None:
    for options, expected in ((core.Options(priority=0), cap), (core.Options(priority=0, max_tier=1), 1)):
        driven = Driven(governor, work(), options)
        driven.poll()
        group = driven.governed.group
        assert group is not None
        group.set_account(account_at(3))
        group.set_max_tier(cap)
        assert driven.governed.tier == expected
        group.set_max_tier(None)
        assert driven.governed.tier == 1
        driven.governed.close()


def test_only_a_tier_or_none_can_be_a_group_s_cap(governor: core.Governor) -> None:
    driven = Driven(governor, work())
    driven.poll()
    group = driven.governed.group
    assert group is not None
    with pytest.raises(ValueError, match="a tier is 0 to 3, got 4"):
        group.set_max_tier(4)
    with pytest.raises(TypeError):
        group.set_max_tier("warn")  # type: ignore[arg-type]
    driven.governed.close()


def test_only_an_account_is_set(governor: core.Governor) -> None:
    driven = Driven(governor, work())
    driven.poll()
    for holder in (driven.governed, driven.governed.group):
        with pytest.raises(TypeError, match="an Account or None was expected"):
            holder.set_account(object())  # type: ignore[union-attr, arg-type]
    driven.governed.close()


@pytest.mark.parametrize("tier", [-1, 4, 2**40])
def test_there_are_four_tiers(tier: int) -> None:
    with pytest.raises(ValueError, match="a tier is 0 to 3"):
        account_at(tier)


def test_a_tier_is_a_number_and_stays() -> None:
    account = account_at(2)
    with pytest.raises(TypeError):
        account.tier = "high"  # type: ignore[assignment]
    with pytest.raises(ValueError, match="a tier is 0 to 3"):
        del account.tier
    assert account.tier == 2


def test_a_change_of_tier_is_no_poll() -> None:
    account = account_at(2)
    last = account.last_poll_ns
    assert last > 0
    account.tier = 1
    assert account.last_poll_ns == last
    account.tier = 0
    account.tier = 1
    assert account.last_poll_ns > last
