"""Labels that people give to stored transitions: store, queue, agreement, files."""
