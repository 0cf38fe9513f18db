"""Deploys: unpacks archives, stores and links releases, makes versions active."""
