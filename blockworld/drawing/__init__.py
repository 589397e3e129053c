"""What BlockWorld looks like: rays through blocks, what lies about, and the screens in front of it."""
