"""Deploys: archives are unpacked, releases stored and linked, versions made active."""
