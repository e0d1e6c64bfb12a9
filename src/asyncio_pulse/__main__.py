"""`python -m asyncio_pulse` is the `asyncio-pulse` command."""

import sys

from .cli import main

sys.exit(main())
