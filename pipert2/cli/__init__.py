"""The command ``pipert2``: one file for each verb, and what they share."""
