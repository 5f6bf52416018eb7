"""A project's files → facts about it (`read_project`), from which a Dockerfile can be planned.

Pure: files are seen through lint's `ContextView`; nothing of the project is run, nothing is written.
"""
