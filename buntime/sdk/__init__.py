"""What apps import: requests, responses, sockets, forms. Python 3.9, standard library."""
