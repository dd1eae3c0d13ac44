"""Many elements that become one."""
