"""Stands before Ray on the path of what tests start, so that the fast lane stays one."""

raise ImportError("a test that starts Ray says so: ask for the fixture shared_ray, or own_ray where Ray is the subject")
