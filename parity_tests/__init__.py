"""The project's tests: what each file is named after."""
