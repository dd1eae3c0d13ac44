"""``python -m benchmarks.mistakes``."""

from benchmarks.mistakes.bench import main

raise SystemExit(main())
