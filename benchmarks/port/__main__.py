"""``python -m benchmarks.port``."""

from benchmarks.port.bench import main

raise SystemExit(main())
