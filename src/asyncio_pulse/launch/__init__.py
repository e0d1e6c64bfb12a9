"""`asyncio-pulse run`: starts a program, governs its loops, and reports at its end."""
