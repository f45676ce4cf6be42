"""The command line: each command parses, builds an options dataclass, calls the library and prints."""
