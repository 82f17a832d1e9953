"""`python -m innspect`: the command line."""

import sys

from innspect.cli import main

sys.exit(main())
