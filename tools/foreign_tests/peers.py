"""The libraries whose tests are compared: requirements, how to run them, and kept differences with their reasons."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from comparing import Kept


@dataclass(frozen=True)
class Peer:
    """One library.

    Attributes:
        requirements: Packages that its tests import, besides the library.
        arguments: Arguments for pytest.
        tests: Directory of the tests.
        modules: Files and directories that are each run in a process of its own; each file of tests if there are none.
        package: Directory of the package in the source; the name of the library if this is empty. It is removed but for the
            tests, so that these find the package that is installed.
        preempt: Probability that chaos suspends a poll. It is high where a whole test is one poll.
        repository: Repository of the tests, with a tag for each version, if the source distribution has none.
        skipped: Modules that are not run, as shell patterns.
        without_tasks: Modules that run no task.
        kept: Differences that are inherent in governing.
        kept_under_chaos: Differences that are inherent in chaos: a test counts turns of the loop, but no result is wrong
            and no wake-up is lost.
    """

    requirements: list[str]
    arguments: list[str] = field(default_factory=list)
    tests: str = "tests"
    modules: list[str] = field(default_factory=list)
    package: str = ""
    preempt: float = 0.5
    repository: str = ""
    skipped: list[str] = field(default_factory=list)
    without_tasks: list[str] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    kept_under_chaos: list[Kept] = field(default_factory=list)


ANYIO = Peer(
    requirements=[
        "blockbuster",
        "coverage",
        "hypothesis",
        "psutil",
        "pytest-mock",
        "pytest-timeout",
        "trustme",
        "truststore",
    ],
    # Excludes tests that need the Internet, and tests on the loop of another library.
    arguments=["-m", "not network", "-k", "not trio"],
    without_tasks=["*/test_all_attributes.py", "*/test_lazyimport.py", "*/test_typedattr.py"],
    kept_under_chaos=[
        *(
            Kept(tests, ends, "goes on when all tasks are blocked, and takes one that is parked for one that is")
            for tests, ends in {
                "test_cancel_wait_on_thread": "^E +TimeoutError$",
                "test_concurrent_receive": "BusyResourceError: Another task is already reading from this resource$",
                "test_concurrent_send": "Failed: DID NOT RAISE BusyResourceError$",
                "test_contextmanager": "AssertionError: assert False$",
                "test_increase_tokens*": "AssertionError: assert (False|1 == 2)$",
                "test_interrupted_by_close": "(KeyError: |ValueError: Invalid file descriptor: -1|Bad file descriptor)",
                "test_manual_acquire": "AssertionError: assert False$",
                "test_reset_during_send": r"AssertionError: send\(\) returned normally after reset$",
                "test_start_not_cancelled_before_started_by_tg": "RuntimeError: This task group is not active; no new",
                "test_statistics": "AssertionError: assert [0-9] == [0-9]$",
                "test_thread_cancelled": "^E +assert False$",
                "test_thread_cancelled_and_abandoned": "^E +TimeoutError$",
            }.items()
        ),
        Kept(
            "test_cancel_during_acquire_on_behalf_of",
            "^E +Failed: DID NOT RAISE CancelledError$",
            "cancels a task one turn after it was made; chaos held the test until that was done",
        ),
        Kept(
            "test_cancel_shielded_checkpoint",
            "AssertionError: assert not True$",
            "asserts that a task that gives way once is overtaken by the next; chaos held the other one for longer",
        ),
        Kept(
            "test_cancelscope_propagation_when_abandoned",
            "TimeoutError$",
            "asserts that who is cancelled has left the scope when others in it would be, one turn later",
        ),
        Kept(
            "test_checkpoint*",
            "AssertionError: assert not True$",
            "asserts that a task that gives way once is overtaken by the next; chaos held the other one for longer",
        ),
        Kept(
            "test_multi_listener",
            "asyncio.exceptions.InvalidStateError: invalid state$",
            "is told that a reader was called again, which anyio has its task remove one turn after it was woken",
        ),
        Kept(
            "test_nested_task_group_filtering",
            r"^E +AssertionError: assert 'unhandled er...ub-exception\)' == 'parent task failed'$",
            "asserts that of two tasks that wake at the same time the first ends first",
        ),
        Kept(
            "test_ordered_queue",
            r"^E +assert \[[0-2], [0-2], [0-2]\] == \[0, 1, 2\]$",
            "asserts that tasks keep the order in which they were started",
        ),
        Kept(
            "test_start_crash_after_started_call",
            "^E +UnboundLocalError: cannot access local variable 'value'",
            "asserts that who started a task is told so before the task's error cancels it",
        ),
    ],
)

AIOHTTP = Peer(
    requirements=[
        "blockbuster",
        "brotli",
        "coverage",
        "freezegun",
        "gunicorn",
        "isal",
        "proxy.py",
        "pytest-mock",
        "pytest-timeout",
        "trustme",
        "zlib_ng",
    ],
    # Overrides the suite's own options, which are for several processes and for coverage.
    arguments=["-o", "addopts=", "-p", "pytest_mock", "-p", "pytest_timeout", "-m", "not dev_mode and not internal"],
    skipped=["*/test_benchmarks_*", "*/autobahn/*"],
    without_tasks=[
        "*/test_circular_imports.py",
        "*/test_client_connection.py",
        "*/test_client_exceptions.py",
        "*/test_client_fingerprint.py",
        "*/test_cookie_helpers.py",
        "*/test_http_exceptions.py",
        "*/test_imports.py",
        "*/test_leaks.py",
        "*/test_multipart_helpers.py",
        "*/test_route_def.py",
        "*/test_tcp_helpers.py",
        "*/test_web_cli.py",
        "*/test_web_protocol.py",
    ],
    kept_under_chaos=[
        *(
            Kept(
                tests,
                "^E +(Failed: Timeout|TimeoutError|.*exceptions.TimeoutError)",
                "waits for the end of a handler; its server cancels handlers whose client is gone, and chaos let the "
                "client go first. With handler_cancellation off, as in production, it passes",
            )
            for tests in (
                "test_change_status",
                "test_handle_protocol",
                "test_server_close_handshake",
                "test_close_releases_parser",
            )
        ),
        Kept(
            "test_normal_closure_while_client_sends_msg",
            "^E +assert None == <WSCloseCode.OK: 1000>$",
            "wants what its handler learns at the end; cancelled with the client gone, like those above",
        ),
        *(
            Kept(
                tests,
                "^E +AssertionError$",
                "its handler drops the connection behind the handshake, and the client, which has not run since, asserts "
                "that the connection is there",
            )
            for tests in (
                "test_receive_bytes_nonbytes",
                "test_abnormal_closure_when_server_does_not_receive",
                "test_stalled_parser_outlives_connection_lost",
            )
        ),
        Kept(
            "test_concurrent_close_multiple_tasks",
            "^E +AssertionError: assert <WSMsgType.CLOSING: 256> is <WSMsgType.CLOSED: 257>$",
            "asserts that two tasks just created run before their creator, which waits for the network, goes on",
        ),
        Kept(
            "test_concurrent_close",
            "^E +AssertionError: assert <WSMsgType.TEXT: 1> is <WSMsgType.CLOSING: 256>$",
            "asserts that its handler closes the client's side before the client reads what it has just sent",
        ),
        Kept(
            "test_tcp_connector_dns_throttle_requests_exception_spread",
            "^E +asyncio.exceptions.InvalidStateError: Exception is not set.$",
            "gives two tasks four turns of the loop to be done",
        ),
        Kept(
            "test_tcp_connector_dns_tracing_throttle_requests",
            "^E +(AssertionError: Expected 'mock' to be called once. Called 0 times."
            "|RuntimeWarning: coroutine 'TCPConnector._resolve_host' was never awaited)$",
            "gives two tasks two turns of the loop to start; asyncio itself warns of those that a loop ends before",
        ),
        Kept(
            "test_multiple_dns_resolution_requests_*",
            "^E +(AssertionError: )?assert (1 == 0|0 == 1)$",
            "gives tasks one or two turns of the loop to start or to be done with",
        ),
        Kept(
            "test_send_compress_multiple_cancelled",
            r"^E +assert b'([A-E])\1+\.\.\.\1+' == b'",
            "asserts that tasks start in the order in which they were created; each message was sent, and is whole",
        ),
        Kept(
            "test_ssl_client_shutdown_timeout",
            "^E +RuntimeError: Connection closed.$",
            "gives a task one turn of the loop to start; chaos had it start when the connection was closed",
        ),
        Kept(
            "test_keepalive_expires_on_time",
            "^E +assert <TimerHandle when=.* RequestHandler._process_keepalive.*> is None$",
            "gives a connection's task two turns of a loop whose clock it has stopped; chaos held it for longer",
        ),
        Kept(
            "test_handle_keepalive_on_closed_connection",
            "^E +AssertionError: assert 1 == 0$",
            "asserts that a connection closed by its server is kept; its reader was resumed when the end was known",
        ),
        Kept(
            "test_error_in_performing_request",
            r"^E +ResourceWarning: unclosed <socket.socket fd=\d+, family=2, type=1, proto=6, laddr=[^=]*>$",
            "is told of the listening socket that the test before, the one above, could not close when it failed",
        ),
    ],
)

STARLETTE = Peer(
    requirements=["starlette[full]", "blockbuster", "httpx2[zstd]", "opentelemetry-sdk", "trio"],
    arguments=["-p", "anyio.pytest_plugin", "-k", "not trio"],
    without_tasks=["tests/test_config.py", "tests/test_status.py"],
    kept_under_chaos=[
        Kept(
            "test_do_not_block_on_background_tasks",
            "At index [2-4] diff: 'Background task started' != {'body'",
            "asserts that two concurrent requests keep in step; chaos held one of them back",
        ),
        Kept(
            "test_websocket_endpoint_on_receive_*",
            "^E +Failed: DID NOT RAISE RuntimeError$",
            "sends a wrong message and cancels the endpoint at once; parked with it, it ends before it reads it",
        ),
    ],
)

FASTAPI = Peer(
    requirements=[
        "a2wsgi",
        "anyio[trio]",
        "dirty-equals",
        "fastapi[standard]",
        "flask",
        "httpx",
        "httpx2[zstd]",
        "inline-snapshot",
        "orjson",
        "pwdlib[argon2]",
        "pyjwt",
        "pyyaml",
        "sqlmodel",
        "strawberry-graphql",
        "ujson",
    ],
    # Only in the main thread are its functions suspended in their middle.
    arguments=[
        "-o",
        "addopts=",
        "-o",
        "filterwarnings=",
        "-p",
        "anyio.pytest_plugin",
        "-p",
        "main_thread_portal",
        "-k",
        "not trio",
        "--ignore=tests/benchmarks",
        "--ignore=tests/memory_benchmarks",
        "--ignore=tests/test_telemetry",
        "--ignore=tests/test_fastapi_cli.py",
    ],
    # There are seven hundred files.
    modules=["tests"],
    kept_under_chaos=[
        Kept(
            tests,
            "AssertionError: assert 0 == 1$",
            "goes on when all tasks are blocked, and takes one that is parked for one that is",
        )
        for tests in (
            "test_declaration_survives_parameterless_and_inferred_dependencies",
            "test_shared_declaration_limits_across_apps",
        )
    ],
)

WEBSOCKETS = Peer(
    requirements=["werkzeug"],
    # The suite is made for unittest. Without these arguments pytest would find our own settings above it.
    arguments=["-c", os.devnull, "--rootdir", "."],
    # Half of the other tests have no tasks, and the other half is for threads and trio.
    tests="tests/asyncio",
    repository="https://github.com/python-websockets/websockets",
    kept_under_chaos=[
        Kept(
            "test_wait_closed",
            "^E +AssertionError: False is not true$",
            "asserts that a task that waits for the end goes on before the one that ended it",
        ),
        Kept(
            "test_keepalive_terminates_while_sleeping",
            "^E +AssertionError: False is not true$",
            "asserts that a task that was cancelled has ended within the turn; chaos held it for longer",
        ),
        Kept(
            "test_recv_cancellation_before_receiving",
            "^E +websockets.exceptions.ConcurrencyError: cannot call recv while another coroutine",
            "gives a task two turns of the loop to start and to be cancelled",
        ),
        Kept(
            "test_writing_in_data_received_fails",
            "^E +websockets.exceptions.ConnectionClosedError: no close frame received or sent$",
            "shuts the connection for writing, and expects to ping from the other side before that hears of it",
        ),
        Kept(
            "test_writing_in_send_context_fails",
            "^E +AssertionError: None is not an instance of <class 'RuntimeError'>$",
            "shuts the connection for writing, and expects to write to it before the other side closes it",
        ),
    ],
)

GRAPHQL_CORE = Peer(
    requirements=["anyio", "pytest-asyncio", "pytest-describe"],
    # The plugin of version 3.3's asynchronous tests is anyio's, that of version 3.2's is pytest-asyncio.
    arguments=[
        "-o",
        "addopts=",
        "-o",
        "minversion=",
        "-p",
        "anyio.pytest_plugin",
        "-p",
        "pytest_asyncio",
        "-p",
        "pytest_describe.plugin",
        "-p",
        "tests_as_tasks",
        # No function for incremental delivery is in the table of vetted functions, and its tests count turns of the loop.
        "--ignore=tests/execution/incremental",
        # These wait for ever unless each task starts before another one ends.
        "-k",
        "not describe_cancel_on_exception",
    ],
    modules=["tests/execution", "tests/test_star_wars_query.py"],
    package="src",
    preempt=0.9,
    kept_under_chaos=[
        *(
            Kept(
                tests,
                "^E +AssertionError: assert (ExecutionResu|.*errors)",
                "asserts the order of errors of fields that are executed at the same time",
            )
            for tests in (
                "correctly_reports_error_on_accessing_backstory_in_a_list",
                "is_type_of_can_throw*",
                "nulls_out_error_subtrees",
                "resolve_type_can_throw*",
                "returns_null",
                "throws",
            )
        ),
        *(
            Kept(
                tests,
                "^E +(AssertionError: )?assert ",
                "gives tasks in the background some turns of the loop; chaos held them for longer",
            )
            for tests in (
                "handles_mixture_of_sync_and_async_errors_in_async_iterables",
                "handles_sync_errors_combined_with_async_ones_in_async_context",
                "handles_sync_errors_with_later_pending_awaitables",
                "stops_the_execution_when_aborted_mid_mutation",
                "suppresses_sibling_errors_after_a_non_null_error_bubbles",
            )
        ),
        Kept(
            "event_order_is_correct_for_multiple_publishes",
            "^E +AssertionError: assert ExecutionResu",
            "asserts that of two tasks the first one gives its value first; chaos held it back",
        ),
    ],
)

BEAUTIFUL_SOUP = Peer(
    requirements=["html5lib", "lxml"],
    # Without these arguments pytest would find our own settings above it.
    arguments=["-c", os.devnull, "--rootdir", ".", "-p", "tests_as_tasks"],
    tests="bs4/tests",
    package="bs4",
    preempt=0.999,
)

MARKDOWN = Peer(
    requirements=["pygments", "pyyaml"],
    # Without these arguments pytest would find our own settings above it.
    arguments=["-c", os.devnull, "--rootdir", ".", "-p", "tests_as_tasks", "-p", "markdown_as_tests"],
    preempt=0.999,
)

PEERS = {
    "aiohttp": AIOHTTP,
    "anyio": ANYIO,
    "beautifulsoup4": BEAUTIFUL_SOUP,
    "fastapi": FASTAPI,
    "graphql-core": GRAPHQL_CORE,
    "markdown": MARKDOWN,
    "starlette": STARLETTE,
    "websockets": WEBSOCKETS,
}
