"""Makes the files for users: dist/buntime.pyz and dist/buntime.

content.py       what both carry: the runtime, the packages it needs, the example apps
pyz.py           the archive; pyz_main.py is what Python runs in it
wheel.py         what pip installs, and the sdist
installed.py     installs the wheel, and does what its users do first
interpreter.py   a Python that runs from any folder
binary.py        the binary, which carries one; binary_main.py unpacks, binary_start.py runs in it
figures.py       measures both beside the checkout
unpack.py        how what is carried gets into a cache folder; part of both files
"""
