"""What planted mistakes look like."""
