"""Who fits what, and how it is judged."""
