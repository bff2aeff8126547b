"""`python -m caffe` is the `caffe` command."""

import sys

from caffe.cli.main import main

sys.exit(main())
