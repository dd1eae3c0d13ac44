"""What porting weights costs, format by format."""
