"""What is learned, and what is decided? One subpackage a question; they hand each other tables, never objects."""
