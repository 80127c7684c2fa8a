"""Pictures with captions, in versions that never change: how they come in, and how they are read again."""
