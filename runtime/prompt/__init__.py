"""From a persona and a request to tokens: what of a history is shown, in which order, within which budget.

Text from people never becomes a control token. Does not run the tokens.
"""
