"""Worker processes: started, given requests, watched, ended."""
