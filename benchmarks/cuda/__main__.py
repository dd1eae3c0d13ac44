"""``python -m benchmarks.cuda``."""

from benchmarks.cuda.bench import main

raise SystemExit(main())
