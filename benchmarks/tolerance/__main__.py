"""``python -m benchmarks.tolerance``."""

from benchmarks.tolerance.bench import main

raise SystemExit(main())
