"""``python -m benchmarks.recipes``."""

from benchmarks.recipes.bench import main

raise SystemExit(main())
