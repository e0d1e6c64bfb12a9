"""One suspension is tried before any is relied upon."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from asyncio_pulse import _core
from asyncio_pulse.runtime import preemption, trial

pytestmark = pytest.mark.skipif(_core.preemption_refusal() is not None, reason="no suspension on this machine")


@pytest.fixture(autouse=True)
def _each_test_tries_anew() -> Iterator[None]:
    trial.suspending_works.cache_clear()
    yield
    trial.suspending_works.cache_clear()


def test_the_sample_is_suspended_at_each_of_its_places() -> None:
    suspended = 0

    def between() -> None:
        nonlocal suspended
        suspended += 1
        trial._between()

    seen = _core.try_suspension(trial._sample(_core.suspend_trial), between)
    assert suspended == 9
    assert seen == _core.try_suspension(trial._sample(lambda: None), between)
    assert suspended == 9
    assert trial.suspending_works()


def test_a_suspension_that_changes_anything_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    results = iter([[1], [2]])

    def differs(coro: object, between: object) -> list[int]:
        coro.close()  # type: ignore[attr-defined]
        return next(results)

    monkeypatch.setattr(_core, "try_suspension", differs)
    assert preemption.refusals()[-1].endswith("a trial suspension failed")


def test_a_trial_that_fails_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(coro: object, between: object) -> None:
        coro.close()  # type: ignore[attr-defined]
        raise RuntimeError("the interpreter's state is not what it should be")

    monkeypatch.setattr(_core, "try_suspension", fails)
    assert preemption.refusals()[-1].endswith("a trial suspension failed")


def test_outside_of_a_trial_nothing_is_suspended() -> None:
    assert _core.suspend_trial() is None


def test_a_trial_cannot_contain_another() -> None:
    refused = []

    def between() -> None:
        coro = trial._sample(lambda: None)
        with pytest.raises(RuntimeError, match="not what it should be"):
            _core.try_suspension(coro, between)
        coro.close()
        refused.append(True)

    _core.try_suspension(trial._sample(_core.suspend_trial), between)
    assert len(refused) == 9


def test_a_coroutine_that_awaits_cannot_be_tried() -> None:
    coro = asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="awaits nothing"):
        _core.try_suspension(coro, lambda: None)
    coro.close()


def test_an_error_of_the_coroutine_and_of_what_runs_between_is_told() -> None:
    async def fails() -> None:
        _core.suspend_trial()
        raise ValueError("its own")

    with pytest.raises(ValueError, match="its own"):
        _core.try_suspension(fails(), lambda: None)
    with pytest.raises(TypeError):
        _core.try_suspension(None, lambda: None)  # type: ignore[arg-type]
