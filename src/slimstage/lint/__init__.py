"""What is wrong with a Dockerfile, and how to mend it: rules over instructions, findings with places and fixes."""
