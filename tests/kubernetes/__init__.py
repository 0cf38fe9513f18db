"""The chart in a real cluster: `KUBECONFIG=FILE python3 build.py test --kubernetes`."""
