"""The text of `asyncio-pulse doctor`."""

from __future__ import annotations

import itertools

from asyncio_pulse.doctor.facts import Facts

__all__ = ["format_facts"]


def format_facts(facts: Facts) -> str:
    """Format the facts by topic, then available features, unavailable features with reasons, and planned features."""
    lines: list[str] = []
    for topic, group in itertools.groupby(facts.facts, key=lambda fact: fact.topic):
        lines += [topic, *(f"  {fact.name:<16}{fact.value}" for fact in group), ""]
    for heading, wanted in (("available here", True), ("not available here", False)):
        abilities = [ability for ability in facts.abilities if ability.available is wanted]
        if abilities:
            lines += [heading, *(f"  {each.name}{f': {each.reason}' if each.reason else ''}" for each in abilities), ""]
    lines += ["not in this version", *(f"  {feature}" for feature in facts.later_features)]
    return "\n".join(lines)
