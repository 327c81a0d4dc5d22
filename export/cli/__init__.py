"""The commands `copersona export ...`; nothing else imports them."""
