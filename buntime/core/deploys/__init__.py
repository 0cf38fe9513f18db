"""Deploys: their steps, what an archive may contain, and how releases are named and kept."""
