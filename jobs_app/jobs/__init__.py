"""What people do to jobs, and what jobs-app answers about them."""
