"""Never touches asyncio, and says whether something else did."""

import sys

print("asyncio" in sys.modules, "typing" in sys.modules, "json" in sys.modules, len(sys.argv))
