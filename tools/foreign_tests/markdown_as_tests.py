"""A pytest plugin: Markdown's tools for tests belong to the tests, and test the function `markdown`.

They are part of the package, and most of them use a converter, of which nothing is suspended.
"""

from __future__ import annotations

from typing import Any

import markdown  # type: ignore[import-untyped]
import markdown.test_tools  # type: ignore[import-untyped]

__name__ = markdown.test_tools.__name__ = "tests.test_tools"


class _Converter(markdown.Markdown):  # type: ignore[misc]
    def __init__(self, **kwargs: Any) -> None:
        self._kwargs = kwargs
        super().__init__(**kwargs)

    def convert(self, source: str) -> str:
        # Tests also look at the converter.
        super().convert(source)
        return str(markdown.markdown(source, **self._kwargs))


markdown.test_tools.Markdown = _Converter
