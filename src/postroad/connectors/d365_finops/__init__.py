"""Dynamics 365 Finance & Operations: so far its simulator alone, so no project can name it as a connector.

Facts and their sources: the project's fact sheet on Finance & Operations.
"""
