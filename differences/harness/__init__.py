"""What the experiments share: their records, the small network, the pages."""
