"""What `copersona demo` shows: invented people as data, and that data on a screen. Never opens the user's own store."""
