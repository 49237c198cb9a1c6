"""`python -m gateway simulate`: calls against a running gateway, without Jambonz or a telephone."""
