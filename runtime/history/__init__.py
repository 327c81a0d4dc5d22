"""What people wrote: the types of a history, the checks of its fields, and the readers of files.

In: files of any format that is listed. Out: checked interactions, or one line that names file and line. Keeps nothing.
"""
