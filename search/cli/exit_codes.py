"""Exit codes."""

EXIT_OK = 0  # done, or did what was requested
EXIT_FAILED = 1  # the search failed, or there was no room to write
EXIT_INPUT = 2  # bad input; nothing was stored
EXIT_STOPPED = 3  # the search was paused or cancelled by somebody else
EXIT_BUSY = 4  # the search is in a state that does not allow this, or another process runs it
EXIT_INTERRUPTED = 130  # Ctrl-C; the search is paused and can be resumed
