"""Advice from evidence: for each place that broke the latency target, what to change, and what that is expected to give."""

from __future__ import annotations

import dataclasses
import fnmatch
import glob
import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from asyncio_pulse.metrics.code_places import first_own, is_standard
from asyncio_pulse.metrics.model import Report
from asyncio_pulse.runtime.vetted import VETTED_LIBRARIES

from . import wording
from .breaches import Breach, breaches, worst_loop
from .counterparts import counterpart, in_c, made_once, module_of, option_of, package_of, starts_process, starts_thread
from .imports import import_line
from .program_calls import called_in, innermost_coroutine, moved_call

__all__ = ["KEPT_GIL_NS", "Remedy", "remedies", "remedy_of", "toml_of"]

MOST_REMEDIES = 5

KEPT_GIL_NS = 50_000_000
"""Ten switch intervals. Python code never keeps the GIL this long; only a C call does."""

SERVES_OTHERS = "the loop serves others while it waits"


@dataclasses.dataclass(frozen=True, slots=True)
class Remedy:
    """One change, and the place that it is for."""

    breach: Breach
    action: str
    """What to do, in a few words."""
    code: str = ""
    """A line of Python to write instead; empty if the remedy is a setting, or something outside of the program."""
    group: str | None = None
    """The group whose code may be suspended anywhere: its name, or `*` for all tasks."""
    modules: tuple[str, ...] = ()
    """Packages that opt in."""
    expected: str = ""
    """What this is expected to give."""
    everywhere: bool = False
    """Whether it is one change for all places."""

    @property
    def toml(self) -> str:
        """The remedy as lines of a configuration; empty if it is none."""
        return toml_of([self])


def toml_of(chosen: Iterable[Remedy]) -> str:
    """Return the settings of several remedies as one configuration."""
    modules = sorted({name for remedy in chosen for name in remedy.modules})
    groups = dict.fromkeys(remedy.group for remedy in chosen if remedy.group is not None)
    lines = [f"preemptible_modules = {json.dumps(modules)}"] if modules else []
    if "*" in groups:
        lines.append('preempt = "anywhere"')
    for name in groups:
        if name != "*":
            lines += [f"[groups.{_pattern(name)}]", 'preempt = "anywhere"']
    return "\n".join(lines)


def _pattern(name: str) -> str:
    """Return the pattern that matches only this name, as a string of TOML."""
    # TOML has no lone surrogates, which undecodable names have.
    characters = ("?" if "\ud800" <= each <= "\udfff" else glob.escape(each) for each in name)
    return f'"{"".join(map(_escaped, "".join(characters)))}"'


def _escaped(character: str) -> str:
    if character.isprintable() and character not in '"\\':
        return character
    return f"\\U{ord(character):08x}"


def remedies(report: Report) -> list[Remedy]:
    """Return at most five remedies, for the places that took most time first, each of them once."""
    chosen: dict[object, Remedy] = {}
    for breach in breaches(report):
        remedy = remedy_of(report, breach)
        key = remedy.toml or (remedy.action, remedy.code, None if remedy.everywhere else breach.where)
        chosen.setdefault(key, remedy)
    return list(chosen.values())[:MOST_REMEDIES]


def remedy_of(report: Report, breach: Breach) -> Remedy:
    """Return what helps against one breach."""
    always = _ALWAYS.get(breach.stall_class)
    if always is not None:
        return always(breach)
    # Reading and computing alternate while it is made.
    made = made_once(breach.record.stack) if breach.stall_class in ("on-cpu", "blocked", "off-cpu") else ""
    return _made_once(breach, made) if made else _RULES.get(breach.stall_class, _unknown)(report, breach)


def _callee(breach: Breach) -> str:
    """Return the function to call elsewhere: what the program called there, or this code if it is no coroutine."""
    stack = breach.record.stack
    own = first_own(stack)
    if not stack:
        return "function"
    package = package_of(stack[0].filename)
    if own is None or (package and in_c(stack)):
        frame = list(itertools.takewhile(lambda each: package_of(each.filename) == package, stack))[-1]
    elif own != stack[0]:
        frame = stack[stack.index(own) - 1]
    elif len(stack) > 1:
        frame = own
    else:
        # The outermost frame is the coroutine's.
        return "function"
    return wording.plain(frame.function.rpartition(".")[2])


def _target(report: Report) -> str:
    loop = worst_loop(report)
    return wording.duration(loop.target_ns) if loop is not None else "the target"


def _computing(report: Report, breach: Breach) -> Remedy:
    if breach.record.stack:
        return (
            _impossible(report, breach)
            or _only_observed(report, breach)
            or _suspended_already(report, breach)
            or _suspending(report, breach)
        )
    if _is_c_call(report, breach):
        return _elsewhere(report, breach, "C code in it keeps the GIL, which nothing can suspend")
    return Remedy(
        breach,
        "find what computes in it: with a smaller target, more is seen",
        code=_SMALLER_TARGET,
        expected="the line that computes",
    )


def _made_once(breach: Breach, made: str) -> Remedy:
    return Remedy(
        breach,
        f"it makes {made}: make it once, when the program starts, and share it",
        expected="only the start of the program waits for it",
        everywhere=True,
    )


def _impossible(report: Report, breach: Breach) -> Remedy | None:
    """Return what to do where nothing can be suspended; None if that is not known."""
    refused = _refused(report, breach)
    if refused == "greenlet" or _is_in_greenlet(breach):
        return Remedy(
            breach,
            "it runs in a greenlet of its library, which cannot be suspended: let it compute less at a time",
            code=_LESS_IN_GREENLETS.get(package_of(breach.where.filename), ""),
            expected="the loop serves others after each part",
            everywhere=True,
        )
    if refused == "instruction" or _is_c_call(report, breach):
        return _in_c(report, breach)
    if refused in ("c_code", "critical"):
        why, advice = wording.REFUSALS[refused]
        return Remedy(breach, advice, expected=f"it can then be suspended; now it cannot: {why}")
    return None


def _is_in_greenlet(breach: Breach) -> bool:
    """Whether a library computes in a greenlet: the program's line awaits the library, but no coroutine of it is seen."""
    stack = breach.record.stack
    own = first_own(stack)
    index = stack.index(own) if own is not None else 0
    if index == 0 or package_of(stack[index - 1].filename) not in _LESS_IN_GREENLETS:
        return False
    coroutine = innermost_coroutine(stack)
    name = stack[index - 1].function.rpartition(".")[2]
    return (
        coroutine == index and not name.startswith("__") and all(call.name != name for call in called_in(stack[index]))
    )


def _suspended_already(report: Report, breach: Breach) -> Remedy | None:
    """Return what is left to do for code that is suspended by default, in steps little longer than the target."""
    loop = worst_loop(report)
    is_acted_on = report.metrics.preemptions > 0 and _is_vetted(breach)
    if loop is None or not is_acted_on or breach.cost_ns > 3 * breach.count * loop.target_ns:
        return None
    return Remedy(
        breach,
        "asyncio-pulse suspends this already, but not in the middle of a call of C code or of a garbage collection: "
        "do less at a time",
        expected="shorter steps; no setting suspends it more often",
    )


def _only_observed(report: Report, breach: Breach) -> Remedy | None:
    if {loop.mode for loop in report.loop_tiers} != {"observe"} or not _is_vetted(breach):
        return None
    return Remedy(
        breach,
        "let asyncio-pulse act: it suspends this by default, unless its data is shared; now it only observes",
        code="ASYNCIO_PULSE_MODE=act asyncio-pulse run ...",
        expected=_less_waiting(report, breach),
        everywhere=True,
    )


def _suspending(report: Report, breach: Breach) -> Remedy:
    """Return how to let it be suspended in its middle, the nearest way that is not taken yet."""
    name = breach.record.group
    is_explicit = any(group.name == name and group.explicit for group in report.groups)
    expected = f"{_less_waiting(report, breach)}; only if nothing relies on its running in one piece"
    is_allowed = _is_allowed_already(report, name, is_explicit=is_explicit)
    if not is_explicit and (is_allowed or _lives_shortly(report, name)):
        # The configuration's level waits for offences.
        when = "from its first step on, not only after offences" if is_allowed else "in its middle"
        action = f"let it be suspended {when}: mark the coroutine function {wording.plain(name)}"
        return Remedy(breach, action, code="@pulse.governed(preemptible=True)", expected=expected)
    if is_allowed:
        return _elsewhere(report, breach, "it may be suspended anywhere already, and was not")
    return Remedy(
        breach,
        "let it be suspended in its middle",
        group=name if is_explicit else "*",
        modules=_modules(breach),
        expected=expected if is_explicit else f"after its first offences, {expected}",
    )


def _less_waiting(report: Report, breach: Breach) -> str:
    return f"others wait at best about {_target(report)} for it, not {wording.duration(breach.longest_ns)}"


def _elsewhere(report: Report, breach: Breach, why: str) -> Remedy:
    call = moved_call(breach.record.stack)
    return Remedy(
        breach,
        f"{why}: call it in a process, or for less at a time",
        code=call.in_process() if call else f"await loop.run_in_executor(process_pool, {_callee(breach)}, ...)",
        expected=f"the loop is back within {_target(report)}; the result comes as late as before",
    )


def _in_thread(breach: Breach) -> str:
    call = moved_call(breach.record.stack)
    return call.in_thread() if call else f"await asyncio.to_thread({_callee(breach)}, ...)"


def _library_that_calls(breach: Breach) -> str:
    """Return the package whose coroutine makes the call; empty if a coroutine of the program does, or none is known."""
    index = innermost_coroutine(breach.record.stack)
    return package_of(breach.record.stack[index].filename) if index is not None else ""


def _lives_shortly(report: Report, name: str) -> bool:
    """Whether each task of a group has too few steps to become an offender, which the configuration's level waits for."""
    few = 5
    return any(group.name == name and group.polls < few * group.tasks for group in report.groups)


def _is_allowed_already(report: Report, group: str, *, is_explicit: bool) -> bool:
    patterns = {pattern for loop in report.loop_tiers for pattern in loop.anywhere}
    return "*" in patterns or (is_explicit and any(fnmatch.fnmatchcase(group, pattern) for pattern in patterns))


def _modules(breach: Breach) -> tuple[str, ...]:
    """Return the installed packages between the program's code and the place, which must opt in, too."""
    own = first_own(breach.record.stack)
    between = breach.record.stack[: breach.record.stack.index(own)] if own is not None else (breach.where,)
    names = [package_of(frame.filename) for frame in between if not is_standard(frame.filename)]
    return tuple(dict.fromkeys(filter(None, names)))


def _is_vetted(breach: Breach) -> bool:
    """Whether a frame is an entry of a library that may be suspended without consent."""
    entries = {
        (module, name) for library in VETTED_LIBRARIES for module, names in library.entries.items() for name in names
    }
    return any((module_of(frame.filename), frame.function) in entries for frame in breach.record.stack)


def _refused(report: Report, breach: Breach) -> str:
    """Return why the place could not be left most often; empty if it was not tried."""
    functions = {(frame.function, frame.filename) for frame in (breach.where, *breach.record.stack)}
    for place in report.preemption.places:
        if (place.function, place.filename) in functions:
            return place.rule
    return ""


def _is_c_call(report: Report, breach: Breach) -> bool:
    # A garbage collection keeps the GIL as well.
    here = (each for each in report.stalls if each.group == breach.record.group and each.stall_class != "collecting")
    kept_gil = any(stall.gil_held_ns > KEPT_GIL_NS and wording.headline(stall) == breach.where for stall in here)
    return kept_gil or in_c(breach.record.stack) != ""


def _in_c(report: Report, breach: Breach) -> Remedy:
    library = _library_that_calls(breach)
    if library:
        option = option_of(breach.record.stack)
        what = "let it use a thread" if option else "give it less at a time"
        return Remedy(
            breach,
            f"C code computes, which nothing can suspend, and a coroutine of {library} calls it: {what}",
            code=option,
            expected=f"the loop is back within {_target(report)}"
            if option
            else "each call keeps the loop for less time",
        )
    if in_c(breach.record.stack) == "thread":
        return Remedy(
            breach,
            "C code computes, which lets other threads run: call it in a thread",
            code=_in_thread(breach),
            expected=f"the loop is back within {_target(report)}",
        )
    return _elsewhere(report, breach, "C code computes, which nothing can suspend")


def _blocking(report: Report, breach: Breach) -> Remedy:
    stack = breach.record.stack
    if starts_process(stack):
        return Remedy(
            breach,
            "asyncio forks, and waits until the new program has begun: start it in a thread, without preexec_fn",
            code="await asyncio.to_thread(subprocess.run, [program, argument])",
            expected=SERVES_OTHERS,
        )
    library = _library_that_calls(breach)
    if library:
        return Remedy(
            breach,
            f"a coroutine of {library} blocks: look for an option or a version that does not, or do without it",
            expected=SERVES_OTHERS,
        )
    return _not_blocking(breach)


def _not_blocking(breach: Breach) -> Remedy:
    """Return what asyncio has instead of a call; where a function of the program makes the call, a thread for that one."""
    stack = breach.record.stack
    instead, call = counterpart(stack), moved_call(stack)
    own = first_own(stack)
    has_helper = call is not None and own is not None and stack.index(own) != innermost_coroutine(stack)
    if instead and not has_helper:
        return Remedy(breach, "use a call that does not block the loop", code=instead, expected=SERVES_OTHERS)
    action = f"move the call to a thread, or use in it: {instead}" if instead else "move the call to a thread"
    return Remedy(breach, action, code=_in_thread(breach), expected=SERVES_OTHERS)


def _without_gil(report: Report, breach: Breach) -> Remedy:
    stalls = [stall for stall in report.stalls if stall.stall_class == "gil" and stall.culprit]
    here = [stall for stall in stalls if stall.group == breach.record.group]
    culprit = next((stall.culprit for stall in here or stalls), "")
    if not stalls and starts_thread(breach.record.stack):
        return Remedy(
            breach,
            "threads compute, and each keeps the GIL for 5 ms: compute in processes, or let threads give it back sooner",
            code="sys.setswitchinterval(0.0005)",
            expected="the loop waits a tenth as long for the GIL; threads need a little more CPU time",
            everywhere=True,
        )
    thread = f" ({wording.plain(culprit)})" if culprit else ""
    return Remedy(
        breach,
        f"compute in a process instead of that thread{thread}",
        code=_PROCESS,
        expected="the loop's thread gets the GIL at once",
        everywhere=True,
    )


def _importing(report: Report, breach: Breach) -> Remedy:
    return Remedy(
        breach,
        "import it when the program starts, at the top of a module",
        code=import_line(breach.record.stack),
        expected="no request waits for this import",
    )


def _unknown(report: Report, breach: Breach) -> Remedy:
    if not breach.record.stack:
        return Remedy(
            breach,
            "what it waited for was not seen, a call, the GIL or a processor: with a smaller target, more is seen",
            code=_SMALLER_TARGET,
            expected="the line that blocks",
        )
    return Remedy(
        breach,
        "a call in it blocks, or the machine was busy: find the call, and move it to a thread",
        code=_in_thread(breach),
        expected=SERVES_OTHERS,
    )


_SMALLER_TARGET = "asyncio-pulse run --target 5ms ..."

_PROCESS = "await loop.run_in_executor(process_pool, function)  # process_pool = ProcessPoolExecutor()"

_LESS_IN_GREENLETS = {
    "sqlalchemy": "rows = await session.stream_scalars(statement.execution_options(yield_per=500))",
}
"""Packages whose code runs in a greenlet while the program awaits it, and how it does less at a time."""

_RULES: Mapping[str, Callable[[Report, Breach], Remedy]] = {
    "on-cpu": _computing,
    "blocked": _blocking,
    "gil": _without_gil,
    "importing": _importing,
}

_ALWAYS: Mapping[str, Callable[[Breach], Remedy]] = {
    "processor": partial(
        Remedy,
        action="give the process more of a processor (a larger CPU limit), or run fewer processes beside it",
        expected="the loop runs when it is ready",
    ),
    "collecting": partial(
        Remedy,
        action="keep what lives for ever out of collections, once the program has started",
        code="gc.collect(); gc.freeze()",
        expected="full collections look only at what was made later",
        everywhere=True,
    ),
    "spinning": partial(
        Remedy,
        action="wait for something in that task or callback; it schedules itself again and again",
        code="await asyncio.sleep(0.01)",
        expected="the loop is idle when there is nothing to do",
    ),
}
"""Remedies that are the same whatever else is known."""
