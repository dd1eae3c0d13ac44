"""Change the code of one room, one place at a time, and count the changes that its tests notice.

cosmic-ray makes the changes (``operators`` says which); a warm process forks once per change
and runs the test files that execute the changed lines, without tests marked slow or full.
"""
