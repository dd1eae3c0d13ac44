"""Files as people have them, by what wrote them, and what reading them must give."""
