"""Deploys: their steps, what an archive may hold, and how releases are named and kept."""
