"""``python -m benchmarks.export``."""

from benchmarks.export.bench import main

raise SystemExit(main())
