"""`python -m gateway setup`: LiveKit's SIP trunks and Jambonz's hooks in the desired state."""
