"""`python -m clipcap_cli` is `clipcap`."""

import sys

from clipcap_cli.cli.main import main

sys.exit(main())
