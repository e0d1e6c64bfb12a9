"""The marks of generated functions, against their syntax trees and against what happens when they run."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncio_pulse import _core
from tests.support.generated_code import code_objects, compiled, write
from tests.support.marked_code import HANDLES, WITH, faults_of_nesting, faults_of_runs

CORPUS = 200
RUNS = 8


def check(source: str, runs: range) -> int:
    """Compare all marks of a function. Returns how many instructions were compared with the syntax tree."""
    function = compiled(source)
    faults, compared = faults_of_nesting(source, function.__code__)
    faults += faults_of_runs(function, runs)
    for inner in list(code_objects(function.__code__))[1:]:
        if any(mark & (WITH | HANDLES) for mark in _core.code_marks(inner)):
            faults.append(f"{inner.co_name}: marked, and an expression contains no statement")
    assert not faults, source + "\n".join(faults)
    return compared


@pytest.mark.parametrize("part", range(4))
def test_marks_of_a_corpus_agree_with_the_syntax_and_with_runs(part: int) -> None:
    compared = sum(check(write(random.Random(seed)), range(RUNS)) for seed in range(part, CORPUS, 4))
    assert compared > 1_000


@given(st.randoms(use_true_random=False), st.integers(0, 1_000_000))
def test_marks_of_any_nesting_agree_with_the_syntax_and_with_runs(chance: random.Random, seed: int) -> None:
    check(write(chance), range(seed, seed + 3))
