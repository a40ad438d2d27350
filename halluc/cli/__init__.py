"""The `halluc` command: one file a group of subcommands, put together in main.py."""
