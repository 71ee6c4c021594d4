"""``python -m backtime``: the command line."""

import sys

from backtime.cli.main import main

sys.exit(main())
