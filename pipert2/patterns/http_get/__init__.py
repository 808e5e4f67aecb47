"""HttpGet: a ready-made routine that fetches web pages for others."""
