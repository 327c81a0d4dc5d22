"""A persona behind the API that every tool speaks, on this machine alone. Needs the extra `serve`."""
