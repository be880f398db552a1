"""The review: a page on which a person looks at instances, marks them and retrains.

A small server on this machine, for one run at a time; needs the extra `review`.
"""
