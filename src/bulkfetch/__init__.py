"""bulkfetch."""
