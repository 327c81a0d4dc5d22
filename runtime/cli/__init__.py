"""The commands. They parse what was typed, call the packages above and print; nothing else imports them."""
