# SPDX-License-Identifier: MIT
import os
import sys

sys.dont_write_bytecode = True
sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from runner import cli  # noqa: E402

sys.exit(cli.main(sys.argv[1:]))
