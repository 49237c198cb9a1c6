"""Commands for operators: setup, doctor, simulate, dev. Nothing else imports them."""
