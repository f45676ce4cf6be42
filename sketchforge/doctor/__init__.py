"""Is this installation in good health? What is there, what works, and what to do about what does not."""
