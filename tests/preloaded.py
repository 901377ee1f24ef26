"""What processes of `tests.warm` are forked with: imported once, in the process that is never more than that."""

import gc

import tests.warm

import lastgood.cli.job
import lastgood.cli.main
import lastgood.cli.restoring
import lastgood.cli.run

__all__ = ["lastgood", "tests"]

# No child's collector looks at what is there now, which would make all of its pages the child's own.
gc.collect()
gc.freeze()
