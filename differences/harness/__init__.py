"""What the experiments share: findings, the small network, the catalogue, its pages."""
