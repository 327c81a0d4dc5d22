"""Where the parts meet: an opened bundle that knows people and answers as them, with a receipt for every answer."""
