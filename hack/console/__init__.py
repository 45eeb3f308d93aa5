"""How the programs in hack/ speak and run others, so that they look alike. Only the standard library.

Importing it refuses a Python that is too old, before anything else of hack/ is imported.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - it runs on whatever Python a machine has
    raise SystemExit("%s needs Python 3.11 or newer; this is %s." % (sys.argv[0], sys.version.split()[0]))  # noqa: UP031 - for the old one
