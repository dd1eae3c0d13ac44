"""Elements that are moved, and what is known without computing with them."""
