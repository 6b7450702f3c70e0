"""What an administrator sets, as traits, and how a job's description is made of it."""
