"""Sets of clips with truth to be measured on, published ones and one's own, all in the same form."""
